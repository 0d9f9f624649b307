"""Redis for the shared suites: plain, with modules, and a Cluster; each test under a prefix of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from langswarm_memory.backends.redis import RedisBackend
from tests.services.redis import RedisService


def redis(request: pytest.FixtureRequest, folder: Path) -> Callable[..., RedisBackend]:
    """Sessions in the plain Redis."""
    return _maker(request.getfixturevalue("redis_server").url, request.getfixturevalue("redis_prefix"))


def redis_stack(request: pytest.FixtureRequest, folder: Path) -> Callable[..., RedisBackend]:
    """Sessions in the newer Redis."""
    service, prefix = request.getfixturevalue("redis_stack_server"), request.getfixturevalue("redis_stack_prefix")
    request.addfinalizer(lambda: drop_index(service, prefix))
    return _maker(service.url, prefix)


def drop_index(service: RedisService, prefix: str) -> None:
    """Drop the search index of a prefix, if there is one; it would watch the keys of all tests to come."""
    with service.client() as client:
        if f"{prefix}texts".encode() in client.execute_command("FT._LIST"):
            client.execute_command("FT.DROPINDEX", f"{prefix}texts")


def redis_cluster(request: pytest.FixtureRequest, folder: Path) -> Callable[..., RedisBackend]:
    """Sessions in the Cluster."""
    url = request.getfixturevalue("redis_cluster_server").url.replace("redis://", "redis+cluster://", 1)
    return _maker(url, request.getfixturevalue("redis_cluster_prefix"))


def _maker(url: str, prefix: str) -> Callable[..., RedisBackend]:
    # Without the expiry that sessions have by default: the suites say themselves when one expires.
    return lambda **options: RedisBackend(**{"url": url, "key_prefix": prefix, "ttl": None, **options})
