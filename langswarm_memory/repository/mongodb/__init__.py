"""MongoDB: three collections, one document per message, two round trips per append, or one transaction.

    {prefix}sessions   _id: session id; counters, what listings filter by, and the metadata as one binary document
    {prefix}messages   _id: session id and message id; unique (session_id, seq); the message as one binary document
    {prefix}summaries  unique (session_id, summary_id); the summary as one binary document

Every unique index of messages and summaries begins with the session's id, so these collections can be sharded by the
range of ``session_id``; sessions by ``_id``. A hashed shard key cannot back a unique index of two fields.

``connection`` makes clients and reads errors, ``forms`` and ``terms`` know the documents. There are two ways to change
messages: ``transactions``, and without them ``appends``, ``marks`` (deleting) and ``rewrites``. ``readings`` reads,
``search`` and ``texts`` find, ``indexes`` keeps what others have seen of a session, and ``repository`` is the rest.
"""
