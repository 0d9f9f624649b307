"""Moving data in, out and across stores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from ..interfaces.contracts import IMemoryMigrator as IMemoryMigrator
    from .migrator import MemoryMigrator as MemoryMigrator
    from .v1 import V1MemoryMigrator as V1MemoryMigrator

_NAMES = {
    "IMemoryMigrator": "langswarm_memory.interfaces.contracts",
    "MemoryMigrator": f"{__name__}.migrator",
    "V1MemoryMigrator": f"{__name__}.v1",
}

__all__ = sorted(_NAMES)

__getattr__ = attach(__name__, _NAMES)
