"""Writes docs/numbers.md: every command is run, its number printed beside others'.

`python docs/make_numbers.py`, from the root of the repository. What a command gives is
a number, or a pair of number and standard error. The columns "as coded" and "exact" are
expressions too, of tests/oracles, which never imports nnft_ppl.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numbers_rows import SECTIONS, SETUP, Row

from nnft_ppl._numbers import significant, with_error

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from oracles import kernels, paper_code  # noqa: E402

PAGE = ROOT / "docs" / "numbers.md"

ORACLES: dict[str, Any] = {
    "np": np,
    "code": paper_code,
    "kernels": kernels,
    "x": paper_code.INPUTS,
    "wide": np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0]),
}


def namespace() -> dict[str, Any]:
    """What the page's set-up defines."""
    names: dict[str, Any] = {}
    exec(compile(SETUP, "numbers", "exec"), names)  # our own text
    return names


def ours(row: Row, names: Mapping[str, Any]) -> tuple[float, float]:
    """Number and standard error (0 without one) of a row's command."""
    found = eval(row.command, dict(names))  # our own text
    value, error = found if isinstance(found, tuple) else (found, 0.0)
    return float(value), float(error)


def oracle(expression: str) -> float:
    """Value of an expression of `ORACLES`."""
    return float(eval(expression, ORACLES))  # our own text


def distance(row: Row, value: float, error: float) -> str:
    """From the exact number: in standard errors, or relative where there is none."""
    if not row.exact:
        return ""
    off = value - oracle(row.exact)
    if error > 0:
        return f"{off / error:+.1f} σ".replace("-", "−")
    size = abs(off) / max(abs(oracle(row.exact)), 1e-300) if oracle(row.exact) else off
    return f"below {row.tolerance:g}" if abs(size) <= row.tolerance else f"{size:.1e}"


def line(row: Row, names: Mapping[str, Any]) -> str:
    """The row of the page."""
    value, error = ours(row, names)
    number = with_error(value, error) if error else significant(value, 6)
    coded = row.coded
    if coded and not coded.startswith("–"):
        coded = significant(oracle(coded), 6)
    cells = (
        row.quantity,
        row.setting,
        f"`{row.command}`",
        row.published or "not as a number",
        coded.removeprefix("– "),
        number,
        significant(oracle(row.exact), 6) if row.exact else "",
        distance(row, value, error),
    )
    return "| " + " | ".join(cells) + " |"


INTRODUCTION = """\
# Numbers you can check

Exact values and figures of arXiv:2008.08601 ("HMS") and of [theory.md](theory.md), in
three conventions: *published* is what the paper states, *as coded* is what its public
code (github.com/keeganstoner/nn-qft) computes when its ensembles have no noise, and
*ours* is corrected, for the reasons in [differences.md](differences.md). *Exact* is a
closed form or a quadrature that shares no code with nnft_ppl (`tests/oracles/`). The
last column is the distance of ours from it: in standard errors where ours has one, else
relative.

Most of the paper's results are figures, and no value was taken off one. A published
cell names a formula or a law of the paper as theory.md has them; "not as a number" says
that we know of none. The paper's code was read and written anew, not run. Its couplings
are of the opposite sign to ours.

`python docs/make_numbers.py` writes this page by running every command after

"""

HEADER = """\
| quantity | setting | command | published | as coded | ours | exact | distance |
|---|---|---|---|---|---|---|---|"""


def page() -> str:
    """The whole page."""
    names = namespace()
    parts = [INTRODUCTION + f"```python\n{SETUP}```\n"]
    for title, rows in SECTIONS.items():
        table = "\n".join(line(row, names) for row in rows)
        parts.append(f"\n## {title}\n\n{HEADER}\n{table}\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
