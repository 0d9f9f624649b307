"""Redis for the shared suites: plain, with modules, and a Cluster; each test under a prefix of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from langswarm_memory.backends.redis import RedisBackend


def redis(request: pytest.FixtureRequest, folder: Path) -> Callable[..., RedisBackend]:
    """Sessions in the plain Redis."""
    return _maker(request.getfixturevalue("redis_server").url, request.getfixturevalue("redis_prefix"))


def redis_stack(request: pytest.FixtureRequest, folder: Path) -> Callable[..., RedisBackend]:
    """Sessions in the newer Redis."""
    return _maker(request.getfixturevalue("redis_stack_server").url, request.getfixturevalue("redis_stack_prefix"))


def redis_cluster(request: pytest.FixtureRequest, folder: Path) -> Callable[..., RedisBackend]:
    """Sessions in the Cluster."""
    url = request.getfixturevalue("redis_cluster_server").url.replace("redis://", "redis+cluster://", 1)
    return _maker(url, request.getfixturevalue("redis_cluster_prefix"))


def _maker(url: str, prefix: str) -> Callable[..., RedisBackend]:
    # Without the expiry that sessions have by default: the suites say themselves when one expires.
    return lambda **options: RedisBackend(**{"url": url, "key_prefix": prefix, "ttl": None, **options})
