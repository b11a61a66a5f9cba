"""Whether a field and its negative are alike: is its mean zero, do odd orders vanish.

In: measured correlators with odd orders. Out: one test for each odd order and one for
all together, each with a p-value that counts all correlations between entries.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from nnft_ppl._arguments import check_kind, check_number
from nnft_ppl._errors import SpecError
from nnft_ppl._numbers import significant
from nnft_ppl.correlators.correlators import Correlators

_SAME = 1e-8
"""Of the largest eigenvalue of the correlation matrix: below, entries say the same."""


@dataclass(frozen=True)
class SymmetryTest:
    """A test of connected correlators being zero; reads like a `Check`.

    Attributes:
        name: `mean`, `order_3`, … or `odd_orders` of all together.
        value: p, the chance of as much or more where they vanish: uniform then.
        threshold: The significance level.
        passed: Whether p is at least that.
        message: What it means, for people.
        orders: Tested.
        statistic: Hotelling's T²; infinite where an entry is known without error, and
            not zero.
        num_modes: Independent combinations of entries, p of the F distribution.
    """

    name: str
    value: float
    threshold: float
    passed: bool
    message: str
    orders: tuple[int, ...]
    statistic: float
    num_modes: int


def sign_symmetry(
    correlators: Correlators, *, significance: float = 0.01
) -> list[SymmetryTest]:
    r"""Test whether f and −f are alike, as even orders and actions of even fields say.

    With z the connected correlators of an order, C their covariance from B means over
    batches and p its rank,

    .. math:: T^2 = z^T C^{-1} z, \qquad \frac{B - p}{p (B - 1)} T^2 \sim F(p, B - p)

    where they vanish. The second factor is what C being an estimate does; for many
    batches T² is χ² of p degrees.

    Args:
        correlators: Measured, with odd orders: of draws, or of networks. Those that a
            symmetry of the network forbids are zero unless `estimator="moments"`.
        significance: p below which a test fails, between 0 and 1.

    Returns:
        A test for each odd order, and where there are several one for all of them.

    Raises:
        SpecError: There are no odd orders or no sampling error, or fewer batches than
            entries.

    Source: H. Hotelling, Ann. Math. Statist. 2 (1931) 360.
    """
    check_kind("correlators", correlators, Correlators)
    level = check_number(
        "significance", significance, lambda p: 0 < p < 1, "a number between 0 and 1"
    )
    if correlators.is_exact:
        raise SpecError(
            f"these correlators are {correlators.origin}: whether odd ones vanish can "
            "be read off `connected`; a test is of measured ones"
        )
    odd = tuple(k for k in correlators.orders if k % 2)
    if not odd:
        raise SpecError(
            f"the correlators hold orders {correlators.orders} and take the odd ones "
            "for zero; measure with orders=(1, 2, 3)"
        )
    groups: list[tuple[str, tuple[int, ...]]]
    groups = [("mean" if k == 1 else f"order_{k}", (k,)) for k in odd]
    groups += [("odd_orders", odd)] if len(odd) > 1 else []
    return [vanishing(correlators, name, orders, level) for name, orders in groups]


def vanishing(
    correlators: Correlators, name: str, orders: tuple[int, ...], level: float
) -> SymmetryTest:
    """One test: that the connected functions of these orders vanish together.

    Raises:
        SpecError: Fewer batches than entries.
    """
    values = np.concatenate([correlators.connected(k) for k in orders])
    covariance = correlators.joint_block(orders)
    error = np.sqrt(np.diag(covariance))
    varies = error > 0  # what a symmetry forbids does not
    z = values[varies] / error[varies]
    matrix = covariance[np.ix_(varies, varies)] / np.outer(error[varies], error[varies])
    eigenvalues, modes = np.linalg.eigh(matrix)
    kept = eigenvalues > _SAME * eigenvalues.max(initial=0.0)
    rank, number = int(kept.sum()), correlators.num_batches
    if rank >= number:
        raise SpecError(
            f"the covariance of {rank} entries of orders {orders} is from {number} "
            "batches, too few for a test; give more draws, fewer inputs or lower orders"
        )
    statistic = float(np.sum((modes[:, kept].T @ z) ** 2 / eigenvalues[kept]))
    chance = 1.0
    if rank:
        ratio = (number - rank) / (rank * (number - 1)) * statistic
        chance = float(stats.f.sf(ratio, rank, number - rank))
    is_known = bool(values[~varies].any())  # as the mean of an output bias is
    if is_known:
        statistic, chance = np.inf, 0.0
    what = "the mean" if orders == (1,) else f"connected functions of orders {orders}"
    if len(orders) == 1 and orders != (1,):
        what = f"the connected {orders[0]}-pt function"
    passed = chance >= level
    told = "within its noise of zero" if passed else f"not zero; {_meaning(orders)}"
    if not rank and not is_known:
        told = "zero by a symmetry of the network"
    return SymmetryTest(
        name=name,
        value=chance,
        threshold=level,
        passed=passed,
        message=f"{what}: {told} (p = {significant(chance)}, T² = "
        f"{statistic:.4g} in {rank} modes)",
        orders=orders,
        statistic=statistic,
        num_modes=rank,
    )


def _meaning(orders: tuple[int, ...]) -> str:
    """What it means for an action that such functions do not vanish."""
    if orders == (1,):
        return "fits take it off, unless the action has an operator of one field"
    if len(orders) == 1:
        return f"an action takes an operator of {orders[0]} fields to make it"
    return "f and −f are not alike"
