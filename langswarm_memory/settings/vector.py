"""Settings of the vector backend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .base import BackendSettings, assign, require


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSettings(BackendSettings):
    """Settings of the vector backend: sessions in one store, their embeddings in another.

    Args:
        session_backend: Where sessions are kept: the name of a backend, or a mapping with ``backend`` and
            ``settings``.
        session_settings: Settings of that backend.
        enable_semantic_search: Whether messages are embedded. False: they are found by words only.
        vector_store: Where embeddings are kept. None: beside the sessions, where that store can.
    """

    session_backend: Any = "sqlite"
    session_settings: Mapping[str, Any] = field(default_factory=dict, repr=False)

    aliases: ClassVar[Mapping[str, str]] = {
        **BackendSettings.aliases,
        "vector_config": "vector_store",
        "embedding_config": "embedding",
    }

    def __post_init__(self) -> None:
        given = self.session_backend
        if isinstance(given, Mapping):
            require("backend" in given, "session_backend as a mapping needs a backend")
            options = {**given.get("settings", {}), **given.get("config", {})}
            options |= {key: value for key, value in given.items() if key not in ("backend", "settings", "config")}
            assign(self, "session_settings", {**options, **self.session_settings})
            assign(self, "session_backend", given["backend"])
        require(
            isinstance(self.session_backend, str) and self.session_backend != "vector",
            "session_backend must name a store of sessions, such as 'sqlite'",
        )
        require(isinstance(self.session_settings, Mapping), "session_settings must be a mapping")
        if self.enable_semantic_search is None:
            assign(self, "enable_semantic_search", True)
        BackendSettings.__post_init__(self)
