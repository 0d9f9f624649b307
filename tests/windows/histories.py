"""Histories that crashes, cancelled tools and careless writers leave behind, in every form that messages are stored in.

A history is told by steps. Each form writes the same steps as its provider gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

from hypothesis import strategies as st

from langswarm_memory import Message
from langswarm_memory.formats import (
    messages_from_anthropic,
    messages_from_gemini,
    messages_from_openai,
    messages_from_responses,
)

Json = dict[str, Any]
Step = tuple[str, Any]

STEPS = st.one_of(
    st.tuples(st.just("user"), st.integers(1, 30)),
    st.tuples(st.just("assistant"), st.integers(1, 30)),
    st.tuples(st.just("system"), st.integers(1, 3)),
    st.tuples(st.just("thought"), st.just(0)),  # reasoning that stands alone: what followed was never stored
    st.tuples(st.just("call"), st.tuples(st.integers(1, 3), st.booleans())),  # so many calls; with thoughts and text
    st.tuples(st.just("recall"), st.booleans()),  # a call with the id of the one before
    st.tuples(st.just("result"), st.integers(0, 3)),  # of the open call of that number
    st.tuples(st.just("again"), st.just(0)),  # a result that was given already
    st.tuples(st.just("orphan"), st.just(0)),  # a result that nobody asked for
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[str, list[Message]]:
    """Return a form and a history in it; half of the results are where they belong."""
    form = draw(st.sampled_from(sorted(FORMS)))
    steps: list[Step] = []
    for step in draw(st.lists(STEPS, max_size=14)):
        steps.append(step)
        if step[0] == "call" and draw(st.booleans()):
            steps += [("result", 0)] * step[1][0]
    return form, messages_of(form, steps)


def messages_of(form: str, steps: Sequence[Step]) -> list[Message]:
    """Return the history that the steps tell, in a form."""
    write, read = FORMS[form]
    items: list[Json] = []
    waiting: list[str] = []
    answered: list[str] = []
    for number, (kind, value) in enumerate(steps):
        match kind:
            case "call":
                names = [f"c{number}_{index}" for index in range(value[0])]
                waiting += names
                items += write("call", (names, value[1], number))
            case "recall" if waiting:
                items += write("call", (waiting[-1:], value, number))
            case "result" if waiting:
                answered.append(waiting.pop(value % len(waiting)))
                items += write("result", answered[-1])
            case "again" if answered:
                items += write("result", answered[-1])
            case "orphan":
                items += write("result", f"nobody_{number}")
            case "user" | "assistant" | "system":
                items += write(kind, f"{number} " + "word " * value)
            case "thought":
                items += write(kind, number)
    messages: list[Message] = []
    for system, run in groupby(items, lambda item: item.get("role") == "system"):
        part = list(run)
        messages += messages_from_openai(part) if system else read(part)
    return messages


def chat(kind: str, value: Any) -> list[Json]:
    match kind:
        case "call":
            names, more, _ = value
            calls = [{"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in names]
            return [{"role": "assistant", "content": "I look." if more else None, "tool_calls": calls}]
        case "result":
            text = f"result of {value}"
            content = [{"type": "text", "text": text}] if value.endswith("1") else text
            return [{"role": "tool", "tool_call_id": value, "content": content}]
        case "thought":
            return []
    return [{"role": kind, "content": value}]


def older_chat(kind: str, value: Any) -> list[Json]:
    match kind:
        case "call":
            call = {"name": value[0][0], "arguments": "{}"}
            return [{"role": "assistant", "content": "I look." if value[1] else None, "function_call": call}]
        case "result":
            return [{"role": "function", "name": value, "content": "1"}]
    return chat(kind, value)


def anthropic(kind: str, value: Any) -> list[Json]:
    thinking = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    match kind:
        case "call":
            names, more, _ = value
            blocks = [{"type": "tool_use", "id": name, "name": "f", "input": {}} for name in names]
            said = [thinking, {"type": "text", "text": "I look."}] if more else []
            return [{"role": "assistant", "content": [*said, *blocks]}]
        case "result":
            said = [{"type": "text", "text": "And?"}] if value.endswith("1") else []
            result = {"type": "tool_result", "tool_use_id": value, "content": "1"}
            return [{"role": "user", "content": [result, *said]}]
        case "thought":
            return []
    return [{"role": kind, "content": value}]


def gemini(kind: str, value: Any, ids: bool = True) -> list[Json]:
    match kind:
        case "call":
            names, more, _ = value
            given = [{"id": name} if ids else {} for name in names]
            parts = [
                {"functionCall": {**one, "name": name, "args": {}}} for one, name in zip(given, names, strict=True)
            ]
            said = [{"text": "Hm.", "thought": True}, {"text": "I look."}] if more else []
            return [{"role": "model", "parts": [*said, *parts]}]
        case "result":
            response = {**({"id": value} if ids else {}), "name": value, "response": {"output": "1"}}
            return [{"role": "user", "parts": [{"functionResponse": response}]}]
        case "system":
            return [{"role": "system", "content": value}]
        case "thought":
            return []
    return [{"role": "model" if kind == "assistant" else "user", "parts": [{"text": value}]}]


def gemini_without_ids(kind: str, value: Any) -> list[Json]:
    return gemini(kind, value, ids=False)


def responses(kind: str, value: Any) -> list[Json]:
    match kind:
        case "call":
            names, more, number = value
            items: list[Json] = []
            for name in names:
                if more:
                    items.append({"type": "reasoning", "id": f"rs_{number}_{name}", "summary": []})
                fields = {"call_id": name, "name": "f", "arguments": "{}", "id": f"fc_{number}_{name}"}
                items.append({"type": "function_call", **fields})
            return items
        case "result":
            return [{"type": "function_call_output", "call_id": value, "output": "1"}]
        case "thought":
            return [{"type": "reasoning", "id": f"rs_{value}", "summary": []}]
    return [{"role": kind, "content": value}]


FORMS: dict[str, tuple[Callable[[str, Any], list[Json]], Callable[[list[Json]], list[Message]]]] = {
    "anthropic": (anthropic, messages_from_anthropic),
    "chat": (chat, messages_from_openai),
    "gemini": (gemini, messages_from_gemini),
    "gemini without ids": (gemini_without_ids, messages_from_gemini),
    "older chat": (older_chat, messages_from_openai),
    "responses": (responses, messages_from_responses),
}
