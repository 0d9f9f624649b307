"""A source from whatever names one: a backend, a backup, a URL of ours, or what earlier software left behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._calls import settle
from ..configuration import SCHEMES
from ..errors import InvalidInputError
from ..factory import MemoryFactory
from ..interfaces.contracts import IMemoryBackend
from .restore import BackupSource, is_backup
from .source import Source
from .sources import CurrentFormatError, detect_source
from .sources.detect import KINDS
from .stores import StoreSource


async def open_source(given: Source | IMemoryBackend | Mapping[str, Any] | str | os.PathLike[str]) -> Source:
    """Return a source; it is opened by whoever reads it.

    Args:
        given: A backend; a path of a backup or of a file that earlier software left behind; a URL of a store of ours
            or of a database of earlier software; a mapping, as ``detect_source`` or ``create_memory_backend`` takes it;
            or a source, which is returned.

    Raises:
        InvalidInputError: Nothing of these, or in no format that is understood.
        MemoryConfigurationError: The configuration cannot be read.
        MemoryBackendError: The server cannot be reached.
    """
    if isinstance(given, IMemoryBackend):
        return StoreSource(given)
    if isinstance(given, str | os.PathLike):
        name = os.fspath(given)
        if "://" not in name and await settle(asyncio.to_thread(is_backup, name)):
            return BackupSource(name)
        scheme = name.partition("://")[0].partition("+")[0].lower()
        if "://" in name and scheme in SCHEMES and scheme not in KINDS:
            return StoreSource(MemoryFactory.create_backend(name))
        return await _detected(name, name)
    if isinstance(given, Mapping):
        kind = str(given.get("backend", given.get("type", "")))
        if kind and kind.lower() not in KINDS:
            return StoreSource(MemoryFactory.create_backend({**given}))
        return await _detected(given, {**given})
    if hasattr(given, "sessions"):
        return given
    raise InvalidInputError(f"no source: {type(given).__name__}", suggestion="give a backend, a URL, or a path")


async def _detected(earlier: str | Mapping[str, Any], ours: str | dict[str, Any]) -> Source:
    try:
        return await detect_source(earlier)
    except CurrentFormatError:
        if isinstance(ours, str) and "://" not in ours:
            ours = f"sqlite:///{Path(ours)}"
        return StoreSource(MemoryFactory.create_backend(ours))
