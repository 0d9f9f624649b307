"""What was asked for, by workload and store: the least share of the raw driver's speed, and the ambitious one."""

from __future__ import annotations

from dataclasses import dataclass

POSTGRES, NORMAL, FULL, REDIS = "postgres", "sqlite-normal", "sqlite-full", "redis"


@dataclass(frozen=True, slots=True)
class Target:
    """The least ratio that is asked for, and the one that a prototype has shown to be within reach."""

    least: float
    ambitious: float | None = None


TARGETS: dict[tuple[str, str], Target] = {
    ("append", POSTGRES): Target(0.85, 0.90),
    ("append", NORMAL): Target(0.35, 0.35),
    ("append", FULL): Target(0.55, 0.60),
    ("append-16", POSTGRES): Target(1.5, 1.7),
    ("append-16", NORMAL): Target(0.7, 0.85),
    ("append-16", FULL): Target(2.0, 2.8),
    ("append-16-one", POSTGRES): Target(1.5, 6.0),
    ("append-16-one", NORMAL): Target(0.8, 1.2),
    ("append-16-one", FULL): Target(2.0, 4.5),
    ("batch", POSTGRES): Target(0.85, 0.90),
    ("batch", NORMAL): Target(0.4, 0.45),
    ("batch", FULL): Target(0.4, 0.45),
    ("last", POSTGRES): Target(0.55, 0.65),
    ("last", NORMAL): Target(0.35, 0.45),
    ("last", FULL): Target(0.3, 0.45),
    ("history", POSTGRES): Target(0.8, 0.91),
    ("history", NORMAL): Target(0.5, 0.55),
    ("history", FULL): Target(0.5, 0.55),
    ("open", POSTGRES): Target(0.6, 0.80),
    ("open", NORMAL): Target(0.2, 0.30),
    ("open", FULL): Target(0.2, 0.30),
    ("open-at-once", POSTGRES): Target(0.6, 0.80),
    ("open-at-once", NORMAL): Target(0.2, 0.30),
    ("open-at-once", FULL): Target(0.2, 0.30),
    ("context", POSTGRES): Target(0.8, 1.2),
    ("context", NORMAL): Target(0.3, 0.38),
    ("context", FULL): Target(0.3, 0.38),
    ("list", POSTGRES): Target(0.6, 0.75),
    ("list", NORMAL): Target(0.4, 0.50),
    ("list", FULL): Target(0.4, 0.50),
    ("append", REDIS): Target(0.6, 0.85),
    ("last", REDIS): Target(0.7, 0.9),
    ("history", REDIS): Target(0.7, 0.9),
    ("open-at-once", REDIS): Target(0.7, 1.1),
    ("list", REDIS): Target(0.7, 0.9),
}

GROWTH = 1.1  # an append at message 10,000 over one at message 100
LAG_MS = 10.0  # p99 lateness of a 1 ms ticker under 16 writers
BYTES_PER_BYTE = 3.0  # stored for each byte of text
IMPORT_MS = 60.0  # more than an empty interpreter
FIRST_APPEND_MS = 280.0
RSS_MIB = 60.0
