"""Which database a command works on, and the options that say so."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import click

from ..backend import BaseMemoryBackend
from ..configuration import SCHEMES, URL_VARIABLE
from ..errors import MemoryConfigurationError, UnsupportedOperationError
from ..factory import MemoryFactory
from ..settings import sqlite_path

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_URL = "sqlite:///langswarm_memory.db"
URL_NEEDED = "a URL is needed, such as sqlite:///memory.db or postgresql://user@host/database"


def default_url() -> str:
    """Return the URL where no option says another."""
    return os.environ.get(URL_VARIABLE) or DEFAULT_URL


@dataclass
class Target:
    """The database of this run, and how errors are shown."""

    url: str = field(default_factory=default_url)
    schema: str | None = None
    debug: bool = False

    @property
    def kind(self) -> str | None:
        """Name of the backend; None for a URL that no backend takes."""
        return SCHEMES.get(self.url.partition("://")[0].partition("+")[0].lower())

    def backend(self, *, create: bool = False) -> BaseMemoryBackend:
        """Return the backend, not connected.

        Args:
            create: Whether a database or schema that is missing is made, and an older one upgraded.

        Raises:
            MemoryConfigurationError: The URL is wrong, or the SQLite file is missing and not to be made.
        """
        self.check()
        options: dict[str, Any] = {}
        if self.kind in ("sqlite", "postgres"):
            options["auto_migrate"] = create
        if self.schema is not None:
            options["schema"] = self.schema
        backend = MemoryFactory.create_backend(self.url, **options)
        if not isinstance(backend, BaseMemoryBackend):
            raise UnsupportedOperationError(type(backend).__name__, "the command line")
        if not create:
            self.require_file()
        return backend

    def check(self) -> None:
        """Raise ``click.UsageError`` for what is no URL, and for a schema in a database that has none."""
        if "://" not in self.url:
            raise click.UsageError(f"{URL_VARIABLE} or --url: {URL_NEEDED}")
        if self.schema is not None and self.kind != "postgres":
            raise click.UsageError("--schema is for PostgreSQL")

    def file(self) -> Path | None:
        """Return the file of a SQLite database; None for any other."""
        path = sqlite_path(self.url) if self.kind == "sqlite" else ":memory:"
        return None if path == ":memory:" else Path(path)

    def require_file(self) -> None:
        """Raise ``MemoryConfigurationError`` when a SQLite file does not exist; opening it would make it."""
        file = self.file()
        if file is not None and not file.exists():
            raise MemoryConfigurationError(
                f"there is no database {str(file)!r}",
                suggestion=f"name one with --url or {URL_VARIABLE}, or make it with 'import' or 'db upgrade'",
            )

    def run(self, work: Callable[[BaseMemoryBackend], Awaitable[T]], *, create: bool = False) -> T:
        """Run a coroutine function with the backend, which connects when it is first used, and disconnect."""
        backend = self.backend(create=create)

        async def connected() -> T:
            try:
                return await work(backend)
            finally:
                await backend.disconnect()

        return asyncio.run(connected())


def _set_url(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    context.ensure_object(Target).url = value


def _set_schema(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Target).schema = value


def _set_debug(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Target).debug = True


def target_options(command: F) -> F:
    """Give a command the options that every one has; they may stand in front of its name or behind it."""
    for option in (
        click.option(
            "--debug", is_flag=True, expose_value=False, callback=_set_debug, help="Show where an error comes from."
        ),
        click.option(
            "--schema",
            metavar="NAME",
            expose_value=False,
            callback=_set_schema,
            help="PostgreSQL schema of the tables, if they are not where the connection looks first.",
        ),
        click.option(
            "--url",
            metavar="URL",
            expose_value=False,
            callback=_set_url,
            help="The store: sqlite:///FILE, postgresql://USER@HOST/DATABASE, redis://HOST, mongodb://HOST/DATABASE, "
            f"http://HOST:9200 or bigquery://PROJECT/DATASET. Default: {URL_VARIABLE}, "
            f"else {DEFAULT_URL}.",
        ),
    ):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
"""For commands whose output scripts read."""
