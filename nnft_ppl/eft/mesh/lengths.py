"""The kernel's own lengths: over which distance it changes by half its size.

In: a network and points. Out: one length per point. Without panels of that size a
kernel much narrower than the spacing of the inputs could fall between all nodes, and
the error estimate would not notice.
"""

import numpy as np
from jaxtyping import Float

from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Points

_SMALLEST = 40  # halvings of the longest distance
_KERNEL_BLOCK = 1024  # nodes a kernel call: one shape, so one compilation


def kernel_lengths(
    network: Network, x: Points, axes: Matrix, longest: float
) -> Float[np.ndarray, " centre"]:
    """Length at every input and, last, at the origin; ∞ where it never changes so much.

    An input feels its own kernel; the origin, every one.

    Args:
        network: Its propagator is used.
        x: Inputs (point, dim), none of them at the origin counted twice.
        axes: Unit vectors (axis, dim) along which steps are made, both ways.
        longest: The longest step tried is half of it.
    """
    centres = np.concatenate([x, np.zeros((1, x.shape[1]))])
    steps = np.ldexp(longest, -np.arange(1, _SMALLEST + 1))
    ways = np.concatenate([axes, -axes])
    offsets = (steps[:, None, None] * ways).reshape(-1, x.shape[1])
    offsets = np.concatenate([np.zeros((1, x.shape[1])), offsets])
    nodes = (centres[:, None] + offsets).reshape(-1, x.shape[1])
    table = _propagator(network, x, nodes).reshape(len(x), len(centres), len(offsets))
    change = np.abs(table - table[..., :1])[..., 1:]
    size = _propagator(network, x, x).diagonal()[:, None, None]
    own = np.eye(len(x), len(centres), dtype=bool)
    own[:, -1] = True
    moved = ((change > size / 2) & own[..., None]).any(axis=0)
    moved = moved.reshape(len(centres), len(steps), -1).any(axis=2)
    return np.where(moved, steps, np.inf).min(axis=1)


def _propagator(network: Network, x: Points, nodes: Points) -> Matrix:
    """K_W(x, y), in blocks of one size so that the kernel is compiled once."""
    missing = -len(nodes) % _KERNEL_BLOCK
    padded = np.pad(nodes, ((0, missing), (0, 0)), mode="edge")
    blocks = [
        network.propagator(x, block)
        for block in padded.reshape(-1, _KERNEL_BLOCK, nodes.shape[1])
    ]
    return np.concatenate(blocks, axis=1)[:, : len(nodes)]
