"""docs/numbers.md is what docs/make_numbers.py makes: recomputed and compared."""

import importlib
import re
import sys

import pytest
from test_readme import ROOT, code_blocks

SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")


sys.path.insert(0, str(ROOT / "docs"))
make_numbers = importlib.import_module("make_numbers")
ROWS = [row for rows in make_numbers.SECTIONS.values() for row in rows]
QUICK = [row for row in ROWS if not row.is_slow]
SLOW = [row for row in ROWS if row.is_slow]


@pytest.fixture(scope="module")
def names():
    (code,) = code_blocks("docs/numbers.md", "python")
    assert code == make_numbers.SETUP
    return make_numbers.namespace()


def printed(row):
    """The page's cells: as coded, ours, exact, distance."""
    text = make_numbers.PAGE.read_text(encoding="utf-8")
    found = [
        line.split(" | ")
        for line in text.splitlines()
        if f"| {row.quantity} | {row.setting} | `{row.command}` |" in line
    ]
    assert len(found) == 1, row
    return found[0][-4:]


def number(text):
    """Of "−1.5×10⁻³", "(1.5 ± 0.1)×10⁻³" and the like, without the error."""
    value, *power = text.split("×10")
    value = float(re.split(" ± ", value.strip("( "))[0].replace("−", "-"))
    return value * 10.0 ** int(power[0].translate(SUPERSCRIPTS)) if power else value


def check(row, names):
    coded, ours, exact, distance = printed(row)
    value, error = make_numbers.ours(row, names)
    # Six digits are printed of numbers without an error.
    assert number(ours) == pytest.approx(value, rel=1e-5, abs=0.1 * error or 1e-12)
    if row.exact:
        truth = make_numbers.oracle(row.exact)
        assert number(exact) == pytest.approx(truth, rel=1e-5)
        rel = 0 if error else row.tolerance
        assert value == pytest.approx(truth, rel=rel, abs=3.5 * error or 1e-12)
        assert ("σ" in distance) == (error > 0)
        assert error or "below" in distance
    if row.coded and not row.coded.startswith("–"):
        assert number(coded) == pytest.approx(make_numbers.oracle(row.coded), rel=1e-5)


@pytest.mark.parametrize("row", QUICK, ids=lambda row: f"{row.quantity}, {row.setting}")
def test_a_number_is_what_its_command_gives(row, names):
    check(row, names)


@pytest.mark.slow
@pytest.mark.parametrize("row", SLOW, ids=lambda row: f"{row.quantity}, {row.setting}")
def test_a_number_that_takes_longer_is_what_its_command_gives(row, names):
    check(row, names)


def test_the_page_has_no_other_numbers():
    text = make_numbers.PAGE.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(lines) == len(ROWS) + len(make_numbers.SECTIONS)
    assert text.startswith(make_numbers.INTRODUCTION)
