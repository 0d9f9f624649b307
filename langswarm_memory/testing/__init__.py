"""What every store must do, as tests: subclass a suite, give it your store, and pytest does the rest.

    class TestMyRepository(RepositoryConformance):
        @pytest.fixture
        async def repository(self):
            repository = MyRepository()
            await repository.open()
            yield repository
            await repository.close()

    class TestMyBackend(BackendConformance):
        @pytest.fixture
        def make_backend(self):
            return MyBackend

Needs pytest and pytest-asyncio; nothing else of the package imports this one.
"""

from __future__ import annotations

from ..errors import MissingDependencyError

try:
    import pytest
except ModuleNotFoundError as exc:
    raise MissingDependencyError("pytest", extra="dev") from exc

# Before the modules are imported: only then does a failed assert show its values.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "appends",
            "backend_conversations",
            "backend_sessions",
            "concurrency",
            "content",
            "deletions",
            "lifecycle",
            "listings",
            "reads",
            "search",
            "sessions",
            "summaries",
        )
    )
)

from .backend import BackendConformance  # noqa: E402 - after the registration above
from .conformance import RepositoryConformance  # noqa: E402

__all__ = ["BackendConformance", "RepositoryConformance"]
