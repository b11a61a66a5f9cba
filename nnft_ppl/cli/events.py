"""What a command tells on stderr while it works: lines for people or JSON events."""

import json
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from nnft_ppl.cli.options import plain, say

if TYPE_CHECKING:
    from nnft_ppl.ensemble.progress import Monitor, Progress

_EVENT_SECONDS = 1.0
"""Between two events of progress."""
_PREFIX = {"interrupted": "nnft: ", "note": "note: ", "warning": "warning: "}
"""Before a line for people; an event carries its name anyway."""


class Events:
    """Tells what happens: one line each, with --json one JSON object each."""

    def __init__(self, *, as_json: bool) -> None:
        """For a command that was given --json, or not."""
        self.as_json = as_json

    def tell(self, event: str, message: str, **fields: Any) -> None:
        """Say `message`; as JSON, `event` and `fields` beside it."""
        if self.as_json:
            self._emit({"event": event, "message": message, **fields})
        else:
            say(_PREFIX.get(event, "") + message)

    @contextmanager
    def watching(
        self, label: str, target_error: float | None = None, quantity: str = "G4c"
    ) -> "Iterator[Monitor]":
        """A monitor for the work within; warnings are told as events.

        Events with --json, else a bar on a terminal, else a line now and then.

        Args:
            label: What is at work.
            target_error: The relative error at which it will stop, or `None`.
            quantity: Of which the error is.
        """
        with ExitStack() as stack:
            stack.enter_context(self.telling_warnings())
            if self.as_json:
                yield self._monitor()
                return
            from nnft_ppl.ensemble.progress import shown

            yield stack.enter_context(shown(label, target_error, quantity))

    @contextmanager
    def watching_each(self) -> "Iterator[bool | Monitor]":
        """The same for several works: told as events, or a bar for each."""
        if self.as_json:
            with self.watching("") as monitor:
                yield monitor
        else:
            with self.telling_warnings():
                yield True

    @contextmanager
    def telling_warnings(self) -> Iterator[None]:
        """Warnings within are told as events."""
        with warnings.catch_warnings():
            warnings.showwarning = self._warned  # type: ignore[assignment]  # any rest
            yield

    def _warned(self, message: Warning | str, *_: object) -> None:
        from tqdm import tqdm

        with tqdm.external_write_mode():  # a bar makes room
            self.tell("warning", str(message))

    def _monitor(self) -> "Monitor":
        last = float("-inf")

        def monitor(progress: "Progress") -> None:
            nonlocal last
            now = time.perf_counter()
            if now - last < _EVENT_SECONDS and progress.num_draws < progress.total:
                return
            last = now
            left = progress.seconds_left
            self._emit(
                {
                    "event": "progress",
                    "num_draws": progress.num_draws,
                    "total": progress.total,
                    f"{progress.unit}_per_second": progress.rate,
                    "seconds_left": None if left == float("inf") else left,
                    "relative_error": progress.relative_error,
                    "memory_bytes": progress.memory,
                }
            )

        return monitor

    def _emit(self, event: dict[str, Any]) -> None:
        say(json.dumps(plain(event), sort_keys=True))
