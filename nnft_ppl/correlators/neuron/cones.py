"""Quadrature over a sphere cut by hyperplanes through the origin.

In: the normals of the hyperplanes where an integrand has kinks. Out: points and weights
for the uniform mean over the sphere, no kink inside any piece. Space is cut into
simplicial cones, so that on each the integrand is analytic and a Gauss rule converges
geometrically, in every dimension. The pieces need not be named, counted or matched with
their neighbours: cutting one cone in two is valid whatever the rounding.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np
import scipy.linalg
import scipy.special
from jaxtyping import Float

type _Cones = Float[np.ndarray, "cone ray axis"]

_ON_PLANE = 1e-13
"""A ray is in a hyperplane if the sine of their angle is below this."""

_WIDEST = -0.01
"""Cosine of the largest angle between two rays of a cone; wider cones are halved."""

_BLOCK = 1 << 16
"""Most points made at a time."""


def simplicial_cones(normals: Float[np.ndarray, "plane axis"]) -> _Cones:
    """Cut space by hyperplanes through the origin into cones spanned by unit rays.

    Args:
        normals: One row a hyperplane, of any length but zero; they span the space.

    Returns:
        Unit rays, shape (cone, axis, axis), one row a ray. No hyperplane meets the
        inside of a cone; cones do not overlap and fill the space.
    """
    units = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    rank = units.shape[1]
    # The best-conditioned independent hyperplanes make 2^rank cones with no cut.
    order = scipy.linalg.qr(units.T, mode="r", pivoting=True)[1]
    rays = np.linalg.inv(units[order[:rank]]).T
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    signs = np.array(list(product((1.0, -1.0), repeat=rank)))
    cones = signs[:, :, None] * rays
    for normal in units[order[rank:]]:
        cones = _cut(cones, normal)
    return _halve_wide(cones)


def sphere_rules(
    cones: _Cones, num_nodes: int
) -> Iterator[tuple[Float[np.ndarray, "node axis"], Float[np.ndarray, " node"]]]:
    """Yield unit vectors and weights for the mean over the sphere, in blocks.

    Args:
        cones: Unit rays that fill the space, from `simplicial_cones`.
        num_nodes: Gauss nodes along each direction of a cone.

    Returns:
        Blocks of nodes and weights; the weights of all blocks sum to one.

    Source: with g = Vλ, λ in the standard simplex, the solid angle element of the cone
    with rays V is |det V| |Vλ|^{−r} dλ.
    """
    rank = cones.shape[-1]
    nodes, node_weights = _simplex_rule(rank - 1, num_nodes)
    area = 2 * np.pi ** (rank / 2) / scipy.special.gamma(rank / 2)
    block = max(1, _BLOCK // len(nodes))
    for start in range(0, len(cones), block):
        part = cones[start : start + block]
        points = np.tensordot(nodes, part, axes=(1, 1))
        length = np.linalg.norm(points, axis=-1)
        volume = np.abs(np.linalg.det(part))
        weights = node_weights[:, None] * volume / length**rank
        yield (points / length[..., None]).reshape(-1, rank), weights.ravel() / area


def _simplex_rule(
    dim: int, num_nodes: int
) -> tuple[Float[np.ndarray, "node corner"], Float[np.ndarray, " node"]]:
    """Barycentric nodes and weights on the simplex of `dim` + 1 corners.

    Collapsed (conical) product of Gauss–Jacobi rules; the weights sum to 1/dim!.
    """
    nodes, weights = np.ones((1, 1)), np.ones(1)
    for size in range(1, dim + 1):
        # Corner `size` takes the share u, the corners before it keep 1 − u.
        u, u_weights = scipy.special.roots_jacobi(num_nodes, size - 1, 0.0)
        u, u_weights = (u + 1) / 2, u_weights / 2**size
        before = nodes[:, None, :] * (1 - u)[None, :, None]
        last = np.broadcast_to(u[None, :, None], (len(nodes), num_nodes, 1))
        nodes = np.concatenate([before, last], axis=2).reshape(-1, size + 1)
        weights = (weights[:, None] * u_weights).ravel()
    return nodes, weights


def _cut(cones: _Cones, normal: Float[np.ndarray, " axis"]) -> _Cones:
    """Split the cones that the hyperplane meets, an edge at a time."""
    side = cones @ normal
    side[np.abs(side) < _ON_PLANE] = 0.0
    while (mixed := (side.max(axis=1) > 0) & (side.min(axis=1) < 0)).any():
        above, below = side[mixed].argmax(axis=1), side[mixed].argmin(axis=1)
        upper, lower = np.take_along_axis(
            side[mixed], np.stack([above, below], axis=1), axis=1
        ).T
        split = _split(cones[mixed], above, below, -lower, upper)
        # The new ray is put on the hyperplane by decree, so that the loop ends
        # whatever the rounding.
        sides = [side[mixed].copy(), side[mixed].copy()]
        np.put_along_axis(sides[0], above[:, None], 0.0, axis=1)
        np.put_along_axis(sides[1], below[:, None], 0.0, axis=1)
        cones = np.concatenate([cones[~mixed], split])
        side = np.concatenate([side[~mixed], *sides])
    return cones


def _halve_wide(cones: _Cones) -> _Cones:
    """Halve cones at their widest angle until none is wider than `_WIDEST`."""
    rank = cones.shape[-1]
    if rank == 1:
        return cones
    first, second = np.triu_indices(rank, 1)
    while True:
        cosines = np.einsum("cpi,cpi->cp", cones[:, first], cones[:, second])
        wide = cosines.min(axis=1) < _WIDEST
        if not wide.any():
            return cones
        pair = cosines[wide].argmin(axis=1)
        one = np.ones(len(pair))
        halves = _split(cones[wide], first[pair], second[pair], one, one)
        cones = np.concatenate([cones[~wide], halves])


def _split(
    cones: _Cones,
    first: np.ndarray,
    second: np.ndarray,
    first_share: np.ndarray,
    second_share: np.ndarray,
) -> _Cones:
    """Split each cone in two along the edge between its rays `first` and `second`.

    The new ray is the positive combination of the two with the shares given. The first
    half of the result has it in place of `first`, the second half of `second`.
    """
    row = np.arange(len(cones))
    ray = first_share[:, None] * cones[row, first]
    ray = ray + second_share[:, None] * cones[row, second]
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    halves = [cones.copy(), cones.copy()]
    halves[0][row, first] = ray
    halves[1][row, second] = ray
    return np.concatenate(halves)
