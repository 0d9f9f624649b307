"""``python -m langswarm_memory``: the same as the command ``langswarm-memory``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
