-- Replaces a session's metadata by compare-and-set. KEYS: session messages ids system summaries
-- ARGV: writer (names this call, so that it may be sent again) ttl ('-' for none) document expected revision, and
-- 'updated expires created status'
-- Returns 'missing' | 'conflict' | {document before, state}
local session = redis.call('HMGET', KEYS[1], 'document', 'state', 'writer')
local before, state = session[1], session[2]
if not state then return 'missing' end
if session[3] == ARGV[1] then return {before, state} end
local revision, counters = string.match(state, '^(%d+) (%d+ %d+ %d+) ')
if revision ~= ARGV[4] then return 'conflict' end
state = string.format('%.0f %s %s', tonumber(revision) + 1, counters, ARGV[5])
redis.call('HSET', KEYS[1], 'writer', ARGV[1], 'document', ARGV[3], 'state', state)
for i = 1, 5 do
  if ARGV[2] ~= '-' then redis.call('PEXPIRE', KEYS[i], ARGV[2]) else redis.call('PERSIST', KEYS[i]) end
end
return {before, state}
