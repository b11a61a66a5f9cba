r"""How a connected correlator falls with the width: the exponent with its error.

In: `Correlators` of one network at several widths. Out: `Falloff`. In natural units,
g_e = G_c^(k)_e / Π_i √K(x_i, x_i), the size of n entries at one width is

.. math:: S^2 = \frac1n \big( |\hat g|^2 - \mathrm{tr}\, Σ \big), \qquad
    \mathrm{var}\, S^2 = \frac1{n^2} \big( 4\, g^T Σ g + 2\, \mathrm{tr}\, Σ^2 \big)

with Σ the covariance of the estimate: what noise alone would give, the background, is
taken off, so that S² is right on average however small it is. A width at which it is
lost is said to be, and is left out of the straight line log S = log A + p log N.

Source: arXiv:2008.08601 §2.4, with the noise from the covariance in place of the spread
    of ten experiments, and connected correlators, whose powers do not mix, in place of
    full ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import ArrayLike
from scipy import stats

from nnft_ppl._arguments import check_kind, check_whole
from nnft_ppl._errors import FitError, SpecError, shown
from nnft_ppl._html import card
from nnft_ppl._html import table as html_table
from nnft_ppl._numbers import with_error
from nnft_ppl._rms import rms
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.noise_free_square import SEEN, noise_free_square
from nnft_ppl.correlators.symmetric import entry_size
from nnft_ppl.diagnostics.width.law import weighted_fit

_EXACT_FLOOR = 1e-9
"""Relative precision granted to exact correlators."""
USED, LOST, HEAVY, ZERO = "", "below noise", "heavy tail", "zero"


@dataclass(frozen=True, eq=False)
class Falloff:
    """The power of the width N by which a connected correlator falls, size = A Nᵖ.

    Attributes:
        name: Of the network.
        order: k.
        table: A row a width, ascending: `size`, root mean square over entries of
            G_c^(k) in units of Π_i √K(x_i, x_i), the noise taken off (0 where it is
            all); `error`, one standard error of it; `background`, what noise alone
            would give; `left_out`, why the fit has no use for it, or "".
        exponent: p.
        exponent_error: One standard error, widened by the scatter about the law where
            that is larger than the errors.
        amplitude: A.
        p_value: Of χ² about the law by the errors alone; NaN of two widths.
        covariance: (2, 2) of log A and p.
    """

    name: str
    order: int
    table: pd.DataFrame
    exponent: float
    exponent_error: float
    amplitude: float
    p_value: float
    covariance: np.ndarray

    def __repr__(self) -> str:
        """Show the law."""
        return f"Falloff({self.message})"

    def _repr_html_(self) -> str:
        """The table for notebooks, and the law in a sentence."""
        rows = [
            ("power", with_error(self.exponent, self.exponent_error)),
            ("expected", f"{self.expected:g}"),
            ("", html_table(self.table.reset_index())),
        ]
        return card("Falloff", rows, self.message)

    @property
    def expected(self) -> float:
        """The power of N at leading order: −(k/2 − 1)."""
        return 1 - self.order / 2

    @property
    def message(self) -> str:
        """The law in a sentence, with the widths that it has no use for."""
        used = self.table.index[self.table["left_out"] == USED]
        power = with_error(self.exponent, self.exponent_error)
        parts = [
            f"G{self.order}c of {self.name} falls as the width to the power {power} "
            f"from width {used.min()} to {used.max()}"
        ]
        for reason in (LOST, HEAVY, ZERO):
            widths = self.table.index[self.table["left_out"] == reason]
            if len(widths):
                many = "widths" if len(widths) > 1 else "width"
                listed = ", ".join(map(str, widths))
                parts.append(f"left out as {reason}: {many} {listed}")
        return "; ".join(parts)

    def law(self, widths: ArrayLike) -> np.ndarray:
        """A Nᵖ at widths N."""
        return np.asarray(self.amplitude * np.asarray(widths, float) ** self.exponent)

    def law_error(self, widths: ArrayLike) -> np.ndarray:
        """One standard error of log(A Nᵖ), which is a relative one of the law."""
        logs = np.log(np.asarray(widths, dtype=float))
        design = np.stack([np.ones_like(logs), logs], axis=-1)
        variance = np.einsum("...i,ij,...j->...", design, self.covariance, design)
        return np.asarray(np.sqrt(variance))


def falloff(correlators: Iterable[Correlators], order: int = 4) -> Falloff:
    """The exponent with which a connected correlator falls with the width.

    Args:
        correlators: Of one network at the same inputs, one for each of two widths or
            more, measured or exact.
        order: k, 3 or more; the 2-pt function does not fall.

    Returns:
        The exponent, its error, and the sizes that it is from.

    Raises:
        SpecError: Not two widths, two of one width, networks or inputs that differ in
            more than the width, or an order that is not there.
        FitError: Fewer than two widths are seen above the noise.
    """
    if isinstance(correlators, Correlators) or not isinstance(correlators, Iterable):
        raise SpecError(
            f"`correlators` is {shown(correlators)}; expected a list of "
            "nnft_ppl.Correlators, one for each width"
        )
    found = list(correlators)
    for one in found:
        check_kind("correlators", one, Correlators, "a list of nnft_ppl.Correlators")
    order = check_whole("order", order, 3)
    _check_alike(found)
    rows = {one.network.width: _size(one, order) for one in found}
    table = pd.DataFrame.from_dict(
        rows, orient="index", columns=["size", "error", "background", "left_out"]
    ).sort_index()
    table.index.name = "width"
    seen = table[table["left_out"] == USED]
    if len(seen) < 2:
        reasons = ", ".join(
            f"width {width}: {reason}"
            for width, reason in table["left_out"].items()
            if reason
        )
        raise FitError(
            f"an exponent needs two widths at which G{order}c is seen; there are "
            f"{len(seen)} ({reasons}): measure more networks, or smaller widths"
        )
    logs = np.log(seen.index.to_numpy(dtype=float))
    size = seen["size"].to_numpy()
    relative = np.maximum(seen["error"].to_numpy() / size, _EXACT_FLOOR)
    design = np.stack([np.ones_like(logs), logs], axis=1)
    best, covariance = weighted_fit(design, np.log(size), relative)
    chi2 = float(np.sum(((np.log(size) - design @ best) / relative) ** 2))
    freedom = len(seen) - 2
    return Falloff(
        name=found[0].network.name,
        order=order,
        table=table,
        exponent=float(best[1]),
        exponent_error=float(np.sqrt(covariance[1, 1])),
        amplitude=float(np.exp(best[0])),
        p_value=float(stats.chi2.sf(chi2, freedom)) if freedom else np.nan,
        covariance=covariance,
    )


def _check_alike(found: list[Correlators]) -> None:
    """Refuse what differs in more than the width."""
    widths = [one.network.width for one in found]
    twice = sorted({width for width in widths if widths.count(width) > 1})
    if twice:
        raise SpecError(
            f"`correlators` holds width {twice[0]} more than once; give one of each "
            "width, by one estimator"
        )
    if len(widths) < 2:
        raise SpecError(
            f"`correlators` holds {len(widths)} widths; an exponent needs two at least"
        )
    first = found[0]
    for one in found[1:]:
        same = one.network.name == first.network.name and replace(
            one.network.hyperparameters, width=1
        ) == replace(first.network.hyperparameters, width=1)
        if not same or not np.array_equal(one.x, first.x):
            what = "inputs" if same else "networks"
            raise SpecError(
                f"`correlators` are of different {what}; expected the same in all but "
                f"the width, not {first!r} and {one!r}"
            )


def _size(correlators: Correlators, order: int) -> tuple[float, float, float, str]:
    """S, its error, the background, and why it is left out."""
    network = correlators.network
    if network.has_kernel:
        variance = np.repeat(
            np.diag(network.kernel(correlators.x)), correlators.num_outputs
        )
    else:
        first, second = correlators.entries(2).T
        variance = correlators.connected(2)[first == second]
    unit = entry_size(variance, order)
    alive = unit > 0  # a field that is zero at an input has nothing to fall
    unit = unit[alive]
    values = correlators.connected(order)[alive] / unit
    if not values.any():
        return 0.0, 0.0, 0.0, ZERO
    if correlators.is_exact:
        error = rms(correlators.connected_error(order)[alive] / unit)
        return rms(values), error, 0.0, USED
    covariance = correlators.covariance(order)[np.ix_(alive, alive)]
    covariance = covariance / np.outer(unit, unit)
    number = len(values)
    square, spread = noise_free_square(values, covariance)
    background = float(np.sqrt(np.trace(covariance) / number))
    size = float(np.sqrt(max(square, 0.0) / number))
    if square < SEEN * spread:
        # √ of an end of the interval, where the size itself may be 0.
        return size, float(np.sqrt(spread / number)), background, LOST
    heavy = correlators.heavy_tailed(order)[alive].any()
    return size, spread / (2 * size * number), background, HEAVY if heavy else USED
