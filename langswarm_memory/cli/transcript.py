"""A conversation as people read it: who said what when, with tool calls and their results."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from ..interfaces.enums import MessageRole
from ..interfaces.message import Message
from .output import safe, time_text

ROLE_STYLES = {
    "system": "magenta",
    "developer": "magenta",
    "user": "bold green",
    "assistant": "bold cyan",
    "tool": "yellow",
    "function": "yellow",
}
OTHER_ROLE = "bold blue"
LONGEST_BLOCK = 200  # characters of a block that is no text, such as an image as base64
LONGEST_ARGUMENT = 200


def print_message(out: Console, message: Message, *, longest: int | None = None) -> None:
    """Print one message and an empty line.

    Args:
        out: Where to.
        message: The message.
        longest: Characters of its content that are shown; None: all.
    """
    out.print(_heading(message), soft_wrap=True)
    for part in _parts(message, longest):
        if out.is_terminal:
            out.print(Padding(part, (0, 0, 0, 2), expand=False))
        else:
            indented = Text("\n").join(Text("  ") + line for line in part.split("\n", allow_blank=True))
            out.print(indented, soft_wrap=True)
    out.print()


def _heading(message: Message) -> Text:
    role = message.role.value if isinstance(message.role, MessageRole) else message.role
    heading = Text.assemble((safe(role, line=True), ROLE_STYLES.get(role, OTHER_ROLE)))
    if message.name:
        heading.append(f" {safe(message.name, line=True)}", "bold")
    if message.seq is not None:
        heading.append(f"  #{message.seq}", "dim")
    heading.append(f"  {time_text(message.timestamp)}", "dim")
    if message.token_count is not None:
        heading.append(f"  {message.token_count:,} tokens", "dim")
    if message.tool_call_id:
        heading.append(f"  {safe(message.tool_call_id, line=True)}", "dim")
    return heading


def _parts(message: Message, longest: int | None) -> list[Text]:
    content = message.content
    parts = []
    if isinstance(content, str):
        if content:
            parts.append(Text(safe(_cut(content, longest))))
    elif content is not None:
        parts += [_block(block, longest) for block in content]
    calls = list(message.tool_calls or ())
    if message.function_call is not None:
        calls.append({"function": message.function_call})
    return parts + [_call(call) for call in calls]


def _block(block: Any, longest: int | None) -> Text:
    text = block if isinstance(block, str) else block.get("text") if isinstance(block, dict) else None
    if isinstance(text, str):
        return Text(safe(_cut(text, longest)))
    kind = block.get("type") if isinstance(block, dict) else None
    shown = _cut(json.dumps(block, ensure_ascii=False), LONGEST_BLOCK)
    return Text.assemble((f"[{safe(str(kind or 'block'), line=True)}] ", "dim"), safe(shown))


def _call(call: Any) -> Text:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return Text.assemble(("→ ", "cyan"), safe(_cut(json.dumps(call, ensure_ascii=False), LONGEST_BLOCK)))
    line = Text.assemble(
        ("→ ", "cyan"),
        (safe(str(function.get("name")), line=True), "bold cyan"),
        f"({safe(_arguments(function.get('arguments')), line=True)})",
    )
    if call.get("id"):
        line.append(f"  {safe(str(call['id']), line=True)}", "dim")
    return line


def _arguments(given: Any) -> str:
    """Return a call's arguments as Python writes keywords; as they are when they are no JSON object."""
    try:
        values = json.loads(given) if isinstance(given, str) else given
    except (ValueError, RecursionError):  # models do emit broken JSON
        return str(given)
    if not isinstance(values, dict):
        return "" if values is None else _cut(json.dumps(values, ensure_ascii=False), LONGEST_ARGUMENT)
    return ", ".join(
        f"{name}={_cut(json.dumps(value, ensure_ascii=False), LONGEST_ARGUMENT)}" for name, value in values.items()
    )


def _cut(text: str, longest: int | None) -> str:
    if longest is None or len(text) <= longest:
        return text
    return f"{text[:longest]}… ({len(text) - longest:,} more characters)"
