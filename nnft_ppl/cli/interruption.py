"""Ending cleanly when told to: SIGTERM is answered as Ctrl-C is."""

import signal
import sys
import threading
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

INTERRUPTED = 130
"""Exit code of a command that was interrupted."""
_AGAIN_SECONDS = 0.05
"""After which an interruption that was lost comes again."""


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
    before, told = signal.signal(signal.SIGTERM, _interrupt), sys.unraisablehook

    def again(lost: "sys.UnraisableHookArgs") -> None:
        """Python drops what is raised while an object is destroyed; not this."""
        if lost.exc_type is not KeyboardInterrupt:
            told(lost)
            return
        later = threading.Timer(_AGAIN_SECONDS, interrupt_main, [signal.SIGTERM])
        later.daemon = True
        later.start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = told
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt
