"""When long work saves its state: now and then, at the end, and when it fails."""

import time
from collections.abc import Callable
from pathlib import Path

from nnft_ppl._checkpoint import warn_unsaved

SAVE_SECONDS = 5.0
"""Between two checkpoints: what a killed run may lose."""
SAVING_SHARE = 0.05
"""Most of the time that may go into writing them."""


class Saving:
    """Saves what there is, seldom enough; what cannot be saved stays in memory."""

    def __init__(
        self, what: str, checkpoint: Path | None, save: Callable[[], bool]
    ) -> None:
        """Start the clock.

        Args:
            what: Is saved, in words.
            checkpoint: Where, for the warning.
            save: Writes it; says whether there was anything to write.
        """
        self._what, self._checkpoint, self._save = what, checkpoint, save
        self._last, self._took = time.perf_counter(), 0.0

    def if_due(self) -> None:
        """Save, unless that was not long ago or would take too much of the time."""
        since = time.perf_counter() - self._last
        if since > max(SAVE_SECONDS, self._took / SAVING_SHARE):
            self.now()

    def now(self, save: Callable[[], bool] | None = None) -> None:
        """Save, by another function if one is given.

        Warns:
            CheckpointWarning: It could not be saved, and may be later.
        """
        begun = time.perf_counter()
        try:
            if (save or self._save)():
                self._last = time.perf_counter()
                self._took = self._last - begun
        except (OSError, MemoryError) as failure:
            self._last = time.perf_counter()
            warn_unsaved(self._what, self._checkpoint, failure)


def save_after(
    failure: Exception, save: Callable[[], object], checkpoint: Path | None
) -> None:
    """Save what there is, and add to the error how the work goes on."""
    if checkpoint is None:
        return
    try:
        save()
    except Exception as error:  # whatever it is, the first one is to be seen
        failure.add_note(f"the sums could not be saved to `{checkpoint}`: {error}")
        return
    if checkpoint.exists():
        failure.add_note(f"the same work goes on from `{checkpoint}`")
