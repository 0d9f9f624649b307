"""What is printed, and that nothing which was stored can drive the terminal."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TextIO
from urllib.parse import unquote

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 10_000  # columns where no terminal sets them: lines stay whole for grep and awk

# Controls of ASCII (but tab and line break), DEL, the C1 controls; what reorders text or breaks lines unseen; lone
# surrogates, which no terminal takes; tags, which carry invisible text.
_DRIVES = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
_UNSAFE = re.compile(f"[{_DRIVES}]")
_UNSAFE_IN_LINE = re.compile(f"[\t\n{_DRIVES}]")
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def safe(text: str, *, line: bool = False) -> str:
    r"""Return the text with everything that could drive a terminal written as an escape, such as ``\x1b``.

    Args:
        text: Any text.
        line: Whether tabs and line breaks are escaped too.
    """
    return (_UNSAFE_IN_LINE if line else _UNSAFE).sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in _SHORT:
        return _SHORT[match[0]]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _escape_json(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def console(*, stderr: bool = False) -> Console:
    """Return a console on standard output or error as they are now, which takes text literally."""
    file = sys.stderr if stderr else sys.stdout
    made = Console(file=file, highlight=False, markup=False, emoji=False)
    if not made.is_terminal and not os.environ.get("COLUMNS", "").isdecimal():
        made.width = PIPE_WIDTH
    return made


def prepare_streams() -> None:
    """Let standard output and error take every character, escaped where their encoding lacks it."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def print_error(message: str) -> None:
    """Print one line to standard error."""
    out = console(stderr=True)
    out.print(Text.assemble(("error: ", "bold red"), safe(message, line=True)), soft_wrap=True)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, numeric: Iterable[str] = (), to: Console | None = None
) -> None:
    """Print rows below their headings; nothing is cut, long cells go on in the next line."""
    right = set(numeric)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(Text(safe(name, line=True)), justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(safe(cell_text(value), line=True)) for value in row))
    (to or console()).print(table)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, one pair per line."""
    out, width = console(), max(map(len, facts))
    for name, value in facts.items():
        line = Text.assemble((f"{name:<{width}}  ", "bold"), safe(cell_text(value), line=True))
        out.print(line, soft_wrap=not out.is_terminal)


def cell_text(value: object) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes | Decimal):
        return str(json_value(value))
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=json_value)
    return str(value)


def time_text(at: datetime) -> str:
    """Return an instant in UTC, to the second; naive means UTC."""
    utc = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return f"{utc:%Y-%m-%d %H:%M:%S}Z"


def size_text(size: int) -> str:
    """Return a number of bytes for people."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """Return JSON in which a terminal meets no control character; the same value comes out of it."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=json_value)
    return _UNSAFE.sub(_escape_json, text)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    write(sys.stdout, json_text(value) + "\n")


def write(stream: TextIO, text: str) -> None:
    """Write text as it is."""
    stream.write(text)


def json_value(value: object) -> Any:
    """Return what stands in JSON for a value that JSON does not know."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        if not value.is_finite():
            return float(value)
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return "\\x" + bytes(value).hex()  # as psql writes it
    return str(value)


def shown_url(url: str) -> str:
    """Return a database URL without its password and its query, which may hold one too.

    Everything up to the last '@' counts as user and password: in a password written without escapes, '/', '?' and '@'
    occur too.
    """
    scheme, mark, rest = url.partition("://")
    if scheme.partition("+")[0].lower() == "sqlite":
        return url.partition("?")[0]
    login, at, place = rest.rpartition("@")
    return f"{scheme}{mark}{login.partition(':')[0]}{at}{place.partition('?')[0]}"


def without_password(text: str, url: str | None) -> str:
    """Return a text in which the password of a URL, as written or decoded, is replaced."""
    rest = (url or "").partition("://")[2]
    password = rest.rpartition("@")[0].partition(":")[2]
    secrets = {password, unquote(password), *re.findall(r"[?&]password=([^&]*)", rest)}
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
