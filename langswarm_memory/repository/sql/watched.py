"""What those who append and those who listen must agree on. No driver is imported: SQLite needs none of it."""

from __future__ import annotations

import hashlib

CHANNEL = "langswarm_memory"
WATCH_SECONDS = 60  # how long a session is told about after its watcher was last heard of


def payload(session_id: str) -> str:
    """Return what a notification says: a digest, as ids may be longer than a notification takes."""
    return hashlib.md5(session_id.encode(), usedforsecurity=False).hexdigest()
