"""When memory runs out: fewer networks at a time, and a word about it."""

import warnings
from collections.abc import Callable

import jax

from nnft_ppl._errors import SpecError


class OutOfMemoryWarning(UserWarning):
    """Memory ran out and the work goes on in smaller pieces, to the same bits."""


class PieceLimit:
    """Most networks dispatched together; lowered, for good, when memory runs out.

    Blocks that run side by side share one. It has no lock, so that it can be sent to
    another process: of two threads that lower it at a time both mean the same.
    """

    def __init__(self) -> None:
        """No limit yet."""
        self._most: int | None = None

    def fitting[T](self, piece: int, fewest: int, work: Callable[[int], T]) -> T:
        """work(piece), or of half, a quarter … as many networks where memory runs out.

        Args:
            piece: How many networks to begin with, a power of two.
            fewest: How many must be together.
            work: Must give the same whatever the piece.

        Raises:
            SpecError: Memory runs out with the fewest networks, too.
        """
        while True:
            size = piece if self._most is None else min(piece, self._most)
            try:
                return work(size)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if size <= fewest:
                    raise SpecError(
                        f"out of memory with {size} networks at a time, the fewest; "
                        "use fewer inputs, orders or devices, or a smaller network"
                    ) from error
            # Here the error is gone, and with it the arrays that its frames held.
            self._lower(size)

    def _lower(self, size: int) -> None:
        """To half of what did not fit, unless that has been done meanwhile."""
        if self._most is not None and self._most < size:
            return
        self._most = size // 2
        warnings.warn(
            f"out of memory with {size:,} networks at a time; going on with "
            f"{self._most:,}, which changes no number",
            OutOfMemoryWarning,
            stacklevel=2,
        )


def is_out_of_memory(error: Exception) -> bool:
    """Whether Python or a device ran out of memory."""
    text = str(error)
    if isinstance(error, MemoryError) or text == "can't start new thread":
        return True
    if isinstance(error, ImportError) and "failed to map segment" in text:
        return True
    return isinstance(error, jax.errors.JaxRuntimeError) and (
        "RESOURCE_EXHAUSTED" in text or "out of memory" in text.lower()
    )
