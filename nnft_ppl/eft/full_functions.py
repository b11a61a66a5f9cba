"""From connected correlators to the full k-pt functions, by powers of 1/N.

In: the kernel and the connected correlators that an action predicts. Out: G^(k) = the
disconnected pieces + G^(k)_c.
"""

from collections.abc import Mapping
from itertools import combinations
from math import isqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from nnft_ppl._errors import SpecError
from nnft_ppl._typing import Matrix, Packed
from nnft_ppl.correlators.partitions import even_partitions, partitions
from nnft_ppl.correlators.symmetric import entries, num_entries, positions


class Product(NamedTuple):
    """One partition with several blocks larger than a pair.

    Args:
        factor: Product of the pairs' kernels, (entry,).
        blocks: Size m of each larger block, and where in packed G^(m)_c it looks.
    """

    factor: Packed
    blocks: tuple[tuple[int, np.ndarray], ...]


class FullMap(NamedTuple):
    """G^(k) as a polynomial in the connected correlators, for one fixed kernel.

    Args:
        gaussian: G^(k) of the Gaussian process.
        linear: m -> matrix that takes packed G^(m)_c to its part of packed G^(k).
        products: Partitions with more than one block larger than a pair.
    """

    gaussian: Packed
    linear: Mapping[int, Matrix]
    products: tuple[Product, ...]

    def apply(
        self, connected: Mapping[int, Float[np.ndarray, "*batch entry"]]
    ) -> Float[np.ndarray, "*batch entry"]:
        """Full correlators; arguments as in `full_from_connected`.

        Raises:
            SpecError: A connected correlator has another number of entries.
        """
        parts = {k: np.asarray(connected[k]) for k in self.linear if k in connected}
        for k, part in parts.items():
            expected = self.linear[k].shape[1]
            if part.shape[-1] != expected:
                raise SpecError(
                    f"the connected {k}-pt correlator has {part.shape[-1]} entries; "
                    f"expected {expected} for the inputs of this kernel"
                )
        batch = np.broadcast_shapes(*(part.shape[:-1] for part in parts.values()))
        total = np.empty((*batch, len(self.gaussian)))
        total[...] = self.gaussian
        for k, part in parts.items():
            # Flattened: one product of matrices, not one per leading index.
            flat = part.reshape(-1, part.shape[-1]) @ self.linear[k].T
            total += flat.reshape(*part.shape[:-1], -1)
        for factor, blocks in self.products:
            if all(size in parts for size, _ in blocks):
                term = factor
                for size, place in blocks:
                    term = term * parts[size][..., place]
                total += term
        return total


def full_map(
    kernel: Packed, order: int, max_power: float, *, has_odd: bool = False
) -> FullMap:
    """The map from connected correlators to the full one, to a power of 1/N.

    G^(k) is the sum over partitions of the legs into even blocks. A block of m legs
    counts m/2 − 1 powers of 1/N: pairs none, G4c one, G6c two. Partitions with more
    powers than `max_power` are left out: at one, G4 = Σ_3 KK + G4c,
    G6 = Σ_15 KKK + Σ_15 K·G4c, G8 = Σ_105 KKKK + Σ_210 KK·G4c; at two, G6 gains G6c
    and G8 gains Σ_28 K·G6c + Σ_35 G4c·G4c. Where odd connected functions do not vanish
    there are odd blocks too, those of one leg left out: the field has no mean, or is
    taken less its mean (`around_mean` puts it back). At one, G3 = G3c,
    G5 = Σ_10 K·G3c and G6 gains Σ_10 G3c·G3c.

    Args:
        kernel: Packed 2-pt function, output bias included (`network.kernel`, not the
            propagator of the diagrams).
        order: Order k, even unless `has_odd`.
        max_power: Highest power of 1/N to which the connected correlators are complete;
            0 keeps the Gaussian process alone.
        has_odd: Whether there are odd connected functions.

    Source: theory.md §4, "6-pt prediction".

    Raises:
        SpecError: The order is not even and positive, or the kernel is not packed.
    """
    if not has_odd:
        check_order(order)
    num_points = _num_points(kernel)
    table = entries(num_points, order)
    rows = np.arange(len(table))
    gaussian = np.zeros(len(table))
    linear = {
        k: np.zeros((len(table), num_entries(num_points, k)))
        for k in range(3 if has_odd else 4, order + 1, 1 if has_odd else 2)
    }
    products = []
    for partition in (
        partitions(order, range(2, order + 1)) if has_odd else even_partitions(order)
    ):
        if sum(len(block) / 2 - 1 for block in partition) > max_power:
            continue
        factor, large = np.ones(len(table)), []
        for block in partition:
            place = positions(num_points, table[:, list(block)])
            if len(block) == 2:
                factor = factor * kernel[place]
            else:
                large.append((len(block), place))
        if not large:
            gaussian += factor
        elif len(large) == 1:
            size, place = large[0]
            np.add.at(linear[size], (rows, place), factor)
        else:
            products.append(Product(factor, tuple(large)))
    return FullMap(gaussian, linear, tuple(products))


def full_from_connected(
    kernel: Packed,
    connected: Mapping[int, Float[np.ndarray, "*batch entry"]],
    order: int,
    max_power: int,
) -> Float[np.ndarray, "*batch entry"]:
    """Full G^(order) from the kernel and connected correlators; see `full_map`.

    Args:
        kernel: Packed 2-pt function, output bias included.
        connected: Order (4, 6, …) -> packed connected correlators; leading axes (chain,
            draw, cutoff, …) broadcast together. Orders above `order` are not used, and
            a missing one counts as zero.
        order: Even order k.
        max_power: Highest power of 1/N kept.

    Raises:
        SpecError: The order is not even and positive, or sizes disagree.
    """
    return full_map(kernel, order, max_power).apply(connected)


def around_mean(
    mean: Float[np.ndarray, "*batch point"],
    central: Mapping[int, Float[np.ndarray, "*batch entry"]],
    order: int,
) -> Float[np.ndarray, "*batch entry"]:
    """Full G^(order) of a field with a mean from those of the field less its mean.

    The sum over all sets of legs that are at the mean:
    E Π (m_i + φ_i) = Σ_S Π_{i ∈ S} m_i · E Π_{i ∉ S} φ_i.

    Args:
        mean: (…, point).
        central: Order -> packed full correlators about the mean, all from 2 to `order`.
        order: k.
    """
    num_points = mean.shape[-1]
    table = entries(num_points, order)
    total = np.prod(mean[..., table], axis=-1)
    for number in range(2, order + 1):
        for free in combinations(range(order), number):
            at_mean = np.delete(table, free, axis=1)
            place = positions(num_points, table[:, list(free)])
            total += np.prod(mean[..., at_mean], axis=-1) * central[number][..., place]
    return np.asarray(total)


def check_order(order: int) -> None:
    """Refuse an order that no even correlator has.

    Raises:
        SpecError: It is not even and positive.
    """
    if order < 2 or order % 2:
        raise SpecError(
            f"order {order!r} is not allowed; expected an even number ≥ 2, because odd "
            "correlators vanish"
        )


def _num_points(kernel: Packed) -> int:
    """Number of points n of a packed (n, n) matrix.

    Raises:
        SpecError: The length is not n(n+1)/2 for any n.
    """
    size = np.shape(kernel)
    num_points = (isqrt(8 * size[0] + 1) - 1) // 2 if len(size) == 1 else 0
    if len(size) != 1 or num_entries(num_points, 2) != size[0] or not num_points:
        raise SpecError(
            f"the kernel has shape {size}; expected its n(n+1)/2 packed entries"
        )
    return num_points
