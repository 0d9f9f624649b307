"""The migrator of LangSwarm V1, with the methods of the documents and of the migration guide."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, cast

from ..errors import InvalidInputError
from ..interfaces.contracts import IMemoryBackend
from ..interfaces.message import Message
from ..interfaces.records import ConversationSummary, SessionMetadata
from ..repository.documents import pack_metadata, unpack_metadata
from .closing import closing
from .migrator import MemoryMigrator, SourceConfig, report_dict
from .opening import open_source
from .source import Source, SourceCounts, SourceSession
from .sources import detect_source
from .transfer import transfer

V1_FILES = ("langswarm_sessions.db", "memory.db")
"""The files that V1 made where nothing else was said: of its sessions, and of its SQLite adapter."""
V1_REDIS = "redis://localhost:6379/0"

_SESSIONS = ("sessions", "total_sessions", "session_count", "sessions_migrated")
_MESSAGES = ("messages", "total_messages", "message_count", "messages_migrated")


class V1MemoryMigrator(MemoryMigrator):
    """Moves what LangSwarm V1, or any earlier software that is understood, left behind.

    Args:
        source: What names the source for the methods that are told none, or only its kind (``"v1_sqlite"``): all that
            ``migrate_from_v1`` takes. None: the file that V1 made in the current folder.
        batch_size: Messages per transaction.
    """

    def __init__(self, source: SourceConfig | None = None, batch_size: int = 500) -> None:
        super().__init__(batch_size)
        self._source = source

    async def migrate_sessions(
        self,
        source_backend: Any = None,
        target_backend: IMemoryBackend | None = None,
        batch_size: int = 100,
        *,
        v1_adapter: Any = None,
        v2_backend: IMemoryBackend | None = None,
    ) -> dict[str, Any]:
        """Copy all sessions with their messages and summaries. Repeating it goes on or changes nothing.

        Args:
            source_backend: ``"v1_sqlite"`` or ``"v1_redis"``: the migrator's own source, or V1's default place; or
                what names a source; or an adapter of V1's, of which ``db_path`` or ``redis_url`` is taken.
            target_backend: Where to.
            batch_size: Messages per transaction.
            v1_adapter: The same as `source_backend`.
            v2_backend: The same as `target_backend`.

        Returns:
            The report, see ``report_dict``, and ``session_mapping``: the id of each session in the source, and in the
            target.

        Raises:
            InvalidInputError: There is no source, or it is in no format that is understood.
            MemoryBackendError: A store failed; calling again goes on.
        """
        config = await self._named(v1_adapter if source_backend is None else source_backend)
        target = _target(target_backend, v2_backend)
        source = _Renamed(await open_source(config), None)
        report = report_dict(await transfer(source, target, batch_size=batch_size))
        self._source = config
        failed = {failure["session_id"] for failure in report["failures"]}
        return {**report, "session_mapping": {name: name for name in source.seen if name not in failed}}

    async def migrate_messages(self, session_mapping: dict[str, str], target_backend: IMemoryBackend) -> dict[str, Any]:
        """Copy the sessions of a mapping, each under the id that it gives; all others are left out.

        With the mapping that ``migrate_sessions`` returned there is nothing left to do, and nothing is changed.

        Args:
            session_mapping: From the id in the source to the id in the target.
            target_backend: Where to.

        Returns:
            The report, see ``report_dict``.

        Raises:
            InvalidInputError: There is no source, or two sessions would get the same id.
        """
        if len(set(session_mapping.values())) < len(session_mapping):
            raise InvalidInputError("session_mapping gives two sessions the same id")
        source = _Renamed(await open_source(await self._named(None)), session_mapping)
        return report_dict(await transfer(source, target_backend, batch_size=self._batch_size))

    async def validate_migration(
        self,
        source_config: Any = None,
        target_backend: Any = None,
        *,
        source_stats: Any = None,
        target_stats: Any = None,
    ) -> Any:
        """Report what a migration would do, or say whether one was complete.

        Args:
            source_config: With a backend: what names the source. With statistics: those of the source.
            target_backend: A backend: nothing is written, and the report is returned as a dict. Statistics, as
                ``get_usage_stats()`` or a report gives them: True if the target has as many sessions and messages
                as the source, or more.
            source_stats: The same as `source_config`.
            target_stats: The same as `target_backend`.

        Raises:
            InvalidInputError: The statistics have no count in common.
        """
        given = source_config if source_stats is None else source_stats
        target = target_backend if target_stats is None else target_stats
        if isinstance(target, IMemoryBackend):
            return await super().validate_migration(await self._named(given), target)
        pairs = [(_count(given, names), _count(target, names)) for names in (_SESSIONS, _MESSAGES)]
        known = [(before, after) for before, after in pairs if before is not None and after is not None]
        if not known:
            raise InvalidInputError("the statistics have no count in common", suggestion="give 'sessions', 'messages'")
        return all(after >= before for before, after in known)

    async def migrate_sqlite_adapter(
        self, v1_db_path: str | os.PathLike[str], v2_backend: IMemoryBackend, batch_size: int = 1000
    ) -> dict[str, Any]:
        """Copy a SQLite file of V1's, whichever of its formats it is in.

        Returns:
            The report, with ``sessions_migrated``, ``messages_migrated`` and ``errors``.
        """
        return await self.migrate_sessions(
            {"backend": "sqlite", "db_path": os.fspath(v1_db_path)}, v2_backend, batch_size
        )

    async def migrate_redis_adapter(
        self, v1_redis_config: Mapping[str, Any] | str, v2_backend: IMemoryBackend
    ) -> dict[str, Any]:
        """Copy what V1 left in a Redis, whichever of its formats it is in.

        Args:
            v1_redis_config: A URL, or ``url``, or ``host``, ``port``, ``db`` and ``password``; ``key_prefix`` where it
                was not the default one.
            v2_backend: Where to.

        Returns:
            The report, with ``sessions_migrated``, ``messages_migrated`` and ``errors``.
        """
        config = {"url": v1_redis_config} if isinstance(v1_redis_config, str) else dict(v1_redis_config)
        return await self.migrate_sessions({**config, "backend": "redis"}, v2_backend, self._batch_size)

    async def _named(self, given: Any) -> SourceConfig:
        if given is None or given in ("v1_sqlite", "v1_redis"):
            return self._source if self._source is not None else await _default(given)
        for name, kind in (("db_path", "sqlite"), ("redis_url", "redis")):
            value = getattr(given, name, None)
            if isinstance(value, str | os.PathLike):  # an adapter of V1's
                return {"backend": kind, "url" if kind == "redis" else "db_path": os.fspath(value)}
        return cast(SourceConfig, given)


async def _default(kind: str | None) -> SourceConfig:
    if kind == "v1_redis":
        return V1_REDIS
    found = []
    for name in V1_FILES:
        with suppress(InvalidInputError):  # there is none, or it is something else: a store of ours, for instance
            await detect_source(name)
            found.append(name)
    if len(found) == 1:
        return found[0]
    which = f"both {' and '.join(found)} are" if found else f"neither {' nor '.join(V1_FILES)} of V1 is"
    raise InvalidInputError(
        f"{which} in the current folder", suggestion="name the source: V1MemoryMigrator('path/of/the/file.db')"
    )


def _target(one: IMemoryBackend | None, other: IMemoryBackend | None) -> IMemoryBackend:
    target = other if one is None else one
    if target is None:
        raise InvalidInputError("there is no target backend")
    return target


def _count(stats: Any, names: tuple[str, ...]) -> int | None:
    for name in names:
        value = stats.get(name) if isinstance(stats, Mapping) else getattr(stats, name, None)
        if isinstance(value, int):
            return value
    return None


class _Renamed:
    """A source of which some sessions are given, under other ids; with None, all under their own."""

    def __init__(self, source: Source, mapping: Mapping[str, str] | None) -> None:
        self.name = source.name
        self.seen: list[str] = []
        self._source = source
        self._mapping = mapping

    async def open(self) -> None:
        """Open the source."""
        await self._source.open()

    async def close(self) -> None:
        """Close the source."""
        await self._source.close()

    async def counts(self) -> SourceCounts:
        """Return the counts of the whole source."""
        return await self._source.counts()

    async def sessions(self) -> AsyncIterator[SourceSession]:
        """Yield the sessions of the mapping."""
        async with closing(self._source.sessions()) as sessions:
            async for session in sessions:
                session_id = session.metadata.session_id
                if self._mapping is None:
                    self.seen.append(session_id)
                    yield session
                elif session_id in self._mapping:
                    yield _RenamedSession(session, self._mapping[session_id])


@dataclass(frozen=True, slots=True)
class _RenamedSession:
    """A session under another id."""

    session: SourceSession
    session_id: str

    @property
    def metadata(self) -> SessionMetadata:
        """The session's metadata, with the other id."""
        return unpack_metadata("migration", pack_metadata(self.session.metadata), session_id=self.session_id)

    @property
    def message_count(self) -> int:
        """How many messages it has."""
        return self.session.message_count

    def pages(self) -> AsyncIterator[list[Message]]:
        """Yield its messages."""
        return self.session.pages()

    async def summaries(self) -> list[ConversationSummary]:
        """Return its summaries, with the other id."""
        return [replace(summary, session_id=self.session_id) for summary in await self.session.summaries()]
