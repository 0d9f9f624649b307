"""The same errors under the name some callers know; see :mod:`langswarm_memory.errors`."""

from .errors import *  # noqa: F403
from .errors import LangSwarmMemoryError as MemoryError  # noqa: F401
