-- Puts texts of stored messages into the search index. KEYS: session messages ids system summaries texts
-- ARGV: owner edits, then per message 'seq time', and its text; see texts.lua
-- Returns 'missing' | 'conflict' (messages were changed since they were read) | 'ok'
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return 'missing' end
local edits = string.match(state, '^%d+ %d+ %d+ %d+ %d+ %S+ %d+ %S+ ?(%d*)$')
if edits == '' then edits = '0' end
if edits ~= ARGV[2] then return 'conflict' end
local owner = text_owner()
if not owner then
  owner = ARGV[1]
  redis.call('HSET', KEYS[1], 'text', owner)
end
local left = redis.call('PTTL', KEYS[1])
for i = 3, #ARGV, 2 do
  local seq, time = string.match(ARGV[i], '^(%d+) (%d+)$')
  put_text(owner, seq, time, ARGV[i + 1])
  if left > 0 then live(seq, left) end
end
return 'ok'
