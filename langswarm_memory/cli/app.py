"""The command's root: its groups, and how it ends."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

import click

from .._version import __version__
from ..errors import LangSwarmMemoryError, QueryError
from . import INTERRUPTED
from .database import database
from .importer import import_file
from .moving import backup_file, migrate, restore_file
from .output import prepare_streams, print_error, safe, without_password, write
from .querying import query
from .reading import health, sessions, show, stats
from .reindexing import reindex_messages
from .target import Target, target_options

NAME = "langswarm-memory"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@target_options
@click.version_option(__version__, prog_name=NAME)
def root() -> None:
    """The memory of LLM agents: import conversations, read them, query them, look after the database.

    \b
    langswarm-memory import conversations.json
    langswarm-memory sessions --user ada
    langswarm-memory show order-4711 --tokens 4000
    langswarm-memory query "SELECT role, count(*) AS messages FROM messages GROUP BY role"

    Only 'import', 'restore', 'migrate', 'reindex', 'db upgrade' and 'db downgrade' write to a store. Exit codes: 0, 1
    after an error, 2 for wrong usage, 130 after Ctrl-C.
    """  # noqa: D301 - click's mark for lines that it must not join


READING = (sessions, show, stats, query, health)
WRITING = (import_file, backup_file, restore_file, migrate, reindex_messages, database)
for command in (*READING, *WRITING):
    root.add_command(command)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    prepare_streams()
    target = Target()
    if arguments is None:
        # An error that nobody foresaw: one line as well, since its traceback may quote a conversation.
        sys.excepthook = lambda kind, error, trace: _unforeseen(target, kind, error, trace)
    try:
        code = root.main(
            args=None if arguments is None else list(arguments), prog_name=NAME, obj=target, standalone_mode=False
        )
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt, asyncio.CancelledError):
        print_error("interrupted")
        return INTERRUPTED
    except LangSwarmMemoryError as exc:
        _print_traceback(target, exc)
        print_error(without_password(_message(exc), target.url))
        return 1
    return code if isinstance(code, int) else 0


def _message(error: LangSwarmMemoryError) -> str:
    cause = error.__cause__
    if not isinstance(error, QueryError) or cause is None:
        return str(error)
    # The library does not quote the database, which may quote a row; whoever typed the query may see it.
    from ..repository.sql.failures import driver_error

    own_words = str(driver_error(cause)).strip().partition("\n")[0]
    return f"{error.message}: {own_words}" if own_words else str(error)


def _print_traceback(target: Target, error: BaseException) -> None:
    if target.debug:
        text = "".join(traceback.format_exception(error))
        write(sys.stderr, safe(without_password(text, target.url)))


def _unforeseen(target: Target, kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
    _print_traceback(target, error)
    hint = "" if target.debug else "; --debug shows where, please report it"
    print_error(f"unforeseen {kind.__name__}{hint}")
