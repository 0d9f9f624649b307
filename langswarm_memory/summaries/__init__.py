"""Summaries: what one covers, when one is due, and what makes it."""

from ..errors import SummarizerError
from .coverage import STRATEGY, SummaryStrategy, is_automatic, strategy_of
from .digest import Digest, RankedSummarizer, Summarizer, default_digest, extractive_digest
from .llm import LLMSummarizer
from .making import make_due, summarise
from .verify import SummaryCheck, Verdict, withdraw_touched

__all__ = [
    "STRATEGY",
    "Digest",
    "LLMSummarizer",
    "RankedSummarizer",
    "Summarizer",
    "SummarizerError",
    "SummaryCheck",
    "SummaryStrategy",
    "Verdict",
    "default_digest",
    "extractive_digest",
    "is_automatic",
    "make_due",
    "strategy_of",
    "summarise",
    "withdraw_touched",
]
