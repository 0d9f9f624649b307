"""Readers of what earlier software left behind. Nothing they read is changed."""

from .detect import detect_source
from .formats import UNDERSTOOD, CurrentFormatError, UnknownFormatError

__all__ = ["UNDERSTOOD", "CurrentFormatError", "UnknownFormatError", "detect_source"]
