"""A chat loop with memory, one tool and no model: what an agent stores, and what it hands to a model each turn.

    python examples/chat_loop.py                      type your turns; an empty line ends it
    python examples/chat_loop.py "2 + 3" "hello"      the turns as arguments

Start it again: the conversation goes on, since it lies in a database. `LANGSWARM_MEMORY_URL` chooses another one.
"""

import ast
import asyncio
import json
import operator
import os
import sys
from collections.abc import Iterator
from uuid import uuid4

from langswarm_memory import Message, create_memory_manager, messages_to_openai_format

URL = os.environ.get("LANGSWARM_MEMORY_URL") or "sqlite:///chat.db"
INSTRUCTIONS = "You calculate. Use the tool 'calculate' for every sum."
CONTEXT_TOKENS = 500
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def model(messages: list[dict]) -> dict:
    """Stand in for a model: messages in, one assistant message out, as a chat completion does it."""
    last = messages[-1]
    if last["role"] == "tool":
        return {"role": "assistant", "content": f"That is {last['content']}."}
    if any(sign in last["content"] for sign in "+-*/"):
        call = {"name": "calculate", "arguments": json.dumps({"text": last["content"]})}
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": f"call_{uuid4().hex[:8]}", "type": "function", "function": call}],
        }
    return {"role": "assistant", "content": f"I was given {len(messages)} messages. Ask me a sum, such as 2 + 3."}


def calculate(text: str) -> str:
    """The tool: a sum of numbers, read without eval."""

    def value(node: ast.expr) -> float:
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            return node.value
        raise ValueError("not a sum")

    try:
        return str(value(ast.parse(text.strip(), mode="eval").body))
    except (SyntaxError, ValueError, ZeroDivisionError, OverflowError) as exc:
        return f"Error: {exc}"


async def answer(session, text: str) -> str:
    """One turn: store what came in, let the model answer, run the tools it calls, until it has said something."""
    await session.add_message(Message("user", text))
    while True:
        context = await session.get_recent_context(max_tokens=CONTEXT_TOKENS)
        reply = Message.from_openai(model(messages_to_openai_format(context)))
        results = [
            Message(
                "tool",
                calculate(**json.loads(call["function"]["arguments"])),
                tool_call_id=call["id"],
                name="calculate",
            )
            for call in reply.tool_calls or ()
        ]
        # The call and its results in one transaction: no reader ever sees a call without its results.
        await session.add_messages([reply, *results])
        if not results:
            return reply.text


def turns() -> Iterator[str]:
    if len(sys.argv) > 1:
        for text in sys.argv[1:]:
            print(f"you: {text}")
            yield text
        return
    while text := input("you: ").strip():
        yield text


async def main() -> None:
    async with create_memory_manager(URL) as manager:
        session = await manager.get_or_create_session("chat", user_id="you")
        if await session.count_messages() == 0:
            await session.add_message(Message("system", INSTRUCTIONS))
        for text in turns():
            print("agent:", await answer(session, text))
        print(f"{await session.count_messages()} messages are stored in {URL.rpartition('@')[2]}")


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (EOFError, KeyboardInterrupt):
        print()
