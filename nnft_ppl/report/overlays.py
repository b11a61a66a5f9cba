"""Figures with several runs in one: deviations, falloff, couplings.

In: the results of studies. Out: figures and what is said of them. What has one unit is
on one axis; what has not is in a figure of its own, or in natural units.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from markupsafe import Markup
from matplotlib.figure import Figure

from nnft_ppl._errors import FitError
from nnft_ppl._numbers import with_error
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.deviation import mean_deviation
from nnft_ppl.diagnostics.width.falloff import Falloff, falloff
from nnft_ppl.plots import (
    plot_couplings,
    plot_deviation,
    plot_falloff,
    plot_forest,
    png,
)
from nnft_ppl.report.action import measure_text
from nnft_ppl.report.alternatives import coupling_text
from nnft_ppl.report.comparison import Compared
from nnft_ppl.report.deviations import ORDER, best_by_width, deviation_text
from nnft_ppl.report.numbers import action_html, exponent_text
from nnft_ppl.report.results import DataAlone, Results

_ROUNDING = 1e-6
"""Errors of an exponent below it are of no statistics."""


@dataclass(frozen=True, eq=False)
class Overlay:
    """A figure with what is said of it.

    Attributes:
        section: `deviations` or `couplings`, where it stands on the page.
        title: Few words, perhaps with markup.
        caption: How it is read.
        alternative: Its numbers, for those who do not see it.
        image: PNG.
    """

    section: str
    title: str
    caption: str
    alternative: str
    image: bytes


def draw_comparison(compared: Compared) -> list[Overlay]:
    """Every figure of the page, in order."""
    return [*_of_deviations(compared), *_of_couplings(compared)]


def falloffs(compared: Compared) -> dict[str, Falloff]:
    """Label -> law of the 4-pt function, wherever two widths are seen.

    Runs of one network at the same inputs that differ in the width, each of one width,
    are one series, and its label names them; else each run is its own.
    """
    series: list[tuple[list[str], list[Correlators]]] = []
    for name, found in compared.runs.items():
        if isinstance(found, DataAlone):
            continue
        here = [c for c in best_by_width(found) if ORDER in c.orders]
        for names, there in series:
            single = len(here) == 1 and len(there) == len(names)
            if single and _one_network(here[0], there):
                names.append(name)
                there += here
                break
        else:
            series.append(([name], here))
    laws = {}
    for names, found_there in series:
        if len(found_there) < 2:
            continue
        try:
            laws[", ".join(names)] = falloff(found_there, ORDER)
        except FitError:
            continue  # fewer than two widths above the noise have no exponent
    return laws


def _one_network(one: Correlators, others: list[Correlators]) -> bool:
    """Whether it differs from others, one of each width, in the width alone."""
    net = one.network
    return all(
        net.name == other.network.name
        and net.width != other.network.width
        and replace(net.hyperparameters, width=1)
        == replace(other.network.hyperparameters, width=1)
        and one.x.shape == other.x.shape
        and bool((one.x == other.x).all())
        for other in others
    )


def _of_deviations(compared: Compared) -> Iterator[Overlay]:
    best = {
        name: best_by_width(found)
        for name, found in compared.runs.items()
        if not isinstance(found, DataAlone)
    }
    if not best:
        return
    parts = [
        f"{name} {deviation_text(mean_deviation(c, ORDER))} at width {c.network.width}"
        for name, found in best.items()
        for c in found[-1:]
        if ORDER in c.orders
    ]
    yield Overlay(
        "deviations",
        "Deviation from the Gaussian process against width.",
        "Each run has its colour; exact values are joined by a line, measured ones "
        "have one standard error. Each is relative to its own Gaussian process.",
        "Relative deviation from the Gaussian process against width of every run, "
        f"logarithmic axes, one panel an order; of the 4-point function: "
        f"{'; '.join(parts)}.",
        png(plot_deviation(best)),
    )
    laws = falloffs(compared)
    if laws:
        powers = "; ".join(
            f"{label} as the power {_power(law)}" for label, law in laws.items()
        )
        yield Overlay(
            "deviations",
            "Falloff of the connected 4-point function.",
            "Root mean square over entries, in units of the 2-point function at each "
            "input, so that networks of other kernels can be compared; lines are "
            f"fitted powers of the width, and −1 is expected. It falls in {powers}.",
            "Size of the connected 4-point function against width with fitted powers, "
            f"logarithmic axes: {powers}.",
            png(plot_falloff(laws)),
        )


def _power(law: Falloff) -> str:
    """The exponent; that of exact values has an error of rounding alone."""
    if law.exponent_error < _ROUNDING:
        return exponent_text(law.exponent)
    return with_error(law.exponent, law.exponent_error)


def _of_couplings(compared: Compared) -> Iterator[Overlay]:
    found = {n: r for n, r in compared.runs.items() if isinstance(r, Results)}
    operators = dict.fromkeys(o for r in found.values() for o in r.fit.action.names)
    for operator in operators:
        having = {n: r for n, r in found.items() if operator in r.fit.action.names}
        units = dict.fromkeys(compared.units[name] for name in having)
        for unit in units:
            runs = {n: r for n, r in having.items() if compared.units[n] == unit}
            yield _couplings(operator, runs, alone=len(units) == 1)
    if len(found) > 1:
        texts = ", ".join(found)
        yield Overlay(
            "couplings",
            "Couplings in natural units.",
            "The width times the coupling times the size of its integral: a pure "
            "number, of order one where it is natural, for every network, measure and "
            "dimension; 50 % and 90 % intervals.",
            "Width times dimensionless coupling with intervals, a row a cutoff and "
            f"run, a panel an operator, of {texts}.",
            png(_forest(found)),
        )


def _couplings(operator: str, runs: Mapping[str, Results], *, alone: bool) -> Overlay:
    """Of one operator in one unit."""
    first = next(iter(runs.values())).fit
    symbols = {o.name: o.symbol for o in first.action.operators}
    unit = (
        f"{measure_text(first.action.measure)}, {first.action.scheme} scheme, "
        f"d_in = {first.correlators.network.hyperparameters.input_dim}"
    )
    caption = f"Intervals hold 90 %; {unit}."
    if not alone:
        caption += (
            " Other runs have it with another measure, scheme or input dimension, "
            "which is another quantity: in another figure."
        )
    caption += _caveat(runs)
    texts = [f"{name}: {coupling_text(r, operator)}" for name, r in runs.items()]
    figure = plot_couplings({n: r.fit for n, r in runs.items()}, operators=[operator])
    return Overlay(
        "couplings",
        Markup("{} against the cutoff, {}.").format(
            action_html(operator, symbols), ", ".join(runs)
        ),
        caption,
        f"Size of {operator} with intervals against the cutoff, and the exponent of "
        f"its running; {'. '.join(texts)}.",
        png(figure),
    )


def _caveat(runs: Mapping[str, Results]) -> str:
    """Why couplings of one unit may still be of different things."""
    kernels = [
        (r.network.name, replace(r.network.hyperparameters, width=1))
        for r in runs.values()
    ]
    said = ""
    if any(kernel != kernels[0] for kernel in kernels):
        said += (
            " The networks have different kernels: couplings differ for that alone, "
            "and natural units are the fairer comparison."
        )
    actions = {tuple(sorted(r.fit.action.names)) for r in runs.values()}
    if len(actions) > 1:
        said += (
            " The actions differ: beside other operators this coupling is another "
            "number, of the same network too."
        )
    return said


def _forest(found: Mapping[str, Results]) -> Figure:
    return plot_forest({name: r.fit for name, r in found.items()})
