"""Compares the package with what is documented, member by member.

What counts as a difference is what a program written after the documents would notice: a name that is missing, another
order or kind of parameters, another default, a parameter that takes less, a result or an attribute that may be more
than was promised. Further optional parameters, wider parameters and narrower results are none.
"""

from __future__ import annotations

import abc
import ast
import dataclasses
import datetime
import enum
import importlib
import importlib.util
import inspect
import sqlite3
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import google.cloud.bigquery
import redis.asyncio

import langswarm_memory
from langswarm_memory import backends, interfaces
from langswarm_memory.embeddings import IEmbeddingProvider
from langswarm_memory.reflexive import Lesson
from langswarm_memory.vector_stores import VectorDocument, VectorQuery, VectorResult, VectorStoreConfig
from tests.compat import documented

NOTHING = "nothing"

NAMES: dict[str, Any] = {
    **{name: getattr(typing, name) for name in ("Any", "Optional", "Union", "Callable")},
    **{name: getattr(langswarm_memory, name) for name in langswarm_memory.__all__},
    "Dict": dict,
    "List": list,
    "ABC": abc.ABC,
    "Enum": enum.Enum,
    "datetime": datetime.datetime,
    "sqlite3": sqlite3,
    "redis": redis,
    "google": google,
    "IEmbeddingProvider": IEmbeddingProvider,
    "Lesson": Lesson,
    "VectorDocument": VectorDocument,
    "VectorQuery": VectorQuery,
    "VectorResult": VectorResult,
    "VectorStoreConfig": VectorStoreConfig,
    # What our own annotations name and import for type checking only.
    "Client": google.cloud.bigquery.Client,
}


class Difference(NamedTuple):
    """Where the package does something else than is documented."""

    where: str
    documented: str
    here: str


def differences() -> list[Difference]:
    """Return every difference there is."""
    found = list(_missing_names("langswarm_memory", documented.TOP_LEVEL.split()))
    for module, names in documented.OTHER_MODULES.items():
        if importlib.util.find_spec(module) is None:
            found.append(Difference(module, "a module", NOTHING))
        else:
            found += _missing_names(module, names.split())
    for module, declarations in documented.MODULES.items():
        short = module.rpartition(".")[2]
        for difference in compare(importlib.import_module(module), declarations):
            found.append(difference._replace(where=f"{short}.{difference.where}"))
    for backend, options in documented.OPTIONS.items():
        found += compare_options(getattr(backends, backend), options, documented.REQUIRED_OPTIONS.get(backend, {}))
    return found


def compare_options(backend: type[Any], options: dict[str, Any], required: dict[str, Any]) -> Iterator[Difference]:
    """Yield the options that a backend does not have, or that have other defaults."""
    known = {field.name for field in dataclasses.fields(backend.settings_class)}
    settings = backend(required).settings
    for option, default in options.items():
        name = backend.settings_class.aliases.get(option, option)
        where = f"backends.{backend.__name__}({option})"
        if name not in known:
            yield Difference(where, "an option", NOTHING)
            continue
        value = getattr(settings, name)
        value = list(value) if isinstance(value, tuple) else value
        if option not in required and value != default:
            yield Difference(where, f"default {default!r}", repr(value))


def count_declarations() -> dict[str, int]:
    """Return how many classes, members of classes, other names and options are declared."""
    counts = {"classes": 0, "members": 0, "names": len(documented.TOP_LEVEL.split())}
    for declarations in documented.MODULES.values():
        nodes = ast.parse(declarations).body
        classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
        counts["classes"] += len(classes)
        counts["members"] += sum(len(node.body) for node in classes)
        counts["names"] += len(nodes) - len(classes)
    counts["options"] = sum(map(len, documented.OPTIONS.values()))
    return counts


def compare(module: Any, declarations: str) -> Iterator[Difference]:
    """Yield how a module, or anything with such names, differs from declarations."""
    for node in ast.parse(declarations).body:
        name = _declared_name(node)
        ours = getattr(module, name, None)
        if ours is None:
            yield Difference(name, _kind(node), NOTHING)
        elif isinstance(node, ast.ClassDef):
            yield from _class(name, node, ours)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _function(name, node, ours, method=False)
        elif isinstance(node, ast.Assign):
            expected = _evaluate(node.value)
            if not _same(ours, expected):
                yield Difference(name, ast.unparse(node.value), _show(ours))
        elif isinstance(node, ast.AnnAssign) and not isinstance(ours, _evaluate(node.annotation)):
            yield Difference(name, ast.unparse(node.annotation), type(ours).__name__)


def _missing_names(module: str, names: list[str]) -> Iterator[Difference]:
    loaded = importlib.import_module(module)
    for name in names:
        if not hasattr(loaded, name):
            yield Difference(f"{module}.{name}", "a name", NOTHING)


def _declared_name(node: ast.stmt) -> str:
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0])
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node.target)
    assert isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    return node.name


def _kind(node: ast.stmt) -> str:
    return {"ClassDef": "a class", "FunctionDef": "a function", "AsyncFunctionDef": "an async function"}.get(
        type(node).__name__, "a name"
    )


# --- classes -------------------------------------------------------------------------------------------------------


def _class(name: str, node: ast.ClassDef, ours: type) -> Iterator[Difference]:
    bases = {base.__name__ for base in ours.__mro__}
    for base in node.bases:
        if ast.unparse(base) not in bases:
            yield Difference(name, f"a subclass of {ast.unparse(base)}", "not so")
    if issubclass(ours, enum.Enum):
        yield from _members(name, node, ours)
        return
    fields = [member for member in node.body if isinstance(member, ast.AnnAssign)]
    if fields:
        yield from _fields(name, fields, ours)
    for member in node.body:
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _method(name, member, ours)


def _members(name: str, node: ast.ClassDef, ours: type[enum.Enum]) -> Iterator[Difference]:
    for member in node.body:
        assert isinstance(member, ast.Assign)
        label, value = ast.unparse(member.targets[0]), ast.literal_eval(member.value)
        found = ours.__members__.get(label)
        if found is None or found.value != value:
            yield Difference(f"{name}.{label}", repr(value), NOTHING if found is None else repr(found.value))


def _fields(name: str, fields: list[ast.AnnAssign], ours: type) -> Iterator[Difference]:
    declared = [ast.unparse(field.target) for field in fields]
    parameters = list(inspect.signature(ours).parameters)
    if parameters[: len(declared)] != declared:
        yield Difference(name, f"positions {', '.join(declared)}", ", ".join(parameters[: len(declared)]))
        return
    required = {ast.unparse(field.target): field for field in fields if field.value is None}
    sample = ours(**{label: _sample(_evaluate(field.annotation)) for label, field in required.items()})
    known = {field.name: field.type for field in dataclasses.fields(ours)}
    scope = vars(importlib.import_module(ours.__module__))
    for field in fields:
        label, theirs = ast.unparse(field.target), _evaluate(field.annotation)
        own = eval(str(known[label]), {**NAMES, **scope})
        if not (_takes(own, theirs) and _gives(own, theirs)):
            yield Difference(f"{name}.{label}", ast.unparse(field.annotation), _show(own))
        if field.value is not None and not _default_holds(ast.unparse(field.value), getattr(sample, label)):
            yield Difference(f"{name}.{label}", f"default {ast.unparse(field.value)}", repr(getattr(sample, label)))


def _default_holds(text: str, value: Any) -> bool:
    if text == "now()":
        return isinstance(value, datetime.datetime) and value.utcoffset() == datetime.timedelta(0)
    if text == "uuid4()":
        return isinstance(value, str) and len(value) == 36
    expected = eval(text, NAMES)
    return type(value) is type(expected) and bool(value == expected)


def _sample(annotation: Any) -> Any:
    samples = {
        interfaces.MessageRole: interfaces.MessageRole.USER,
        str: "text",
        int: 1,
        float: 0.5,
        datetime.datetime: datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    }
    return samples[annotation] if annotation in samples else (typing.get_origin(annotation) or annotation)()


def _method(name: str, node: ast.FunctionDef | ast.AsyncFunctionDef, ours: type) -> Iterator[Difference]:
    where = f"{name}.{node.name}"
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    raw = inspect.getattr_static(ours, node.name, None)
    if raw is None:
        yield Difference(where, "a property" if "property" in decorators else "a method", NOTHING)
    elif "property" in decorators:
        if not isinstance(raw, property):
            yield Difference(where, "a property", type(raw).__name__)
        elif raw.fget is not None:
            yield from _result(where, node, raw.fget)
    elif ("classmethod" in decorators) != isinstance(raw, classmethod):
        yield Difference(where, "a class method" if "classmethod" in decorators else "a method", type(raw).__name__)
    else:
        yield from _function(where, node, getattr(raw, "__func__", raw), method=True)


# --- functions -----------------------------------------------------------------------------------------------------


def _function(
    where: str, node: ast.FunctionDef | ast.AsyncFunctionDef, ours: Callable[..., Any], *, method: bool
) -> Iterator[Difference]:
    asynchronous = isinstance(node, ast.AsyncFunctionDef)
    if asynchronous != inspect.iscoroutinefunction(ours):
        yield Difference(where, "async" if asynchronous else "not async", "not async" if asynchronous else "async")
    own = list(inspect.signature(ours).parameters.values())[1 if method else 0 :]
    by_name = {parameter.name: parameter for parameter in own}
    arguments = node.args.args[1:] if method else node.args.args
    defaults: list[ast.expr | None] = [None] * (len(arguments) - len(node.args.defaults)) + list(node.args.defaults)
    for position, (argument, default) in enumerate(zip(arguments, defaults, strict=True)):
        label = f"{where}({argument.arg})"
        parameter = by_name.get(argument.arg)
        if parameter is None:
            yield Difference(label, "a parameter", NOTHING)
            continue
        if own.index(parameter) != position or parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            yield Difference(label, f"by name, or at position {position + 1}", _place(parameter, own))
        if default is not None:
            expected = _evaluate(default)
            if parameter.default is parameter.empty or parameter.default != expected:
                shown = "none" if parameter.default is parameter.empty else repr(parameter.default)
                yield Difference(label, f"default {ast.unparse(default)}", shown)
        if argument.annotation is not None:
            theirs, annotation = _evaluate(argument.annotation), _annotation(ours, argument.arg)
            if not _takes(annotation, theirs):
                yield Difference(label, ast.unparse(argument.annotation), _show(annotation))
    if node.args.kwarg is not None and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in own):
        yield Difference(where, f"**{node.args.kwarg.arg}", NOTHING)
    known = {argument.arg for argument in arguments}
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    for parameter in own:
        if parameter.name not in known and parameter.default is parameter.empty and parameter.kind not in variable:
            yield Difference(f"{where}({parameter.name})", NOTHING, "required")
    yield from _result(where, node, ours)


def _place(parameter: inspect.Parameter, own: list[inspect.Parameter]) -> str:
    if parameter.kind is parameter.KEYWORD_ONLY:
        return "by name"
    place = f"at position {own.index(parameter) + 1}"
    return place if parameter.kind is parameter.POSITIONAL_ONLY else f"by name, or {place}"


def _result(where: str, node: ast.FunctionDef | ast.AsyncFunctionDef, ours: Callable[..., Any]) -> Iterator[Difference]:
    if node.returns is None:
        return
    theirs, own = _evaluate(node.returns), _annotation(ours, "return")
    if not _gives(own, theirs):
        yield Difference(where, f"returns {ast.unparse(node.returns)}", _show(own))


# --- annotations ---------------------------------------------------------------------------------------------------


def _evaluate(node: ast.expr) -> Any:
    return eval(ast.unparse(node), NAMES)


def _annotation(function: Callable[..., Any], name: str) -> Any:
    text = function.__annotations__.get(name, "Any")
    own = vars(importlib.import_module(function.__module__))
    return eval(text, {**NAMES, **own, "Self": Any}) if isinstance(text, str) else text


def _members_of(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return list(typing.get_args(annotation))
    return [annotation]


def _plain(annotation: Any) -> Any:
    return type(None) if annotation is None else annotation


def _is_a(one: Any, other: Any) -> bool:
    one, other = _plain(one), _plain(other)
    if other is Any or one is Any or one == other or (one, other) == (int, float):
        return True
    kind, base = typing.get_origin(one) or one, typing.get_origin(other) or other
    if not (isinstance(kind, type) and isinstance(base, type) and issubclass(kind, base)):
        return False
    inner, outer = typing.get_args(one), typing.get_args(other)
    return not inner or not outer or (len(inner) == len(outer) and all(map(_is_a, inner, outer)))


def _takes(own: Any, theirs: Any) -> bool:
    return all(any(_is_a(given, taken) for taken in _members_of(own)) for given in _members_of(theirs))


def _gives(own: Any, theirs: Any) -> bool:
    return all(any(_is_a(given, promised) for promised in _members_of(theirs)) for given in _members_of(own))


def _same(one: Any, other: Any) -> bool:
    return _takes(one, other) and _gives(one, other)


def _show(annotation: Any) -> str:
    parts = []
    for member in _members_of(annotation):
        if member in (None, type(None)):
            parts.append("None")
        elif isinstance(member, type) and not typing.get_args(member):
            parts.append(member.__name__)
        else:
            parts.append(str(member).replace("typing.", "").replace("collections.abc.", ""))
    return " or ".join(parts)
