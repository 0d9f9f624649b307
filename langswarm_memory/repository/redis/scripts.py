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


def _load(*names: str) -> Script:
    """Return the script of some files, one behind the other."""
    folder = resources.files(__package__) / "lua"
    text = "".join((folder / f"{name}.lua").read_text(encoding="utf-8") for name in names)
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


APPEND = _load("texts", "append")
DELETE = _load("texts", "delete")
DROP = _load("texts", "drop")
INDEX = _load("texts", "index")
INSERT = _load("insert")
MARK = _load("mark")
READ = _load("read")
REPLACE = _load("texts", "replace")
REWRITE = _load("texts", "rewrite")
SUMMARIES = _load("summaries")
SUMMARISE = _load("summarise")

_ALL = (APPEND, DELETE, DROP, INDEX, INSERT, MARK, READ, REPLACE, REWRITE, SUMMARIES, SUMMARISE)
BY_SHA = {script.sha: script for script in _ALL}
