"""The libraries of the extra ``providers``: loaded when first needed, with all their data inside; none downloads."""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import Any

from .._lazy import installed
from ..errors import MissingDependencyError

EXTRA = "providers"
LIBRARIES = ("py3langid", "textblob", "dateparser", "phonenumbers")


def complete() -> bool:
    """Return whether every library is installed, without importing one."""
    return all(map(installed, LIBRARIES))


def load(module: str) -> ModuleType:
    """Import a module of one of the libraries.

    Raises:
        MissingDependencyError: It is not installed.
    """
    package = module.partition(".")[0]
    if not installed(package):
        raise MissingDependencyError(package, extra=EXTRA)
    return importlib.import_module(module)


@cache
def language_identifier() -> Any:
    """Return the language identifier with probabilities: 1.5 s and some 40 MB once, then kept."""
    langid = load("py3langid.langid")
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
