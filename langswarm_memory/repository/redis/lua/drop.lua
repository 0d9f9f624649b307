-- Deletes a session. KEYS: session messages ids system summaries texts
-- Returns the session's document, or false if there was none.
local session = redis.call('HMGET', KEYS[1], 'document', 'text')
if session[2] then
  for _, seq in ipairs(redis.call('HVALS', KEYS[3])) do drop_text(seq) end
end
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5])
return session[1]
