"""The command ``langswarm-memory``. It needs the packages click and rich, which nothing else in the package imports."""

from __future__ import annotations

import sys
from collections.abc import Sequence

PACKAGES = ("click", "rich")
INTERRUPTED = 130  # 128 and SIGINT, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 0, 1 after an error, 2 for wrong usage, 130 after Ctrl-C.

    Args:
        arguments: Its arguments. None: those of the process.
    """
    try:
        from .app import run
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").partition(".")[0]
        if missing not in PACKAGES:
            raise
        print(
            f"error: the command line needs the {missing!r} package; run: pip install 'langswarm-memory[cli]'",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    return run(arguments)
