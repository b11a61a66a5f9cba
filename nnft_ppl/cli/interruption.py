"""Ending cleanly when told to: SIGTERM is answered as Ctrl-C is."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

INTERRUPTED = 130
"""Exit code of a command that was interrupted."""


@contextmanager
def interruptible() -> Iterator[None]:
    """Within, SIGTERM raises KeyboardInterrupt; what it did before holds again after.

    Batch systems send SIGTERM when time is up. By default it ends Python at once, with
    nothing saved and no temporary file removed.
    """
    if threading.current_thread() is not threading.main_thread():
        # Python delivers signals to the main thread and lets no other set handlers.
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
