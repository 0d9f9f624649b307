"""What store to use and how to look after it, in every form a caller may say it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .errors import MemoryConfigurationError
from .registry import backend_class, backend_names, resolve_name

URL_VARIABLE = "LANGSWARM_MEMORY_URL"
"""The environment variable that names the store of ``True``, ``"auto"`` and the production preset."""

SCHEMES = {
    "sqlite": "sqlite",
    "postgresql": "postgres",
    "postgres": "postgres",
    "memory": "in_memory",
    "redis": "redis",
    "rediss": "redis",
    "mongodb": "mongodb",
    "http": "elasticsearch",
    "https": "elasticsearch",
    "bigquery": "bigquery",
}
"""The part of a URL before ``://`` (without a driver such as ``+asyncpg``), and the backend it names."""

ADDRESSES = {
    "sqlite": "db_path",
    "postgres": "url",
    "redis": "url",
    "mongodb": "uri",
    "elasticsearch": "hosts",
    "bigquery": "project_id",
}
"""The setting that takes the URL of each backend."""

VECTOR_STORES = {"chroma": "chroma", "chromadb": "chroma", "pinecone": "pinecone", "qdrant": "qdrant"}
"""Names of vector stores that name the vector backend over that store, and the store's type."""

CLOUD_REDIS_VARIABLES = ("REDISCLOUD_URL", "REDIS_TLS_URL")
"""Where hosting companies put the URL of a Redis; the cloud preset looks there as well."""

UNSET: Any = object()
"""No argument was given."""

DEVELOPMENT_PATH = "./langswarm_dev_memory.db"
PRODUCTION_PATH = "./langswarm_production_memory.db"
CLOUD_PATH = "/tmp/langswarm_cloud_memory.db"  # the one folder every container may write to
CLOUD_TTL = 86_400


@dataclass
class MemoryConfiguration:
    """What store to use, and how to look after it.

    Args:
        enabled: False: there is no memory; factories return None.
        backend: Name of a backend, or ``"auto"``.
        settings: Options of the backend.
        auto_cleanup: Whether a started manager removes expired sessions.
        summarize_in_background: Whether a started manager makes summaries as they fall due; else reading makes them.
        cleanup_interval: Seconds between two clean-ups.
        session_ttl: Seconds after its last message that a session expires. None: never.
        cache_sessions: Accepted for older configurations; sessions hold no data that could be cached.
        max_cached_sessions: As `cache_sessions`.
        debug_mode: ``"auto"`` then means in memory.
        log_level: Level of the logger ``langswarm_memory`` while in debug mode.
    """

    enabled: bool = True
    backend: str = "auto"
    settings: dict[str, Any] = field(default_factory=dict)
    auto_cleanup: bool = True
    cleanup_interval: int = 300
    session_ttl: int | None = None
    cache_sessions: bool = True
    max_cached_sessions: int = 1000
    debug_mode: bool = False
    log_level: str = "INFO"
    summarize_in_background: bool = True

    @classmethod
    def from_simple_config(cls, config: Any = UNSET, /, **options: Any) -> MemoryConfiguration:
        """Build a configuration from any form.

        Args:
            config: True or None (auto), False (disabled), a preset, the name of a backend, a URL, a mapping with
                ``backend`` and its options (under ``settings``, under ``config`` or beside), or a configuration.
                Default: True.
            **options: Options of the configuration or of the backend; they win. A ``config`` among them is the
                configuration where none was given, and else a mapping of the backend's options.

        Raises:
            MemoryConfigurationError: None of these, an unknown backend, or an unknown key of a mapping.
        """
        if config is UNSET:
            config = options.pop("config", True)
        if isinstance(config, MemoryConfiguration):
            return _merged(config, options) if options else config
        if config is None or config is True:
            return _merged(cls(), options)
        if config is False:
            return cls(enabled=False)
        if isinstance(config, str):
            return _merged(_from_text(cls, config), options)
        if isinstance(config, Mapping):
            return _from_mapping(cls, {**config, **options})
        raise MemoryConfigurationError(
            f"a configuration is a bool, a str, a mapping or a MemoryConfiguration, got {type(config).__name__}"
        )

    @classmethod
    def from_string(cls, text: str) -> MemoryConfiguration:
        """Build a configuration from a preset, the name of a backend, or a URL."""
        if not isinstance(text, str):
            raise MemoryConfigurationError(f"from_string takes text, got {type(text).__name__}")
        return cls.from_simple_config(text)

    def resolved(self) -> MemoryConfiguration:
        """Return the configuration with ``"auto"``, or the name of a vector store, replaced by a backend.

        ``"auto"`` in debug mode: in memory. Else the store of ``LANGSWARM_MEMORY_URL``. Else the Redis of
        ``REDIS_URL``, or of ``REDIS_HOST`` with ``REDIS_PORT``, ``REDIS_DB`` and ``REDIS_PASSWORD``. Else SQLite.
        A vector store: the vector backend over it; options which that does not know are the store's own.
        """
        if (store := _vector_store(self.backend)) is not None:
            return _replace(self, backend="vector", settings=_vector_settings(store, self.settings))
        if resolve_name(self.backend) != "auto":
            return self
        backend, settings = "sqlite", dict[str, Any]()
        if self.debug_mode:
            backend = "in_memory"
        elif found := _from_environment():
            backend, settings = found
        return _replace(self, backend=backend, settings={**settings, **self.settings})

    def validate(self) -> list[str]:
        """Return what is wrong, in words; an empty list means nothing is."""
        issues = []
        for name in ("cleanup_interval", "max_cached_sessions", "session_ttl"):
            value = getattr(self, name)
            if value is None and name == "session_ttl":
                continue
            if type(value) is not int or value <= 0:
                issues.append(f"{name} must be a positive int")
        if not isinstance(self.log_level, str) or self.log_level.upper() not in logging.getLevelNamesMapping():
            issues.append("log_level must be the name of a level, such as 'DEBUG'")
        if self.enabled:
            try:
                resolved = self.resolved()
                cls = backend_class(resolved.backend)
                settings_class = getattr(cls, "settings_class", None)
                if settings_class is not None:
                    from .settings import load_settings

                    load_settings(settings_class, resolved.settings)
            except MemoryConfigurationError as exc:
                issues.append(str(exc))
        return issues


CONFIGURATION_FIELDS = frozenset(f.name for f in fields(MemoryConfiguration))


def _presets() -> dict[str, dict[str, Any]]:
    development = {
        "backend": "sqlite",
        "settings": {"db_path": DEVELOPMENT_PATH},
        "debug_mode": True,
        "log_level": "DEBUG",
    }
    testing = {"backend": "in_memory", "auto_cleanup": False, "debug_mode": True}
    production = {
        "backend": "sqlite",
        "settings": {"db_path": PRODUCTION_PATH, "cache_size": 2000, "synchronous": "NORMAL"},
        "cleanup_interval": 600,
        "max_cached_sessions": 5000,
    }
    cloud = {
        "backend": "sqlite",
        "settings": {"db_path": CLOUD_PATH, "cache_size": 1000},
        "session_ttl": CLOUD_TTL,
    }
    for preset, name, more in ((production, "v2", ()), (cloud, "cloud", CLOUD_REDIS_VARIABLES)):
        found = _from_environment(*more)
        if found is not None:
            preset["backend"], preset["settings"] = found
            if found[0] == "redis":
                preset["settings"] = {"key_prefix": f"langswarm:{name}:memory:", **found[1]}
    return {
        "development": development,
        "dev": development,
        "local": development,
        "testing": testing,
        "test": testing,
        "production": production,
        "prod": production,
        "cloud": cloud,
    }


def _from_environment(*redis_variables: str) -> tuple[str, dict[str, Any]] | None:
    """Return the backend and settings that the environment names: `URL_VARIABLE`, then what names a Redis."""
    env = os.environ
    for variable in (URL_VARIABLE, "REDIS_URL", *redis_variables):
        if url := env.get(variable):
            return _from_url(url)
    if host := env.get("REDIS_HOST"):
        numbers = {name: env.get(f"REDIS_{name.upper()}") for name in ("port", "db")}
        for name, text in numbers.items():
            if text and not text.isdecimal():
                raise MemoryConfigurationError(f"the environment variable REDIS_{name.upper()} must be a number")
        given = {name: int(text) for name, text in numbers.items() if text}
        return "redis", {"host": host, "password": env.get("REDIS_PASSWORD") or None, **given}
    return None


def _from_text(cls: type[MemoryConfiguration], text: str) -> MemoryConfiguration:
    if "://" in text:
        backend, settings = _from_url(text)
        return cls(backend=backend, settings=settings)
    preset = _presets().get(text.lower())
    if preset is not None:
        return cls(**preset)
    return cls(backend=text.lower() if _vector_store(text) is not None else resolve_name(text))


def _vector_store(name: object) -> str | None:
    """Return the type of the vector store that a backend's name means, unless it is registered as a backend."""
    key = name.lower() if isinstance(name, str) else ""
    return None if key in backend_names() else VECTOR_STORES.get(key)


def _vector_settings(store: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of the vector backend; options that it does not know are the store's connection parameters."""
    from .settings.vector import VectorSettings

    known = {option.name for option in fields(VectorSettings)} | set(VectorSettings.aliases)
    settings = {name: value for name, value in given.items() if name in known}
    place = settings.get("vector_store") or {}
    if not isinstance(place, Mapping):
        raise MemoryConfigurationError("vector_store beside the name of one must be a mapping of its options", "vector")
    parameters = {name: value for name, value in given.items() if name not in known}
    parameters = {**(place.get("connection_params") or {}), **parameters}
    return {**settings, "vector_store": {"store_type": store, **place, "connection_params": parameters}}


def _from_url(url: str) -> tuple[str, dict[str, Any]]:
    scheme = url.partition("://")[0].split("+")[0].lower()
    backend = SCHEMES.get(scheme)
    if backend is None:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise MemoryConfigurationError(f"no backend for URLs that begin with {scheme}://", suggestion=f"use {known}")
    address = ADDRESSES.get(backend)
    return backend, {address: url} if address else {}


def _from_mapping(cls: type[MemoryConfiguration], given: Mapping[str, Any]) -> MemoryConfiguration:
    base: dict[str, Any] = {}
    options: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for key in ("settings", "config"):  # `config` wins over `settings`
        part = given.get(key)
        if part is not None and not isinstance(part, Mapping):
            raise MemoryConfigurationError(f"{key!r} must be a mapping of options, got {type(part).__name__}")
        settings.update(part or {})
    for key, value in given.items():
        if key in ("settings", "config", "backend"):
            continue
        if key in CONFIGURATION_FIELDS:
            base[key] = value
        else:
            options[key] = value
    backend = given.get("backend", "auto")
    if not isinstance(backend, str):
        raise MemoryConfigurationError(f"backend must be a name, got {type(backend).__name__}")
    start = _from_text(cls, backend)
    return _replace(start, **base, settings={**start.settings, **settings, **options})


def _merged(config: MemoryConfiguration, options: Mapping[str, Any]) -> MemoryConfiguration:
    if not options:
        return config
    given = {key: value for key, value in options.items() if key in CONFIGURATION_FIELDS - {"settings"}}
    rest = {key: value for key, value in options.items() if key not in given and key not in ("settings", "config")}
    settings = {**config.settings, **(options.get("settings") or {}), **(options.get("config") or {}), **rest}
    return _replace(config, **given, settings=settings)


def _replace(config: MemoryConfiguration, **changes: Any) -> MemoryConfiguration:
    values = {name: getattr(config, name) for name in CONFIGURATION_FIELDS}
    return type(config)(**{**values, **changes})
