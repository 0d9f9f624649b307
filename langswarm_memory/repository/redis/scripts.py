"""The Lua scripts: every write is one, so that it happens as a whole, in one round trip."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import Any, NamedTuple


class Script(NamedTuple):
    """A script and the name that the server knows it by."""

    text: str
    sha: str

    def command(self, keys: list[str], *arguments: Any) -> tuple[Any, ...]:
        """Return the command that runs the script, if the server has it."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


def _load(name: str) -> Script:
    text = (resources.files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8")
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


APPEND = _load("append")
DELETE = _load("delete")
DROP = _load("drop")
INSERT = _load("insert")
READ = _load("read")
REPLACE = _load("replace")
SUMMARIES = _load("summaries")
SUMMARISE = _load("summarise")

BY_SHA = {script.sha: script for script in (APPEND, DELETE, DROP, INSERT, READ, REPLACE, SUMMARIES, SUMMARISE)}
