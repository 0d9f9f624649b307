"""Searching what was said: the query language, ranking and highlights."""

from .bm25 import TextIndex, rank
from .highlight import Highlight, highlight
from .query import parse

__all__ = ["Highlight", "TextIndex", "highlight", "parse", "rank"]
