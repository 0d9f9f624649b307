"""``langswarm-memory reindex``."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import asdict
from typing import Any

import click

from ..backend import BaseMemoryBackend
from ..embeddings.provider import IEmbeddingProvider
from ..recall.reindexing import LEAST_RECALL, ModelIndex, ReindexReport
from . import INTERRUPTED
from .moving import AGAIN, SHOWN_FAILURES, progress_bar
from .output import console, print_error, print_json, safe
from .target import Target, json_option, target_options


@click.command("reindex")
@click.option(
    "--model",
    metavar="MODEL",
    help="What embeds: 'local', 'openai', 'openai:MODEL', or 'PACKAGE.MODULE:NAME' of a provider or a function.",
)
@click.option("--drop", metavar="NAME", help="Delete the index of this model, by the name that the list shows.")
@click.option("--dry-run", is_flag=True, help="Count what is to be embedded or deleted, and do nothing.")
@json_option
@target_options
@click.pass_obj
def reindex_messages(target: Target, model: str | None, drop: str | None, dry_run: bool, as_json: bool) -> int:
    """Make the index of another embedding model, beside the one in use; without options, list the indexes.

    For SQLite and PostgreSQL, which keep embeddings by themselves. Messages may be appended meanwhile. At the end the
    index is held against exact search. An index that finds less than 95 % makes the exit code 1, as do messages that
    could not be embedded.

    Then start the application with the new model in its configuration; it embeds what was appended since. When no
    process uses the old model any more, --drop deletes its index.
    """
    if model is not None and drop is not None:
        raise click.UsageError("--model and --drop are two steps: drop the old index when nothing uses it any more")
    if drop is not None:
        return _drop(target, drop, dry_run=dry_run, as_json=as_json)
    if model is None:
        return _list(target, as_json=as_json)
    return _reindex(target, model, dry_run=dry_run, as_json=as_json)


def _reindex(target: Target, model: str, *, dry_run: bool, as_json: bool) -> int:
    from ..recall.reindexing import reindex

    provider = _provider(model)

    async def work(backend: BaseMemoryBackend) -> ReindexReport:
        try:
            with progress_bar("embedding", shown=not as_json) as progress:
                return await reindex(backend, provider, progress=progress, dry_run=dry_run)
        finally:
            await provider.aclose()

    try:
        report = target.run(work)
    except KeyboardInterrupt:
        print_error(AGAIN)
        return INTERRUPTED
    if as_json:
        print_json({**asdict(report), "complete": not dry_run and report.complete, "dry_run": dry_run})
    else:
        console().print(safe(_summary(report, dry_run=dry_run), line=True), soft_wrap=True)
        for session_id, error in list(report.failures.items())[:SHOWN_FAILURES]:
            print_error(safe(f"session {session_id!r}: {error}", line=True))
    return 0 if dry_run or report.complete else 1


def _list(target: Target, *, as_json: bool) -> int:
    found = target.run(_indexes)
    if as_json:
        print_json([index._asdict() for index in found])
    for index in [] if as_json else found:
        text = f"{index.model}: {index.embeddings:,} embeddings of {index.dimension:,} numbers"
        console().print(safe(text, line=True), soft_wrap=True)
    return 0


def _drop(target: Target, name: str, *, dry_run: bool, as_json: bool) -> int:
    from ..recall.reindexing import drop_index

    async def work(backend: BaseMemoryBackend) -> tuple[list[ModelIndex], int]:
        known = await _indexes(backend)
        here = [index.embeddings for index in known if index.model == name]
        if not here:
            return known, 0
        return known, here[0] if dry_run else await drop_index(backend, name)

    known, count = target.run(work)
    if name not in [index.model for index in known]:
        there = ", ".join(index.model for index in known) or "none"
        print_error(safe(f"there is no index of {name!r}; there are: {there}", line=True))
        return 1
    if as_json:
        print_json({"model": name, "embeddings": count, "dry_run": dry_run})
    else:
        verb = "would delete" if dry_run else "deleted"
        console().print(safe(f"{verb} {count:,} embeddings of {name}", line=True), soft_wrap=True)
    return 0


async def _indexes(backend: BaseMemoryBackend) -> list[ModelIndex]:
    from ..recall.reindexing import indexes

    return await indexes(backend)


def _provider(model: str) -> IEmbeddingProvider:
    from ..embeddings import get_embedding_provider
    from ..embeddings.choose import PROVIDERS

    module, _, name = model.partition(":")
    if module in PROVIDERS or not name:
        return get_embedding_provider(model)
    sys.path.insert(0, os.getcwd())  # as 'python -m' does
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as exc:
        raise click.BadParameter(f"there is no {name!r} in a module {module!r}", param_hint="--model") from exc
    return get_embedding_provider(found() if isinstance(found, type) else found)


def _summary(report: ReindexReport, *, dry_run: bool) -> str:
    if dry_run:
        return f"{report.model}: would look at {report.messages:,} messages of {report.sessions:,} sessions"
    text = f"{report.model}: embedded {report.embedded:,} messages, {report.embeddings:,} in the index"
    if report.recall is None:
        return text
    text += f"; it finds {report.recall:.1%} of the ten nearest of {report.sampled:,} messages"
    return text if report.recall >= LEAST_RECALL else f"{text}, which is too few"
