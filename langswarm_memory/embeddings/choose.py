"""A provider by its settings."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from ..errors import MemoryConfigurationError
from .cached import CachedEmbeddingProvider
from .provider import IEmbeddingProvider

PROVIDERS = {
    "openai": "openai_api:OpenAIEmbeddingProvider",
    "local": "local:LocalEmbeddingProvider",
    "callable": "callables:CallableEmbeddingProvider",
}
DEFAULT = "openai"
METHODS = ("embed_text", "embed_batch", "get_dimension")


def get_embedding_provider(
    config: str | Mapping[str, Any] | Callable[..., Any] | IEmbeddingProvider,
) -> IEmbeddingProvider:
    """Return the provider that a configuration describes.

    Args:
        config: ``{"provider": "openai", "api_key": …, "model": …, "base_url": …}``: the other keys are the arguments of
            the provider's class, ``provider`` is ``"openai"`` (if left out), ``"local"``, ``"callable"`` (with
            ``function``), a function or a provider, and ``cache`` is True, the path of a file, or the arguments of
            :class:`CachedEmbeddingProvider`. Or the name alone, with the model after a colon if need be
            (``"openai:text-embedding-3-large"``); a function of a list of texts; a provider, which is returned; or
            an object with a provider's three methods.

    Raises:
        MemoryConfigurationError: No such provider, or an argument that it does not take (the nearest is named).
        MissingDependencyError: What the provider needs is not installed.
    """
    if isinstance(config, str):
        name, _, model = config.partition(":")
        config = {"provider": name, "model": model} if model else {"provider": name}
    if not isinstance(config, Mapping):
        return _given(config)
    options = dict(config)
    chosen = options.pop("provider", DEFAULT)
    cache = options.pop("cache", None)
    if isinstance(chosen, str):
        provider = _named(chosen, options)
    elif isinstance(chosen, type) or not callable(chosen) or _complete(chosen):
        if options:
            raise MemoryConfigurationError(f"a provider that is given takes no options, got {', '.join(options)}")
        provider = _given(chosen)
    else:
        provider = _named("callable", {"function": chosen, **options})
    return _cached(provider, cache)


def _given(config: Any) -> IEmbeddingProvider:
    if isinstance(config, IEmbeddingProvider):
        return config
    if _complete(config):
        model = getattr(config, "model", None) or type(config).__name__
        return _named("callable", {"function": config.embed_batch, "dimension": config.get_dimension(), "model": model})
    if callable(config) and not isinstance(config, type):
        return _named("callable", {"function": config})
    raise MemoryConfigurationError(
        f"an embedding provider is a name, a mapping, a function or a provider, got {type(config).__name__}"
    )


def _complete(config: Any) -> bool:
    """Return whether an object, of whatever class, is a provider."""
    return not isinstance(config, type) and all(callable(getattr(config, method, None)) for method in METHODS)


def _named(name: str, options: dict[str, Any]) -> IEmbeddingProvider:
    if name not in PROVIDERS:
        raise MemoryConfigurationError(
            f"no embedding provider is named {name!r}", suggestion=f"known are {', '.join(sorted(PROVIDERS))}"
        )
    module, _, attribute = PROVIDERS[name].partition(":")
    # The module is imported only now: it may need a library that another provider does not.
    made = getattr(importlib.import_module(f".{module}", __package__), attribute)
    if name == "local" and options.get("model") == made.model:
        del options["model"]  # it has but this one
    _check(made, options)
    return cast(IEmbeddingProvider, made(**options))


def _check(made: Callable[..., Any], options: Mapping[str, Any], reserved: str = "") -> None:
    parameters = {name: parameter for name, parameter in inspect.signature(made).parameters.items() if name != reserved}
    for option in options:
        if option not in parameters:
            near = difflib.get_close_matches(str(option), parameters, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(parameters)}"
            raise MemoryConfigurationError(f"{_name(made)} has no option {option!r}; {hint}")
    for parameter in parameters.values():
        if parameter.default is parameter.empty and parameter.name not in options:
            raise MemoryConfigurationError(f"{_name(made)} needs the option {parameter.name!r}")


def _cached(provider: IEmbeddingProvider, cache: Any) -> IEmbeddingProvider:
    if cache is None or cache is False:
        return provider
    options = {} if cache is True else dict(cache) if isinstance(cache, Mapping) else {"path": cache}
    _check(CachedEmbeddingProvider, options, reserved="inner")
    return CachedEmbeddingProvider(provider, **options)


def _name(made: Callable[..., Any]) -> str:
    return str(getattr(made, "__name__", type(made).__name__))
