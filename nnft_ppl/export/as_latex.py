"""Numbers as a LaTeX table of booktabs, value(error) and correlations."""

import math
import re

from nnft_ppl._errors import SpecError
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.export.numbers import COUPLINGS, Block, Label, Numbers, numbers_of
from nnft_ppl.inference.couplings.result import CouplingFit

MAX_ROWS = 200
"""More are no table that anyone reads, and what LaTeX breaks over no page."""
MAX_CORRELATIONS = 8
"""Columns beside the numbers; more do not fit on a page."""


def to_latex(found: CouplingFit | Correlators) -> str:
    r"""Couplings or connected correlators as a LaTeX table.

    Args:
        found: From `fit_couplings`, or correlators from anywhere.

    Returns:
        A `tabular` for `\usepackage{booktabs}` and nothing else: errors in units of the
        last digits, `$-3.719(20)\times10^{-5}$`, and, up to eight numbers in a block,
        their correlations. With more a comment says where the covariance is.

    Raises:
        SpecError: It is neither a fit nor correlators, or has more than 200 numbers.
    """
    numbers = numbers_of(found)
    rows = sum(len(block.values) for block in numbers.blocks)
    if rows > MAX_ROWS:
        raise SpecError(
            f"{rows} {numbers.holds} are too many for a table of LaTeX; expected at "
            f"most {MAX_ROWS}: take fewer inputs or orders, or CSV or JSON"
        )
    size = max(len(block.values) for block in numbers.blocks)
    shown = size if 1 < size <= MAX_CORRELATIONS else 0
    symbols = (
        {o.name: f"${o.symbol}$" for o in found.action.operators}
        if isinstance(found, CouplingFit)
        else {}
    )
    heads = [r"$\Lambda$", "coupling"]
    if numbers.holds != COUPLINGS:
        heads = ["order", "legs"]
    heads += [
        "value",
        *([rf"\multicolumn{{{shown}}}{{c}}{{correlation}}"] * (shown > 0)),
    ]
    lines = [
        f"% {numbers.holds} of {_comment(numbers)}; needs \\usepackage{{booktabs}}",
        *(["% covariance: left out here, in CSV and JSON"] * (size > MAX_CORRELATIONS)),
        rf"\begin{{tabular}}{{rlr{'r' * shown}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    for block in numbers.blocks:
        lines += _rows(block, symbols, shown)
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def value_with_error(value: float, error: float) -> str:
    r"""`$-3.719(20)\times10^{-5}$`, the error to two digits of the last places."""
    if error <= 0:
        return f"${_power(f'{value:.6g}')}$"
    exponent = math.floor(math.log10(max(abs(value), error)))
    power = exponent if not -3 <= exponent <= 5 else 0
    mantissa, off = value / 10.0**power, error / 10.0**power
    # Of the error as rounded: 0.0996 is 0.10 and not 0.100.
    places = max(0, 1 - math.floor(math.log10(float(f"{off:.1e}"))))
    inside = f"{off:.{places}f}" if off >= 1 else f"{off * 10**places:.0f}"
    times = rf"\times10^{{{power}}}" if power else ""
    return f"${mantissa:.{places}f}({inside}){times}$"


def _rows(block: Block, symbols: dict[str, str], shown: int) -> list[str]:
    lines = []
    correlation = block.correlation
    values = zip(block.labels, block.values, block.errors, strict=True)
    for i, (labels, value, error) in enumerate(values):
        cells = [
            *(_cell(label, symbols) for label in labels),
            value_with_error(float(value), float(error)),
        ]
        if shown:
            cells += [f"${c:.3f}$" for c in correlation[i, : i + 1]]
            cells += [""] * (shown - i - 1)
        lines.append(" & ".join(cells).rstrip() + r" \\")
    return lines


def _cell(label: Label, symbols: dict[str, str]) -> str:
    if isinstance(label, float):
        return r"$\infty$" if math.isinf(label) else f"${_power(f'{label:.5g}')}$"
    return symbols.get(str(label), _escaped(str(label)))


def _power(text: str) -> str:
    """`2e+06` as LaTeX writes it."""
    mantissa, e, exponent = text.partition("e")
    return rf"{mantissa}\times10^{{{int(exponent)}}}" if e else text


def _escaped(text: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", text)


def _comment(numbers: Numbers) -> str:
    """The network in one line, which no name of a plugin can end."""
    hp = numbers.network.hyperparameters
    return " ".join(f"{numbers.network.name}, width {hp.width}".split())
