"""``langswarm-memory db``: the schema of a database, by the migrations that the package carries."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..errors import LangSwarmMemoryError, MemoryBackendError, MemoryConfigurationError
from .output import console, safe, shown_url
from .target import Target, target_options

if TYPE_CHECKING:
    from alembic.config import Config

sql_option = click.option("--sql", "as_sql", is_flag=True, help="Print the SQL instead of running it; needs no server.")


@click.group("db")
@target_options
def database() -> None:
    """Bring the schema of the database up to date, or look at it.

    The package does this by itself for a new database. It keeps its place in a version table of its own, so that the
    migrations of your application and these never meet.
    """


@database.command()
@click.argument("revision", default="head")
@sql_option
@target_options
@click.pass_obj
def upgrade(target: Target, revision: str, as_sql: bool) -> None:
    """Upgrade to REVISION, by default the newest.

    Back up first. Two that run at once wait for each other. A PostgreSQL schema that is missing is made.
    """
    from alembic import command

    from ..repository.sql.migrate import refuse_foreign_tables

    config = _config(target)
    with _errors(target, "upgrade"):
        if as_sql:
            command.upgrade(config, revision, sql=True)
            return
        _make_folder(target)
        before = _look(config, target, refuse_foreign_tables if revision != "base" else None)
        command.upgrade(config, revision)
        _print_move(target, before, _look(config, target))


@database.command(context_settings={"ignore_unknown_options": True})
@click.argument("revision")
@sql_option
@target_options
@click.pass_obj
def downgrade(target: Target, revision: str, as_sql: bool) -> None:
    """Go back to REVISION; 'base' is before the first, '-1' the one before.

    Back up first: this deletes what the older schema has no place for, and 'base' deletes every conversation.
    """
    from alembic import command

    from ..repository.sql.migrate import HEAD

    config = _config(target)
    with _errors(target, "downgrade"):
        if as_sql:
            # Offline nobody can look where the database is; it is taken to be up to date.
            command.downgrade(config, revision if ":" in revision else f"{HEAD}:{revision}", sql=True)
            return
        target.require_file()
        before = _look(config, target)
        command.downgrade(config, revision)
        _print_move(target, before, _look(config, target))


@database.command()
@target_options
@click.pass_obj
def current(target: Target) -> None:
    """Print the revision of the database; 'none' before its first."""
    from ..repository.sql.migrate import HEAD

    config = _config(target)
    with _errors(target, "current"):
        target.require_file()
        found = _look(config, target)
    _print(f"{found or 'none'}{' (head)' if found == HEAD else ''}")


@database.command()
@target_options
@click.pass_obj
def history(target: Target) -> None:
    """Print the revisions there are, newest first; needs no database."""
    from alembic.script import ScriptDirectory

    from ..repository.sql.migrate import HEAD

    for script in ScriptDirectory.from_config(_config(target)).walk_revisions():
        head = " (head)" if script.revision == HEAD else ""
        _print(f"{script.down_revision or 'base'} -> {script.revision}{head}  {(script.doc or '').splitlines()[0]}")


@database.command()
@target_options
@click.pass_obj
def check(target: Target) -> None:
    """Say whether the database is up to date and its tables are those of this version; exit code 1 if not."""
    from alembic import command

    from ..repository.sql.migrate import HEAD

    config = _config(target)
    with _errors(target, "check"):
        target.require_file()
        found = _look(config, target)
        if found != HEAD:
            raise MemoryBackendError(
                f"{shown_url(target.url)} is at revision {found or 'none'}, this version needs {HEAD}",
                suggestion="run 'langswarm-memory db upgrade'",
            )
        command.check(config)
    _print(f"{shown_url(target.url)} is up to date: revision {HEAD} (head), and the tables are those of this version")


def _config(target: Target) -> Config:
    from ..repository.sql.migrate import alembic_config

    target.check()
    config = alembic_config(target.url, schema=target.schema)
    config.stdout = io.StringIO()  # what Alembic says, this module says in its own words
    config.output_buffer = sys.stdout
    return config


def _make_folder(target: Target) -> None:
    file = target.file()
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)


def _look(config: Config, target: Target, check: Callable[[Any, str | None], None] | None = None) -> str | None:
    """Return the revision of the database, which stays as it is.

    Args:
        config: Alembic's configuration.
        target: The database.
        check: Called with the connection and the schema when there is no revision.
    """
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script, found = ScriptDirectory.from_config(config), list[str]()

    def look(revisions: Any, context: Any) -> list[Any]:
        found.extend([revisions] if isinstance(revisions, str) else revisions)
        if check is not None and not found:
            check(context.connection, target.schema)
        return []

    with EnvironmentContext(config, script, fn=look, dont_mutate=True):
        script.run_env()
    return found[0] if found else None


def _print_move(target: Target, before: str | None, after: str | None) -> None:
    place = shown_url(target.url)
    if before == after:
        _print(f"{place} is at revision {after or 'none'} already")
    else:
        _print(f"{place}: from revision {before or 'none'} to {after or 'none'}")


def _print(text: str) -> None:
    console().print(safe(text, line=True), soft_wrap=True)


@contextmanager
def _errors(target: Target, operation: str) -> Iterator[None]:
    """Turn the errors of Alembic and of the drivers into the package's own."""
    from alembic.util import CommandError

    from ..repository.sql.failures import DRIVER_ERRORS, translate

    errors = DRIVER_ERRORS
    if target.kind == "postgres":
        from ..repository.sql.postgres import ERRORS as errors
    try:
        yield
    except CommandError as exc:
        raise MemoryConfigurationError(str(exc)) from exc
    except LangSwarmMemoryError:
        raise
    except errors as exc:
        raise translate(target.kind or "database", operation, exc) from exc
