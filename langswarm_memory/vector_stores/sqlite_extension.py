"""sqlite-vec: distances computed by SQLite itself, where the interpreter's sqlite3 may load extensions.

Only its function is used, on the same column of 32-bit floats, so that a file can be opened with it and without. The
vectors are read from the file by each question: it needs little memory, and more time than a matrix that is held.
"""

from __future__ import annotations

import importlib
import sqlite3
from typing import Any

SCORE = "coalesce(1 - vec_distance_cosine(embedding, ?), 0)"
"""Cosine similarity to a parameter; 0 for a zero of an older file."""


def load_extension(connection: sqlite3.Connection) -> bool:
    """Load sqlite-vec into a connection; return False where it is not installed, or no extension can be loaded."""
    try:
        sqlite_vec = importlib.import_module("sqlite_vec")
    except ModuleNotFoundError:
        return False
    allow: Any = getattr(connection, "enable_load_extension", None)  # left out of some builds of Python
    if allow is None:
        return False
    allow(True)
    try:
        sqlite_vec.load(connection)
    finally:
        allow(False)
    return True
