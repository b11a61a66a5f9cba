"""Networks too large to be drawn here, refused before anything is drawn."""

import os

from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl.ensemble.local import max_in_flight

_MOST_HELD = 2**31 - 1
"""Numbers of one network in memory: elements of sites are counted in 32 bits."""
_MOST_STREAMED = 2**27
"""Numbers of one network, activations included, of which none is kept: a chunk takes a
minute or two of a core, in which neither Ctrl-C nor SIGTERM is heard."""


def check_network_size(network: Network, numbers: int, *, held: bool) -> None:
    """Refuse a network that memory does not hold, or that hours do not draw.

    Args:
        network: What is to be drawn.
        numbers: What one takes, in random numbers, and activations if none is held.
        held: Whether all of one network's are in memory at a time.

    Raises:
        SpecError: It is too large.
    """
    name = f"{network.name} of width {network.width:,}"
    takes = f"one {name} takes {numbers:,} numbers"
    advice = (
        "give a smaller width, or use exact_correlators or recursion_correlators, "
        "which draw none"
    )
    most = _MOST_HELD if held else _MOST_STREAMED
    if numbers > most:
        raise SpecError(f"{takes}, where at most {most:,} can be drawn; {advice}")
    memory, together = host_memory(), max_in_flight(1)
    needed = 4 * numbers * together
    if held and memory is not None and needed > memory:
        raise SpecError(
            f"{takes}, {needed / 1e9:,.1f} GB with {together} at a time, where there "
            f"are {memory / 1e9:,.1f} GB; {advice}"
        )


def host_memory() -> int | None:
    """Bytes of the machine, `None` where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
