-- Reads a session's summaries. KEYS: session summaries
-- Returns false for a missing session, else the documents.
if redis.call('EXISTS', KEYS[1]) == 0 then return false end
return redis.call('HVALS', KEYS[2])
