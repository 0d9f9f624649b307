"""What a backend of the public level must do: the features that sessions and managers build on a repository."""

from __future__ import annotations

import pytest

from .backend_conversations import ConversationRules
from .backend_editing import EditingRules
from .backend_sessions import BackendSessionRules
from .backend_streaming import StreamingRules
from .managed import MakeBackend


class BackendConformance(ConversationRules, EditingRules, StreamingRules, BackendSessionRules):
    """Subclass it and override `make_backend`.

    Each test makes one backend, with a clock of its own and sometimes options (``ttl``, ``overflow``), over a store
    that holds nothing; it connects and disconnects it.
    """

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def make_backend(self) -> MakeBackend:
        """Return a backend's class, or a function that takes the same options."""
        raise NotImplementedError("override the fixture `make_backend`: return a backend's class, or a function")
