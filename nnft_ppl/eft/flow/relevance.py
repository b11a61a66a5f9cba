"""Which operators matter as the cutoff grows: their order of relevance.

In: an action and a network. Out: a table of exponents, local and asymptotic, from the
most to the least relevant operator at each cutoff.
"""

import numpy as np
import pandas as pd
from jaxtyping import ArrayLike

from nnft_ppl._network import Network
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.flow.exponents import local_exponent
from nnft_ppl.eft.integration.pair_sums import check_cutoffs

_FAR = 10.0 ** np.arange(4, 9)
"""Cutoffs, in units of the largest input, from which the limit Λ → ∞ is taken."""
_SETTLED = 1e-3
"""Change of the exponent over the last decade up to which it has a limit."""
_ALIKE = 1e-6
"""Operators whose exponents differ by less share a rank."""


def relevance(
    action: Action, network: Network, x: ArrayLike, cutoffs: ArrayLike
) -> pd.DataFrame:
    r"""Operators ordered by how their couplings run, most relevant first.

    The correlators fix what every operator contributes, whatever the cutoff; so the
    coupling of an operator taken alone runs as :math:`|g_i| ∝ Λ^{e_i}`, e_i the
    `local_exponent` d log|g_i| / d log Λ, and its response per unit coupling,
    ∂G_c/∂g_i in units of the Gaussian moment, as Λ^{−e_i}. Of two operators the one
    with the larger e is the more relevant: the other's coupling vanishes beside its own
    as the cutoff grows, g_j/g_i ∝ Λ^{e_j − e_i} → 0, and is the first to be left out of
    the action. This compares operators with different numbers of fields too, because e
    counts powers of Λ alone: for fields that grow like |y| in d dimensions the coupling
    of ∫ f^k has e = −(d + k), so that the 6-field coupling is less relevant than the
    4-field one by Λ⁻².

    Args:
        action: The operators.
        network: Supplies the propagator; its width plays no part.
        x: Distinct inputs (point, input_dim).
        cutoffs: Λ; at `math.inf` nothing runs and all are alike.

    Returns:
        One row per cutoff and operator, in order of relevance within each cutoff.
        Columns: cutoff, rank (1 the most relevant; alike exponents share one),
        operator, num_fields, exponent e_i(Λ), relative (e_i less the largest, the
        exponent of the ratio of couplings), asymptotic (limit of e_i as Λ → ∞; NaN
        where it has not settled eight decades above the inputs).

    Raises:
        SpecError: An operator's integrals all vanish, or see `first_order`.
        UnavailableError: See `first_order`.

    Source: theory.md §5; arXiv:2008.08601 (κ/λ → 0 as Λ → ∞).
    """
    given = check_cutoffs(cutoffs)
    points = network.check_inputs(x)
    far = _FAR * (np.abs(points).max() or 1.0)
    everywhere = local_exponent(action, network, x, np.concatenate([given, far]))
    limits = [_limit(column) for column in everywhere[len(given) :].T]
    rows = []
    for cutoff, exponents in zip(given, everywhere, strict=False):
        order = np.argsort(-exponents, kind="stable")
        rank = 1
        for place, i in enumerate(order):
            if place and exponents[order[place - 1]] - exponents[i] > _ALIKE:
                rank = place + 1
            rows.append(
                {
                    "cutoff": float(cutoff),
                    "rank": rank,
                    "operator": action.names[i],
                    "num_fields": action.operators[i].num_fields,
                    "exponent": float(exponents[i]) + 0.0,
                    "relative": float(exponents[i] - exponents[order[0]]),
                    "asymptotic": limits[i],
                }
            )
    return pd.DataFrame(rows)


def _limit(exponents: np.ndarray) -> float:
    """Limit of exponents at cutoffs a decade apart, which approach it as a power.

    Aitken's Δ² removes the leading power c Λ^{−p} without knowing p; where the changes
    are rounding the last value is the limit.
    """
    before, middle, last = exponents[-3:]
    change, second = last - middle, (last - middle) - (middle - before)
    if not abs(change) <= _SETTLED:
        return float("nan")
    shrinking = 0 < change * (middle - before) and abs(change) < abs(middle - before)
    return float(last - change**2 / second if shrinking else last) + 0.0  # no −0
