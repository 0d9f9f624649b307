"""Names that are imported when first used (PEP 562)."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from typing import Any


def attach(package: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module ``__getattr__`` that finds each name in the module given for it, and keeps it."""

    def resolve(name: str) -> Any:
        module = names.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(module), name)
        setattr(sys.modules[package], name, value)
        return value

    return resolve


def installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    try:
        return not package or importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # one package inside another that is missing
        return False
