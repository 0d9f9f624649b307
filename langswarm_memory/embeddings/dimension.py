"""The length of a model's vectors: known, assumed or learnt, and held against every answer."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import MemoryConfigurationError


class Dimension:
    """A length that is fixed by whoever names it first: the settings, a reader, or the first answer.

    Args:
        model: Named in errors.
        known: What the settings or the model's documentation say; None if nobody does.
        assumed: What a reader is told while nothing is known. None: then there is no telling.
    """

    def __init__(self, model: str, known: int | None, assumed: int | None = None) -> None:
        if known is not None and (type(known) is not int or known < 1):
            raise MemoryConfigurationError("the dimension of a vector is an int from 1")
        self._model, self._value, self._assumed = model, known, assumed

    @property
    def learnt(self) -> int | None:
        """The length, unless nobody has named it yet."""
        return self._value

    def promise(self) -> int:
        """Return the length; from now on no other is accepted.

        Raises:
            MemoryConfigurationError: It is not known before the model was asked.
        """
        if self._value is None:
            if self._assumed is None:
                raise MemoryConfigurationError(
                    f"the dimension of {self._model} is not known before its first vector",
                    suggestion="pass dimension=, or await measure_dimension()",
                )
            self._value = self._assumed
        return self._value

    def check(self, vectors: Sequence[Sequence[float]]) -> None:
        """Hold vectors against the length; the first ones fix it where it is open.

        Raises:
            MemoryConfigurationError: A vector has another length; the message names both numbers.
        """
        for vector in vectors:
            if self._value is None:
                self._value = len(vector)
            elif len(vector) != self._value:
                raise MemoryConfigurationError(
                    f"{self._model} gave a vector of {len(vector)} dimensions where {self._value} were promised",
                    suggestion=f"configure dimensions={len(vector)}; an index of {self._value} dimensions has to be "
                    "built anew",
                )
