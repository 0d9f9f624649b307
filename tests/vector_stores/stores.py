"""The vector stores that the shared suites run on. A module ``store_<name>.py`` beside this one adds stores.

Such a module has ``STORES``: name → function of the test's request and temporary folder, which returns a function of
the dimension, which returns a store that is not open. Each call of the latter returns another store on the same
collection, which belongs to the test alone. ``IN_MEMORY`` names those of them that keep nothing when they are closed,
``NOT_ENUMERATING`` those without ``Enumerates``; both may be absent.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from langswarm_memory.testing.vector_stores import MakeVectorStore

Factory = Callable[[pytest.FixtureRequest, Path], MakeVectorStore]

MODULES = [
    importlib.import_module(f"tests.vector_stores.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("store_*.py"))
]
STORES: dict[str, Factory] = {name: factory for module in MODULES for name, factory in module.STORES.items()}
IN_MEMORY = {name for module in MODULES for name in getattr(module, "IN_MEMORY", ())}
NOT_ENUMERATING = {name for module in MODULES for name in getattr(module, "NOT_ENUMERATING", ())}
PERSISTENT = [name for name in STORES if name not in IN_MEMORY]
ENUMERATING = [name for name in STORES if name not in NOT_ENUMERATING]
