-- Deletes a session. KEYS: session messages ids system summaries
-- Returns the session's document, or false if there was none.
local document = redis.call('HGET', KEYS[1], 'document')
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5])
return document
