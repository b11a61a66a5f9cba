"""Numbers as text, where rounding and size are hard."""

import math

import pytest

from nnft_ppl._numbers import (
    interval_text,
    percent,
    percent_interval,
    significant,
    with_error,
)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0, 3, "0"),
        (1.23456, 3, "1.23"),
        (-0.0123456, 3, "−0.0123"),
        (123456.0, 2, "120000"),
        (-1.23456e-7, 3, "−1.23×10⁻⁷"),
        (9.996e9, 3, "1.00×10¹⁰"),
        (0.9996, 3, "1.00"),
        (math.nan, 3, "–"),
        (-math.inf, 3, "−∞"),
    ],
)
def test_significant_digits(value: float, digits: int, text: str):
    assert significant(value, digits) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (-3.71948e-5, 1.98e-7, "(−3.719 ± 0.020)×10⁻⁵"),
        (1281.37, 9.12, "1281.4 ± 9.1"),
        (0.0371, 0.00012, "0.03710 ± 0.00012"),
        (1e-9, 3e-6, "(0.0 ± 3.0)×10⁻⁶"),
        (-0.5, 0.0, "−0.5000"),
        (-5.346717e-3, 5.8e-8, "−0.00534672 ± 6×10⁻⁸"),
        # The error is larger than the value, its first digit unseen or rounded up.
        (-5.0, 9.7, "−5.0 ± 9.7"),
        (0.2, 47.0, "0 ± 47"),
        (-0.001, 3.0, "0.0 ± 3.0"),
        (1.0, 0.0996, "1.00 ± 0.10"),
        (-0.98, 0.00996, "−0.980 ± 0.010"),
        (1.0, 99.6, "1 ± 100"),
        # Sizes.
        (3.2e-18, 1e-19, "(3.20 ± 0.10)×10⁻¹⁸"),
        (-1e-18, 5e-19, "(−1.00 ± 0.50)×10⁻¹⁸"),
        (4.2e9, 3e7, "(4.200 ± 0.030)×10⁹"),
        # Whole numbers and none.
        (0.0, 0.0, "0"),
        (5, 0, "5"),
        (-3.0, 0.0, "−3"),
        (1e12, 0.0, "1.000×10¹²"),
        (-5.0, 1e-12, "−5.00000 ± 1×10⁻¹²"),
        (1.0, math.inf, "1.000 ± ∞"),
        (1.0, math.nan, "1.000 ± –"),
        (math.nan, 1.0, "–"),
        (math.inf, 1.0, "∞"),
        (-math.inf, math.nan, "−∞"),
    ],
)
def test_value_with_error(value: float, error: float, text: str):
    assert with_error(value, error) == text


def test_interval_has_a_digit_more_than_the_error():
    assert interval_text(-3.7518e-5, -3.6857e-5, 2e-7) == "[−3.752, −3.686]×10⁻⁵"
    assert interval_text(0.1, 0.3, 0.05) == "[0.100, 0.300]"


def test_percentages():
    assert percent(0.0512) == "5.1 %"
    assert percent(3e-6) == "< 0.01 %"
    assert percent(0) == "0 %"
    assert percent_interval(1e-9, 2e-6) == "< 0.01 %"
    assert percent_interval(0.01, 0.02) == "1.0 % to 2.0 %"
