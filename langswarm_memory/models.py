"""The relational model, for queries: see ``docs/queries.md``."""

from .repository.sql.functions import (
    json_elements,
    json_text,
    json_text_elements,
    seconds_between,
    utc_day,
    utc_week,
)
from .repository.sql.models import Base, EmbeddingRow, IndexStateRow, MessageRow, SessionRow, SummaryRow

__all__ = [
    "Base",
    "EmbeddingRow",
    "IndexStateRow",
    "MessageRow",
    "SessionRow",
    "SummaryRow",
    "json_elements",
    "json_text",
    "json_text_elements",
    "seconds_between",
    "utc_day",
    "utc_week",
]
