"""The migrator of the documents, over ``transfer``, ``backup`` and ``restore``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from ..interfaces.contracts import IMemoryBackend, IMemoryMigrator
from .backup import backup
from .opening import open_source
from .report import TransferReport
from .restore import restore
from .source import Source
from .transfer import BATCH, transfer

SourceConfig = Source | IMemoryBackend | Mapping[str, Any] | str | os.PathLike[str]
"""What names a source; see :func:`langswarm_memory.migration.opening.open_source`."""


class MemoryMigrator(IMemoryMigrator):
    """Moves data between stores, out of earlier software, and in and out of backups.

    Args:
        batch_size: Messages per transaction.
    """

    def __init__(self, batch_size: int = BATCH) -> None:
        self._batch_size = batch_size

    async def migrate_from_v1(
        self,
        source_config: SourceConfig,
        target_backend: IMemoryBackend,
        progress_callback: Callable[..., None] | None = None,
    ) -> dict[str, Any]:
        """Copy everything that a source holds into a backend; repeating it goes on or changes nothing.

        Args:
            source_config: Where from.
            target_backend: Where to.
            progress_callback: Called with the messages done, the messages of the source, and the session's id.

        Returns:
            The report as a dict, see :func:`report_dict`.

        Raises:
            InvalidInputError: The source is in no format that is understood.
            MemoryBackendError: A store failed; calling again goes on.
        """
        source = await open_source(source_config)
        report = await transfer(source, target_backend, batch_size=self._batch_size, progress=progress_callback)
        return report_dict(report)

    async def validate_migration(self, source_config: SourceConfig, target_backend: IMemoryBackend) -> dict[str, Any]:
        """Report what a migration would do, without doing it: everything is read, checked and compared.

        Returns:
            The report as a dict, see :func:`report_dict`. After a migration, ``unchanged`` is all there is: every
            session is equal in both.
        """
        source = await open_source(source_config)
        return report_dict(await transfer(source, target_backend, batch_size=self._batch_size, dry_run=True))

    async def backup_data(self, backend: IMemoryBackend, backup_path: str) -> bool:
        """Write everything to a backup file and return True; see :func:`langswarm_memory.migration.backup.backup`."""
        await backup(backend, backup_path)
        return True

    async def restore_data(self, backend: IMemoryBackend, backup_path: str) -> bool:
        """Put a backup back and return True; see :func:`langswarm_memory.migration.restore.restore`.

        Raises:
            InvalidInputError: The file is refused; nothing was written.
            ConflictError: A session of the backend holds something else; it was left as it is, the others are restored.
        """
        report = await restore(backup_path, backend, batch_size=self._batch_size)
        report.raise_for_failures()
        return True


def report_dict(report: TransferReport) -> dict[str, Any]:
    """Return a report as JSON values: its fields, ``failures`` as texts, and the names that the documents use.

    Those are ``success``, ``sessions_migrated`` and ``messages_migrated``, which say what was written, and ``errors``.
    """
    values = {field.name: getattr(report, field.name) for field in fields(report)}
    values["losses"] = dict(report.losses)
    values["failures"] = [
        {"session_id": one.session_id, "conflict": one.is_conflict, "error": str(one.error)} for one in report.failures
    ]
    return {
        **values,
        "success": not report.failures,
        "sessions_migrated": report.copied + report.continued,
        "messages_migrated": report.messages,
        "errors": [str(one.error) for one in report.failures],
    }
