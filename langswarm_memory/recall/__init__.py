"""Recall: finding what was said by words, by meaning, or by both."""

from .fusion import Fusion
from .hits import RecallHit

__all__ = ["Fusion", "RecallHit"]
