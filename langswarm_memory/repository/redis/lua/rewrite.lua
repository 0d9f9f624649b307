-- Deletes and replaces messages by compare-and-set. KEYS: session messages ids system
-- summaries texts
-- ARGV: editor (names this call, so that it may be sent again) 'now edits last publish texts' ('-' for any last;
-- publish and texts as in append.lua) removed (seqs, one blank after each), per replaced message
-- 'seq role time tokens message_id document', and texts
-- Returns 'missing' | 'expired' | 'conflict' | {document, state}
local session = redis.call('HMGET', KEYS[1], 'document', 'state', 'editor', 'text')
local state = session[2]
if not state then return 'missing' end
if session[3] == ARGV[1] then return {session[1], state} end
local owner = session[4]
local now, edits, wanted, publish, texts = string.match(ARGV[2], '^(%d+) (%d+) (%S+) (%S+) (%d+)$')
local final = #ARGV - tonumber(texts)  -- the place of the last message
local revision, count, tokens, last, expires, created, status, before = string.match(
  state, '^(%d+) (%d+) (%d+) (%d+) %d+ (%S+) (%d+) (%S+) ?(%d*)$')
if expires ~= '-' and expires <= now then return 'expired' end
if before == '' then before = '0' end  -- as it stands in sessions that were never edited
if before ~= edits or (wanted ~= '-' and wanted ~= last) then return 'conflict' end
count, tokens = tonumber(count), tonumber(tokens)
local gone, instead = {}, {}
local function stored(seq) return redis.call('ZRANGEBYSCORE', KEYS[2], seq, seq)[1] end
for seq in string.gmatch(ARGV[3], '%d+') do
  local member = stored(seq)
  if member then
    gone[#gone + 1] = {seq, member, string.match(member, '^%d+ %S+ %d+ %d+ (%S+) ')}
    count, tokens = count - 1, tokens - tonumber(string.match(member, '^%d+ %S+ %d+ (%d+) '))
  end
end
for i = 4, final do
  local seq, role, size = string.match(ARGV[i], '^(%d+) (%S+) %d+ (%d+) ')
  local member = stored(seq)
  if member then
    instead[#instead + 1] = {seq, member, ARGV[i], role, texts ~= '0' and ARGV[i + final - 3]}
    tokens = tokens + tonumber(size) - tonumber(string.match(member, '^%d+ %S+ %d+ (%d+) '))
  end
end
state = string.format('%s %.0f %.0f %s %s %s %s %s %.0f',
  revision, count, tokens, last, now, expires, created, status, tonumber(before) + 1)
redis.call('HSET', KEYS[1], 'editor', ARGV[1], 'state', state)  -- first: it may find no room
for _, one in ipairs(gone) do
  redis.call('ZREM', KEYS[2], one[2])
  redis.call('ZREM', KEYS[4], one[1])
  redis.call('HDEL', KEYS[3], one[3])
  if owner then drop_text(one[1]) end
end
local left = redis.call('PTTL', KEYS[1])
for _, one in ipairs(instead) do
  redis.call('ZREM', KEYS[2], one[2])
  redis.call('ZADD', KEYS[2], one[1], one[3])
  if one[4] == 'system' or one[4] == 'developer' then
    redis.call('ZADD', KEYS[4], one[1], one[1])
  else
    redis.call('ZREM', KEYS[4], one[1])
  end
  if owner and one[5] then
    put_text(owner, one[1], string.match(one[3], '^%d+ %S+ (%d+) '), one[5])
    if left > 0 then live(one[1], left) end
  elseif owner then
    drop_text(one[1])
  end
end
-- A key that was empty in between has lost its time to live.
if left > 0 then for i = 2, 4 do redis.call('PEXPIRE', KEYS[i], left) end end
redis.pcall(publish, KEYS[1] .. ':changed', last)
return {session[1], state}
