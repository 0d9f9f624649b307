-- Replaces a session's metadata by compare-and-set. KEYS: session messages ids system summaries texts
-- ARGV: writer (names this call, so that it may be sent again) ttl ('-' for none) document expected revision,
-- 'updated expires created status', and ' session user agent tags' of its texts' owner (see texts.lua)
-- Returns 'missing' | 'conflict' | {document before, state}
local session = redis.call('HMGET', KEYS[1], 'document', 'state', 'writer', 'text')
local before, state = session[1], session[2]
if not state then return 'missing' end
if session[3] == ARGV[1] then return {before, state} end
local revision, counters, edits = string.match(state, '^(%d+) (%d+ %d+ %d+) %d+ %S+ %d+ %S+( ?%d*)$')
if revision ~= ARGV[4] then return 'conflict' end
state = string.format('%.0f %s %s%s', tonumber(revision) + 1, counters, ARGV[5], edits)
redis.call('HSET', KEYS[1], 'writer', ARGV[1], 'document', ARGV[3], 'state', state)
for i = 1, 5 do
  if ARGV[2] ~= '-' then redis.call('PEXPIRE', KEYS[i], ARGV[2]) else redis.call('PERSIST', KEYS[i]) end
end
local owner = session[4]
if owner then
  local sample = string.match(counters, '%d+$')
  live_all(sample, ARGV[2] == '-' and -1 or tonumber(ARGV[2]))
  local token = string.match(owner, '^%S+')
  if owner ~= token .. ARGV[6] then
    redis.call('HSET', KEYS[1], 'text', token .. ARGV[6])
    local user, agent, tags = string.match(ARGV[6], '^ %S+ (%S+) (%S+) (%S+)$')
    for _, seq in ipairs(redis.call('HVALS', KEYS[3])) do
      if redis.call('EXISTS', KEYS[6] .. seq) == 1 then
        redis.call('HSET', KEYS[6] .. seq, 'user', user, 'agent', agent, 'tags', tags)
      end
    end
  end
end
return {before, state}
