"""``langswarm-memory backup``, ``restore`` and ``migrate``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ..backend import BaseMemoryBackend
from ..backends.in_memory import InMemoryBackend
from ..errors import LangSwarmMemoryError, SchemaVersionError
from ..migration.backup import BackupReport, backup
from ..migration.migrator import report_dict
from ..migration.opening import open_source
from ..migration.report import TransferReport
from ..migration.restore import restore
from ..migration.stores import StoreSource
from ..migration.transfer import TransferProgress, transfer
from . import INTERRUPTED
from .output import console, print_error, print_json, safe, size_text, without_password
from .target import Target, json_option, target_options

SHOWN_FAILURES = 20
AGAIN = "interrupted; the same command goes on where it stopped"

dry_run_option = click.option("--dry-run", is_flag=True, help="Read and compare everything, and write nothing.")
session_option = click.option(
    "--session", "sessions", metavar="ID", multiple=True, help="Only this session; may be given several times."
)


@click.command("backup")
@click.argument("file", type=click.Path())
@session_option
@click.option("--dry-run", is_flag=True, help="Count what the backup would hold, and write nothing.")
@json_option
@target_options
@click.pass_obj
def backup_file(target: Target, file: str, sessions: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Write everything the store holds to FILE: compressed, with counts and hashes.

    FILE appears when it is complete; a backup of that name is replaced then, any other file is refused.
    """

    async def count(backend: BaseMemoryBackend) -> dict[str, Any]:
        source = StoreSource(backend, session_ids=sessions or None)
        await source.open()
        found = await source.counts()
        return {"sessions": found.sessions, "messages": found.messages, "summaries": found.summaries, "dry_run": True}

    async def work(backend: BaseMemoryBackend) -> BackupReport:
        with progress_bar("backing up", shown=not as_json) as progress:
            return await backup(backend, file, session_ids=sessions or None, progress=progress)

    if dry_run:
        counts = target.run(count)
        if as_json:
            print_json(counts)
        else:
            console().print(f"would back up {_contents(counts)}", soft_wrap=True)
        return 0
    try:
        report = target.run(work)
    except KeyboardInterrupt:
        print_error(f"interrupted; {file} is as it was before")
        return INTERRUPTED
    if as_json:
        print_json({**asdict(report), "dry_run": False})
    else:
        what = _contents(asdict(report))
        console().print(f"backed up {what} to {safe(file, line=True)}, {size_text(report.size_bytes)}", soft_wrap=True)
    return 0


@click.command("restore")
@click.argument("file", type=click.Path())
@session_option
@dry_run_option
@json_option
@target_options
@click.pass_obj
def restore_file(target: Target, file: str, sessions: tuple[str, ...], dry_run: bool, as_json: bool) -> int:
    """Put the backup FILE back into the store.

    The whole file is verified before anything is written; one that is cut off, altered or no backup is refused. The
    database is made if it is missing. What is there already is left as it is: restoring again changes nothing, and a
    session that holds something else is named, and makes the exit code 1.
    """

    async def work(backend: BaseMemoryBackend) -> TransferReport:
        with progress_bar("restoring", shown=not as_json) as progress:
            return await restore(file, backend, session_ids=sessions or None, progress=progress, dry_run=dry_run)

    return _moved("restored", lambda: _run(target, work, dry_run=dry_run), as_json=as_json)


@click.command("migrate")
@click.argument("source", metavar="FROM_URL")
@click.argument("destination", metavar="TO_URL")
@session_option
@dry_run_option
@json_option
@target_options
@click.pass_obj
def migrate(
    target: Target, source: str, destination: str, sessions: tuple[str, ...], dry_run: bool, as_json: bool
) -> int:
    """Copy sessions with their messages and summaries from one store into another.

    FROM_URL is the URL of a store, a backup, or the file or URL of a database that earlier software left behind, which
    is recognised by what it holds. TO_URL is the URL of a store; a database that is missing is made.

    Nothing is changed at FROM_URL. What is at TO_URL already is left as it is: migrating again changes nothing, and
    goes on where a migration was interrupted. --dry-run afterwards compares: what is equal counts as unchanged.
    """
    target.url = destination

    async def work(backend: BaseMemoryBackend) -> TransferReport:
        opened = await open_source(source)
        with progress_bar("migrating", shown=not as_json) as progress:
            return await transfer(opened, backend, session_ids=sessions or None, progress=progress, dry_run=dry_run)

    try:
        return _moved("migrated", lambda: _run(target, work, dry_run=dry_run), as_json=as_json)
    except LangSwarmMemoryError as exc:
        # The command's end hides the password of the target only.
        shown = without_password(str(exc), source)
        if shown == str(exc):
            raise
        print_error(without_password(shown, destination))
        return 1


def _run(
    target: Target, work: Callable[[BaseMemoryBackend], Awaitable[TransferReport]], *, dry_run: bool
) -> TransferReport:
    """Run with the store, made if it is missing; a dry run makes nothing, and takes a missing one for empty."""
    if not dry_run:
        return target.run(work, create=True)
    file = target.file() if "://" in target.url else None
    if file is None or file.exists():
        try:
            return target.run(work)
        except SchemaVersionError as exc:
            if exc.found is not None:
                raise
    return asyncio.run(_on_empty(work))


async def _on_empty(work: Callable[[BaseMemoryBackend], Awaitable[TransferReport]]) -> TransferReport:
    async with InMemoryBackend() as backend:
        return await work(backend)


def _moved(verb: str, run: Callable[[], TransferReport], *, as_json: bool) -> int:
    try:
        report = run()
    except KeyboardInterrupt:
        print_error(AGAIN)
        return INTERRUPTED
    if as_json:
        print_json(report_dict(report))
    else:
        console().print(summary_text(verb, report), soft_wrap=True)
        for reason, count in report.losses.items():
            console().print(f"  {safe(reason, line=True)}: {count:,}", soft_wrap=True)
        for failure in report.failures[:SHOWN_FAILURES]:
            print_error(str(failure.error))
        if len(report.failures) > SHOWN_FAILURES:
            print_error(f"and {len(report.failures) - SHOWN_FAILURES:,} more; --json names them all")
    return 1 if report.failures else 0


@contextmanager
def progress_bar(what: str, *, shown: bool) -> Iterator[TransferProgress | None]:
    """Show a bar on standard error, if that is a terminal, and yield what moves it."""
    out = console(stderr=True)
    if not (shown and out.is_terminal):
        yield None
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("messages"), TimeElapsedColumn())
    with Progress(*columns, console=out) as bar:
        task = bar.add_task("", total=None)

        def progress(done: int, total: int, _session_id: str) -> None:
            bar.update(task, completed=done, total=total)

        yield progress


def summary_text(verb: str, report: TransferReport) -> str:
    """Return a report in one line."""
    if report.sessions == 0:
        return "nothing to do: no sessions"
    if report.unchanged == report.sessions:
        return f"nothing to do: {_number(report.unchanged, 'session')} there already, equal"
    parts = [f"{'would have ' if report.dry_run else ''}{verb} {_number(report.copied, 'session')}"]
    parts += [
        f"{count:,} {words}"
        for count, words in (
            (report.continued, "continued"),
            (report.unchanged, "there already"),
            (report.ahead, "there already and used since"),
            (report.expired, "expired and left out"),
            (len(report.failures), "failed"),
        )
        if count
    ]
    return ", ".join(parts) + f"; {_number(report.messages, 'message')}, {_number(report.summaries, 'summary')}"


def _contents(counts: dict[str, Any]) -> str:
    return ", ".join(
        _number(counts[f"{what[:-1]}ies" if what == "summary" else f"{what}s"], what)
        for what in ("session", "message", "summary")
    )


def _number(count: int, what: str) -> str:
    return f"{count:,} {what if count == 1 else 'summaries' if what == 'summary' else what + 's'}"
