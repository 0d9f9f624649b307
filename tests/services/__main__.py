"""Command line: `python -m tests.services up`, `list`, `clean`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from tests.services import postgres, recipes
from tests.services.install import COMMAND, Installed, InstallError, Progress, bring_all, servers_folder


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code: 1 when a wanted server could not be brought."""
    parser = argparse.ArgumentParser(prog="python -m tests.services", description="The servers of the tests.")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring what is missing, and show what there is")
    up.add_argument("stores", nargs="*", metavar="store", help=f"one of {', '.join(recipes.STORES)}; default: all")
    commands.add_parser("list", help="show what there is")
    commands.add_parser("clean", help="remove everything that was brought")
    options = parser.parse_args(arguments)
    if options.command == "clean":
        shutil.rmtree(servers_folder(), ignore_errors=True)
        return 0
    if options.command == "list":
        print("\n".join(table(found())))
        return 0
    if unknown := sorted(set(options.stores).difference(recipes.STORES)):
        parser.error(f"unknown {', '.join(unknown)}; known are {', '.join(recipes.STORES)}")
    return bring(options.stores or list(recipes.STORES))


def bring(stores: list[str]) -> int:
    """Bring the servers of these stores and print the table."""
    os.umask(0o022)  # a server of root's runs as another account, which has to read what is brought here
    pieces = {piece.name: piece for store in stores for piece in recipes.STORES[store]}
    outcomes = bring_all(list(pieces.values()), Progress(lambda line: print(line, flush=True)))
    print()
    print("\n".join(table({**found(), **outcomes})))
    return 1 if any(isinstance(outcome, InstallError) for outcome in outcomes.values()) else 0


def found() -> dict[str, Installed | InstallError | None]:
    """Return piece → what is in place of it."""
    return {piece.name: piece.installed() for pieces in recipes.STORES.values() for piece in pieces}


def table(outcomes: dict[str, Installed | InstallError | None]) -> list[str]:
    """Return one line per store: its server's version and origin, or why not and the command that brings it."""
    rows = [("store", "version", "how")]
    there = postgres.find_binaries() is not None
    rows.append(("postgres", "18", f"PyPI {postgres.PACKAGE}") if there else ("postgres", "-", postgres.REMEDY))
    for store in sorted(recipes.STORES):
        states = [(piece, outcomes.get(piece.name)) for piece in recipes.STORES[store]]
        brought = [state for _, state in states if isinstance(state, Installed)]
        failed = [str(state).partition("\n")[0] for _, state in states if isinstance(state, InstallError)]
        if len(brought) == len(states):
            version = " + ".join(f"{state.piece.name} {state.version}" for state in brought)
            rows.append((store, version, "; ".join(dict.fromkeys(state.note for state in brought))))
        else:
            rows.append((store, "-", "; ".join([*failed, f"run: {COMMAND} {store}"])))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return [f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows]


if __name__ == "__main__":
    sys.exit(main())
