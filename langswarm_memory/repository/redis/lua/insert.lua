-- Stores a new session. KEYS: session messages ids system summaries texts
-- ARGV: writer (names this call, so that it may be sent again) ttl ('-' for none) document state, and the owner of
-- texts ('' where they are not kept; see texts.lua)
-- Returns 1, or 0 when the id is taken.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.call('HGET', KEYS[1], 'writer') == ARGV[1] and 1 or 0
end
redis.call('HSET', KEYS[1], 'writer', ARGV[1], 'document', ARGV[3], 'state', ARGV[4])  -- first: it may find no room
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], 'text', ARGV[5]) end
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
if ARGV[2] ~= '-' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
