-- Notes what an index has seen of a session. KEYS: session. ARGV: field 'last edits'. Nothing for a missing session.
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return 1
