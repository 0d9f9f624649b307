-- Deletes messages up to a seq, but those of some roles. KEYS: session messages ids system summaries texts
-- ARGV: through ('+inf' for all) keep (roles as ' developer system ', or '')
-- Returns false for a missing session, else the number deleted.
local session = redis.call('HMGET', KEYS[1], 'state', 'text')
local state, owner = session[1], session[2]
if not state then return false end
local revision, count, tokens, rest, edits = string.match(
  state, '^(%d+) (%d+) (%d+) (%d+ %d+ %S+ %d+ %S+) ?(%d*)$')
if edits == '' then edits = 0 end  -- as it stands in sessions that were never edited
local deleted, freed, keep = 0, 0, ARGV[2]
for _, entry in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', ARGV[1])) do
  local seq, role, size, id = string.match(entry, '^(%d+) (%S+) %d+ (%d+) (%S+) ')
  if keep == '' or not string.find(keep, ' ' .. role .. ' ', 1, true) then
    redis.call('ZREM', KEYS[2], entry)
    redis.call('ZREM', KEYS[4], seq)
    redis.call('HDEL', KEYS[3], id)
    if owner then drop_text(seq) end
    deleted = deleted + 1
    freed = freed + tonumber(size)
  end
end
if deleted > 0 then
  redis.call('HSET', KEYS[1], 'state', string.format(
    '%s %.0f %.0f %s %.0f', revision, tonumber(count) - deleted, tonumber(tokens) - freed, rest, tonumber(edits) + 1))
end
return deleted
