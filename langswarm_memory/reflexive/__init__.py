"""Reflexive memory: lessons that agents draw from what went wrong, and find again when it is about to happen.

A lesson is kept under the meaning of the situation in which it applies, in any vector store. Nothing is loaded before
it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from .consolidator import LessonConsolidator
    from .lesson import Lesson
    from .reflector import ReflectorAgent
    from .retriever import LessonRetriever
    from .store import LessonStore

__all__ = ["Lesson", "LessonConsolidator", "LessonRetriever", "LessonStore", "ReflectorAgent"]

__getattr__ = attach(
    __name__,
    {
        "Lesson": f"{__name__}.lesson",
        "LessonConsolidator": f"{__name__}.consolidator",
        "LessonRetriever": f"{__name__}.retriever",
        "LessonStore": f"{__name__}.store",
        "ReflectorAgent": f"{__name__}.reflector",
    },
)
