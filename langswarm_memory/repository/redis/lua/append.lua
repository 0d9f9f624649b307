-- Gives each new message the next seq and stores it. KEYS: session messages ids system summaries texts
-- ARGV: 'now expires ttl replay publish texts' ('-' for none; publish is the command that tells listeners; texts says
-- how many there are: none, or one per message), per message 'role time tokens message_id document', and texts
-- Returns 'missing' | 'expired' | 'stored id seq ...' | 'ok last count inserted seq ...'
-- With replay = 0 nothing is written when an id is stored already; with 1 such messages keep their seq.
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'missing' end
local now, expires, ttl, replay, publish, texts = string.match(ARGV[1], '^(%d+) (%S+) (%S+) (%d) (%S+) (%d+)$')
local final = #ARGV - tonumber(texts)  -- the place of the last message
local revision, count, tokens, last, until_, rest = string.match(state, '^(%d+) (%d+) (%d+) (%d+) %d+ (%S+) (.+)$')
if until_ ~= '-' and until_ <= now then return 'expired' end
local ids, roles, sizes, known, stored = {}, {}, {}, {}, {}
for i = 2, final do
  local role, size, id = string.match(ARGV[i], '^(%S+) %d+ (%d+) (%S+) ')
  ids[i], roles[i], sizes[i] = id, role, size
  local seq = redis.call('HGET', KEYS[3], id)
  if seq then
    known[i] = seq
    stored[#stored + 1] = id .. ' ' .. seq
  end
end
if #stored > 0 and replay == '0' then return 'stored ' .. table.concat(stored, ' ') end
local before = tonumber(last)
local owner = texts ~= '0' and text_owner()
local fresh = {}
local highest, sum, reply = before, tonumber(tokens), {'ok', 0, 0, 0}
for i = 2, final do
  local seq = known[i]
  if not seq then
    highest = highest + 1
    sum = sum + tonumber(sizes[i])
    seq = string.format('%.0f', highest)
    redis.call('ZADD', KEYS[2], seq, seq .. ' ' .. ARGV[i])
    redis.call('HSET', KEYS[3], ids[i], seq)
    if roles[i] == 'system' or roles[i] == 'developer' then redis.call('ZADD', KEYS[4], seq, seq) end
    if owner then
      put_text(owner, seq, string.match(ARGV[i], '^%S+ (%d+) '), ARGV[i + final - 1])
      fresh[#fresh + 1] = seq
    end
  end
  reply[#reply + 1] = seq
end
local inserted = highest - before
count = string.format('%.0f', tonumber(count) + inserted)
last = string.format('%.0f', highest)
if expires == '-' then expires = until_ end
redis.call('HSET', KEYS[1], 'state', table.concat(
  {revision, count, string.format('%.0f', sum), last, now, expires, rest}, ' '))
if ttl ~= '-' then
  for i = 1, 5 do redis.call('PEXPIRE', KEYS[i], ttl) end
elseif until_ ~= '-' then
  -- Keys made just now join the session's own time to live.
  local left = redis.call('PTTL', KEYS[1])
  if left > 0 then for i = 2, 5 do redis.call('PEXPIRE', KEYS[i], left) end end
end
if #fresh > 0 then
  local left = redis.call('PTTL', KEYS[1])
  if left > 0 then
    if ttl ~= '-' and before > 0 then live_all(string.format('%.0f', before), left) end
    for _, seq in ipairs(fresh) do live(seq, left) end
  end
end
-- Not 'call': whoever may not publish may append all the same.
if inserted > 0 then redis.pcall(publish, KEYS[1] .. ':changed', last) end
reply[2], reply[3], reply[4] = last, count, inserted
local text = table.concat(reply, ' ')
if final == 2 then return {ok = text} end  -- a client reads a status in one step, and a long text without a limit
return text
