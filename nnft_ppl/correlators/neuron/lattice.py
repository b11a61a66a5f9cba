"""Trapezoidal quadrature over a Gaussian in a few dimensions.

In: a step and a radius. Out: the points of a body-centred lattice in a ball, with the
weights of the standard normal density. For an integrand analytic near the real axis
the error of the lattice sum falls faster than any power of the step, and at equal
error the body-centred lattice has half the points of the cubic one in four dimensions.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import scipy.special
from jaxtyping import Float


def ball_lattice(
    rank: int, step: float, radius: float, *, even: bool = False
) -> Iterator[tuple[Float[np.ndarray, "node axis"], Float[np.ndarray, " node"]]]:
    """Yield lattice points within the ball and their weights, slice by slice.

    Args:
        rank: Dimension.
        step: Spacing of the two cubic lattices, one shifted by half a step along every
            axis, that make the body-centred one.
        radius: Of the ball, centred on the origin.
        even: The integrand is even: take one of each pair of opposite points, with
            twice the weight.

    Returns:
        Points and weights ½ step^rank · standard normal density.
    """
    reach = int(np.ceil(radius / step)) + 1
    num_axis = 2 * reach + 1
    for shift in (0.0, 0.5):
        axis = step * (np.arange(-reach, reach + 1) + shift)
        index = np.indices((num_axis,) * (rank - 1))
        rest = axis[index.reshape(rank - 1, num_axis ** (rank - 1))].T
        rest_squared = np.sum(rest**2, axis=1)
        for value in axis[axis >= 0] if even else axis:
            pairs = 2 if even and value > 0 else 1
            squared = rest_squared + value**2
            inside = squared < radius**2
            points = np.insert(rest[inside], 0, value, axis=1)
            density = np.exp(-squared[inside] / 2) / (2 * np.pi) ** (rank / 2)
            yield points, pairs * step**rank / 2 * density


def has_parity(
    activation: Callable[[np.ndarray], np.ndarray], std: Float[np.ndarray, " point"]
) -> bool:
    """Whether all activations are odd or all are even, so that even products are even.

    Args:
        activation: z (point, node) -> φ.
        std: Standard deviations of z.
    """
    along = np.linspace(0.01, 8.0, 800)
    right = activation(np.outer(std, along))
    left = activation(np.outer(std, -along))
    return bool(np.array_equal(left, right) or np.array_equal(left, -right))


def enclosing_radius(
    activation: Callable[[np.ndarray], np.ndarray],
    std: Float[np.ndarray, " point"],
    rank: int,
    orders: Sequence[int],
    target: float,
) -> tuple[float, dict[int, float]]:
    """Radius of a ball that holds the moments, and by order the relative part outside.

    By Hölder the part of any entry outside is at most the product over its legs of
    E[|φ_i|^k; outside]^{1/k}, where each is an integral over z_i alone.

    Args:
        activation: z (point, node) -> φ.
        std: Standard deviations of z.
        rank: Dimension of the ball.
        orders: Even numbers k.
        target: The relative part outside that is small enough.
    """
    along = np.linspace(-25.0, 25.0, 5001)
    size = np.abs(activation(np.outer(std, along)))
    density = np.exp(-(along**2) / 2)
    outside = {}
    for radius in np.arange(6.0, 20.5, 0.5):
        tail = density * _outside_ball(rank, radius, along)
        for order in orders:
            part, whole = size**order @ tail, size**order @ density
            ratio = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
            outside[order] = float(ratio.max())
        if max(outside.values()) < target:
            break
    return float(radius), outside


def _outside_ball(
    rank: int, radius: float, along: Float[np.ndarray, " node"]
) -> Float[np.ndarray, " node"]:
    """Probability that a normal vector leaves the ball, given one of its components."""
    left = radius**2 - along**2
    if rank == 1:
        return np.asarray(left < 0, dtype=np.float64)
    tail = scipy.special.gammaincc((rank - 1) / 2, np.maximum(left, 0.0) / 2)
    return np.asarray(tail, dtype=np.float64)
