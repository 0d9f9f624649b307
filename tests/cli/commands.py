"""The command `langswarm-memory`, run in this process or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from langswarm_memory.cli import main

SECONDS = 60.0


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, which is JSON."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Here:
    """Runs the command in this process.

    Args:
        capture: Pytest's `capsys`.
        options: Put in front of every command.
    """

    capture: pytest.CaptureFixture[str]
    options: tuple[str, ...] = ()

    def attempt(self, *arguments: str | Path) -> Ended:
        """Run the command to its end."""
        self.capture.readouterr()
        code = main([*self.options, *map(str, arguments)])
        out, err = self.capture.readouterr()
        return Ended(code, out, err)

    def __call__(self, *arguments: str | Path) -> Ended:
        """Run the command, which must succeed."""
        ended = self.attempt(*arguments)
        assert ended.code == 0, ended
        return ended


@dataclass(frozen=True)
class Apart:
    """Runs the command in a process of its own, in a folder that is not the checkout."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def start(self, *arguments: str | Path, **streams: Any) -> subprocess.Popen[str]:
        """Start the command and return at once."""
        foreign = ("LANGSWARM_", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "TERM")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return subprocess.Popen(
            [Path(sys.executable).with_name("langswarm-memory"), *arguments],
            cwd=self.folder,
            env={**kept, "PYTHONWARNINGS": "error", "TERM": "xterm", **self.variables},
            text=True,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},
        )

    def __call__(self, *arguments: str | Path) -> Ended:
        """Run the command to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=SECONDS)
        return Ended(process.returncode, out, err)
