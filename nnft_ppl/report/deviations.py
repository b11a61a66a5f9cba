"""The approach to the Gaussian process in words: how far, how it falls, what it is."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from nnft_ppl._numbers import SMALL, percent
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.deviation import Deviation, mean_deviation
from nnft_ppl.correlators.origin import DRAWN
from nnft_ppl.correlators.sampled.estimators import PLAIN
from nnft_ppl.report.results import Approach, Results

ORDER = 4
"""Of the correlator that tells first that a network is not Gaussian."""
_NEAR = 0.01
_RESOLVED = 3.0
"""Standard errors from which on a deviation is said to be seen."""


def best_by_width(results: Approach | Results) -> list[Correlators]:
    """One a width, ascending: exact where there are any, never the plain moments."""
    by_width: dict[int, Correlators] = {}
    plain = all(c.estimator == PLAIN.name for c in results.correlators)
    for c in results.correlators:
        if plain or c.estimator != PLAIN.name:
            by_width[c.network.width] = c  # exact ones come last
    return [by_width[width] for width in sorted(by_width)]


def is_seen(deviation: Deviation) -> bool:
    """Whether a deviation can be told from noise."""
    trusted = not deviation.is_heavy_tailed
    return trusted and deviation.value > _RESOLVED * deviation.error


def deviation_text(deviation: Deviation) -> str:
    """`0.12 % ± 0.01 %`; an error that rounds to nothing is left out."""
    error = f" ± {percent(deviation.error)}" if deviation.error >= SMALL else ""
    return percent(deviation.value) + error


def distance_sentence(results: Approach | Results) -> Markup:
    """How far the narrowest and the widest network are from the Gaussian process."""
    best = best_by_width(results)
    parts = []
    for correlators in best[:: max(1, len(best) - 1)]:
        found = mean_deviation(correlators, ORDER)
        seen = "" if is_seen(found) else ", which is not told from noise"
        if found.is_heavy_tailed:
            few = f"a few {correlators.origin.members} of a heavy tail"
            seen = f", where {few} dominate some entries"
        where = f" at width {correlators.network.width:,}"
        if correlators.origin is DRAWN:
            where = ""
        parts.append(f"{deviation_text(found)}{where}{seen}")
    return Markup(
        "The 4-point function of {} is away from that of the Gaussian process by {}."
    ).format(results.network.name, ", and by ".join(parts))


def reference_sentence(correlators: Correlators) -> Markup:
    """Which Gaussian process it is."""
    network = correlators.network
    if network.kernel_draws is not None:
        error = network.kernel_error(correlators.x)
        size = np.sqrt(np.diag(network.kernel(correlators.x)))
        relative = float((error / np.outer(size, size)).max())
        return Markup(
            "The Gaussian process has the 2-point function of each width, measured on "
            "{:,} other networks to {}."
        ).format(network.kernel_draws.num_draws, percent(relative))
    if network.has_kernel:
        return Markup(
            "The Gaussian process is that of infinite width, whose kernel is known."
        )
    where = "" if correlators.origin is DRAWN else " at each width"
    return Markup(
        "No kernel is known, so the Gaussian process has the 2-point function measured"
        "{}, which then deviates by nothing: the connected 4- and 6-point functions "
        "are what is compared with zero."
    ).format(where)


def fall_sentences(best: Sequence[Correlators]) -> tuple[Markup, ...]:
    """How the deviation of the 4-pt function falls, and where it would be small."""
    if best[0].origin is DRAWN:
        return ()  # of one width, that of no network perhaps
    rows = [(c.network.width, mean_deviation(c, ORDER)) for c in best]
    seen = [(width, found) for width, found in rows if is_seen(found)]
    if not seen:
        return ()
    (first, large), (last, small) = seen[0], seen[-1]
    text = Markup(
        "If it falls as one over the width, the 4-point function is within {} from "
        "width {:,} on."
    ).format(percent(_NEAR), max(1, int(np.ceil(last * small.value / _NEAR))))
    if first == last:
        return (text,)
    slope = np.log(small.value / large.value) / np.log(last / first)
    error = np.hypot(small.error / small.value, large.error / large.value)
    error /= np.log(last / first)
    power = f"{slope:.2f}" + (f" ± {error:.2f}" if error >= 0.005 else "")
    return (
        Markup(
            "From width {} to {} the deviation of the 4-point function goes as the "
            "width to the power {} (−1 is expected of N independent units)."
        ).format(first, last, power.replace("-", "−")),
        text,
    )
