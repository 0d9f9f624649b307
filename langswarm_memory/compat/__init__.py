"""The interfaces of other packages over this one, for programs that move to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from .langswarm import install_langswarm as install_langswarm
    from .langswarm import uninstall_langswarm as uninstall_langswarm

_MODULES = {"install_langswarm": "langswarm", "uninstall_langswarm": "langswarm"}

__all__ = ["install_langswarm", "uninstall_langswarm"]

__getattr__ = attach(__name__, {name: f"{__name__}.{module}" for name, module in _MODULES.items()})
