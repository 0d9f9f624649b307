"""The query of a PostgreSQL URL, read as libpq reads it; asyncpg takes its parts as arguments."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import URL

from ...errors import MemoryConfigurationError

PLACE = ("host", "port")  # a socket's folder, or several servers: SQLAlchemy reads these itself
TLS_MODES = ("sslmode", "ssl")


def split_query(url: URL) -> tuple[URL, dict[str, Any]]:
    """Return the URL without its query, and what the query says as arguments of ``asyncpg.connect``.

    ``sslmode`` becomes ``ssl``; every name but the server's place becomes a run-time parameter of the server.

    Raises:
        MemoryConfigurationError: A certificate (asyncpg takes an ``ssl.SSLContext``), or a name given twice.
    """
    arguments: dict[str, Any] = {}
    parameters: dict[str, str] = {}
    for name, value in url.query.items():
        if name in PLACE:
            continue
        if not isinstance(value, str) or (name.startswith("ssl") and name not in TLS_MODES):
            hint = "give certificates in an ssl.SSLContext: ssl=..." if name.startswith("ssl") else "give it once"
            raise MemoryConfigurationError(f"the url's {name!r} is not supported", "postgres", suggestion=hint)
        if name in TLS_MODES:
            arguments["ssl"] = value
        else:
            parameters[name] = value
    if parameters:
        arguments["server_settings"] = parameters
    return url.set(query={name: value for name, value in url.query.items() if name in PLACE}), arguments
