-- Stores a summary, or replaces the one of its id. KEYS: session summaries. ARGV: summary_id document
-- Returns 0 for a missing session, else 1.
local left = redis.call('PTTL', KEYS[1])
if left == -2 then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
if left > 0 then redis.call('PEXPIRE', KEYS[2], left) end
return 1
