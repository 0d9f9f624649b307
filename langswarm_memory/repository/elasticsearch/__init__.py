"""Elasticsearch: three indexes, every message a document of its own, an append decided by one conditional write."""

from .repository import ElasticsearchRepository

__all__ = ["ElasticsearchRepository"]
