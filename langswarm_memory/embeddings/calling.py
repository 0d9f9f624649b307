"""Calling what may be a coroutine function, or one that blocks."""

from __future__ import annotations

import asyncio
import base64
import inspect
from collections.abc import Callable
from typing import Any

from .store import unpacked


async def call(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Return the result of a function: awaited if it is async, in a thread if it is not."""
    target = inspect.unwrap(function)
    if inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(getattr(target, "__call__", None)):  # noqa: B004
        return await function(*args, **named)
    result = await asyncio.to_thread(function, *args, **named)
    return await result if inspect.isawaitable(result) else result


def field(holder: Any, name: str) -> Any:
    """Return a field of a client's object, or of the JSON object that other clients return."""
    return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)


def numbers(vector: Any) -> list[float] | None:
    """Return a vector as a list of finite floats; None if it is none.

    Takes lists, tuples, NumPy's arrays, and little-endian float32 in base64, as servers of OpenAI's API send it.
    """
    values = vector.tolist() if hasattr(vector, "tolist") else vector
    if isinstance(values, str):
        try:
            values = unpacked(base64.b64decode(values, validate=True))
        except ValueError:  # no base64, or not a multiple of four bytes
            return None
    if not isinstance(values, list | tuple) or not values:
        return None
    # NaN and the infinities are the values whose difference to themselves is not 0: no index could rank them.
    if not all(isinstance(value, float | int) and value - value == 0 for value in values):
        return None
    return [float(value) for value in values]
