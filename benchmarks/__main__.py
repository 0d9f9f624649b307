"""``python -m benchmarks``: measure, print, and where asked write JSON or the documentation's table."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks import processes, report, stores
from benchmarks.workloads import FULL_SCALE, QUICK, WORKLOADS, Outcome

ROOT = Path(__file__).resolve().parents[1]
PROCESS = "process"
PROCESS_ROUNDS = 15


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="NAME,…", help=f"of: {', '.join([*WORKLOADS, PROCESS])}")
    parser.add_argument(
        "--stores", default=",".join(stores.ALL), metavar="NAME,…", help=f"of: sqlite, {', '.join(stores.ALL)}"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds over less data: a first impression")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each workload")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every measured block")
    parser.add_argument("--write-docs", action="store_true", help="write the tables into docs/performance.md")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / ".benchmarks", help="where databases lie: chooses the disk"
    )
    arguments = parser.parse_args(argv)
    wanted = arguments.only.split(",") if arguments.only else [*WORKLOADS, PROCESS]
    unknown = [name for name in wanted if name not in (*WORKLOADS, PROCESS)]
    if unknown:
        parser.error(f"no workload {unknown[0]!r}; there are {', '.join([*WORKLOADS, PROCESS])}")
    arguments.only = wanted
    try:
        arguments.stores = stores.resolve(arguments.stores.split(","))
    except ValueError as exc:
        parser.error(str(exc))
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds takes a number from 1")
    if arguments.write_docs and (
        arguments.quick or wanted != [*WORKLOADS, PROCESS] or arguments.stores != list(stores.ALL)
    ):
        parser.error("--write-docs takes a whole run: no --quick, --only or --stores")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Run; return 0 also when a target was missed: a figure of one machine is no verdict."""
    arguments = _arguments(argv)
    scale = QUICK if arguments.quick else FULL_SCALE
    if arguments.rounds is not None:
        scale = replace(scale, rounds=arguments.rounds)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    facts = report.environment()
    facts["µs for an fsync of this disk"] = f"{report.fsync_us(arguments.folder):.0f}"
    for store in arguments.stores:
        size = stores.scale_of(store, scale)
        with stores.server_of(store) as server, stores.arena(store, size, arguments.folder, server) as arena:
            if server is not None:
                facts[report.STORES[store]] = server.version
            for name in arguments.only:
                if name == PROCESS or name in stores.LEFT_OUT.get(store, ()):
                    continue
                start = time.perf_counter()
                outcomes += asyncio.run(WORKLOADS[name](arena))
                print(f"{store} {name}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    if PROCESS in arguments.only:
        outcomes += processes.measure(arguments.folder, min(scale.rounds, PROCESS_ROUNDS))
    print(report.as_text(outcomes))
    print("\n" + ", ".join(f"{name} {value}" for name, value in facts.items()))
    if arguments.json:
        arguments.json.write_text(report.as_json(outcomes, facts), encoding="utf-8")
    if arguments.write_docs:
        report.write_docs(ROOT / "docs" / "performance.md", report.as_markdown(outcomes, facts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
