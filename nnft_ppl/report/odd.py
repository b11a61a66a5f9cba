"""Odd functions on the page: are f and −f alike, and what does the action make of them?

Nothing of this is on the page of a network that is symmetric and measured so.
"""

from collections.abc import Iterator

import numpy as np
from markupsafe import Markup

from nnft_ppl._errors import SpecError
from nnft_ppl._numbers import percent, significant, with_error
from nnft_ppl._rms import rms
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.diagnostics.symmetry import SymmetryTest, sign_symmetry
from nnft_ppl.plots import plot_prediction, png
from nnft_ppl.report.deviations import best_by_width
from nnft_ppl.report.results import Approach, Results
from nnft_ppl.report.tables import Row


def symmetry_rows(results: Results | Approach) -> list[Row]:
    """A test of every width each; none where odd orders were not measured."""
    return [
        {
            "width": found.network.width,
            "estimator": found.estimator,
            "mean": _largest_mean(found),
            "test": _named(test),
            "p_value": significant(test.value, 2)
            if test.value > 0
            else "0 to rounding",
            "passed": test.passed,
        }
        for found in _measured(results)
        for test in _tests(found)
    ]


def symmetry_lead(results: Results | Approach) -> Markup | None:
    """Whether f and −f are alike, in a sentence; `None` as above."""
    odd = [c for c in results.correlators if 1 in c.orders]
    if not odd:
        return None
    if not any(c.connected(k).any() for c in odd for k in c.orders if k % 2):
        return Markup("All odd functions vanish by the symmetry of {}.").format(
            results.network.name
        )
    tests = [test for found in _measured(results) for test in _tests(found)]
    single = [test for test in tests if len(test.orders) == 1 and not test.passed]
    failed = list(dict.fromkeys(map(_named, sorted(single, key=lambda t: t.orders))))
    if not tests:
        return Markup("Odd functions are exact, or of too few networks for a test.")
    if not failed and all(test.passed for test in tests):
        return Markup(
            "No odd function can be told from zero: f and −f may be alike (smallest p "
            "= {})."
        ).format(significant(min(test.value for test in tests), 2))
    what = " and ".join(f"the {name}" for name in failed) or "all odd orders together"
    return Markup(
        "f and −f are not alike: {} differ from zero. The Gaussian process that other "
        "orders are compared with has the same mean."
    ).format(what)


def odd_predictions(results: Results) -> list[Row]:
    """Odd functions at the middle cutoff, of an action with odd operators."""
    fit = results.fit
    if not fit.likelihood.has_odd_orders:
        return []
    data, cutoff = fit.correlators, results.six_point.cutoff
    rows = []
    for order in (k for k in data.orders if k % 2):
        measured = data.moment(order)
        size = rms(measured)
        if not size > 0:
            continue  # a mean that is a background, and taken out
        found = fit.predict(order, cutoff).values.mean(axis=(0, 1, 2))
        rows.append(
            {
                "order": order,
                "size": significant(size),
                "misfit": percent(rms(found - measured) / size),
                "gaussian": percent(rms(data.gaussian_moment(order) - measured) / size),
                "noise": percent(rms(data.error(order)) / size),
                "how": "fitted" if order in fit.likelihood.orders else "predicted",
            }
        )
    return rows


def draw_odd(results: Results) -> dict[str, bytes]:
    """The figure of the highest odd order, where the action predicts such."""
    rows, fit = odd_predictions(results), results.fit
    if not rows:
        return {}
    order = rows[-1]["order"]
    return {"odd": png(plot_prediction(fit, fit.correlators, order))}


def odd_alternative(results: Results) -> dict[str, str]:
    """The same for those who do not see it."""
    rows = odd_predictions(results)
    if not rows:
        return {}
    last = rows[-1]
    return {
        "odd": f"{last['order']}-point function, entry by entry, beside the "
        f"{results.fit.correlators.origin} one, a panel a cutoff: the action is off by "
        f"{last['misfit']} of its root mean square, the Gaussian process by "
        f"{last['gaussian']}."
    }


def _measured(results: Results | Approach) -> Iterator[Correlators]:
    """One a width, with odd orders and errors."""
    sampled = [c for c in results.correlators if not c.is_exact and 1 in c.orders]
    widths = {c.network.width for c in sampled}
    for found in best_by_width(results):
        width = found.network.width
        if width not in widths:
            continue
        own = [c for c in sampled if c.network.width == width]
        yield found if found in own else own[0]


def _tests(found: Correlators) -> list[SymmetryTest]:
    """Of its odd orders; none where there are too few networks."""
    try:
        return sign_symmetry(found)
    except SpecError:
        return []


def _named(test: SymmetryTest) -> str:
    """What is tested, in words."""
    if test.orders == (1,):
        return "mean"
    if len(test.orders) > 1:
        return "all odd orders"
    return f"connected {test.orders[0]}-point function"


def _largest_mean(found: Correlators) -> str:
    """The mean that is furthest from zero, with its error."""
    mean = found.connected(1)
    most = int(np.abs(mean).argmax())
    return with_error(float(mean[most]), float(found.connected_error(1)[most]))
