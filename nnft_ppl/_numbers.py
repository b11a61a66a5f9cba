"""Numbers as text: as many digits as they deserve, exponents that can be read."""

import math

SMALL = 1e-4
"""Fractions below this are given as a bound."""
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(exponent: int) -> str:
    """`×10⁻⁵`."""
    return f"×10{str(exponent).translate(_SUPERSCRIPT)}"


def significant(value: float, digits: int = 3) -> str:
    """A number to so many significant digits; powers of ten beyond 10⁻³ … 10⁵."""
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if -3 <= power <= 5:
        text = f"{float(f'{value:.{digits - 1}e}'):.{max(0, digits - 1 - power)}f}"
    else:
        text = f"{mantissa}{power_of_ten(power)}"
    return text.replace("-", "−")


def exact(value: float) -> str:
    """A whole number as such, another to four digits."""
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{value:.0f}".replace("-", "−")
    return significant(value, 4)


def percent(fraction: float) -> str:
    """A fraction in per cent, two significant digits; very small ones as a bound."""
    if math.isnan(fraction):
        return "–"
    if 0 < abs(fraction) < SMALL:
        return "< 0.01 %"
    return f"{significant(100 * fraction, 2)} %"


def percent_interval(lower: float, upper: float) -> str:
    """An interval of fractions in per cent, or the one bound when both are small."""
    if upper < SMALL:
        return percent(upper)
    return f"{percent(lower)} to {percent(upper)}"


def with_error(value: float, error: float) -> str:
    """`(−3.719 ± 0.020)×10⁻⁵`: the error to two digits, the value to the same place.

    An error beyond six digits is given by its size, none where it is 0.
    """
    if not math.isfinite(value) or error <= 0:
        return exact(value)
    if not math.isfinite(error):
        return f"{significant(value, 4)} ± {significant(error)}"
    if error < 1e-4 * abs(value):
        return f"{significant(value, 6)} ± {significant(error, 1)}"
    (shown, off), power = _in_places((value, error), error)
    return f"({shown} ± {off}){power}" if power else f"{shown} ± {off}"


def interval_text(lower: float, upper: float, error: float) -> str:
    """`[−3.75, −3.69]×10⁻⁵`, to a tenth of the error."""
    if not all(map(math.isfinite, (lower, upper, error))) or error <= 0:
        return f"[{significant(lower, 4)}, {significant(upper, 4)}]"
    (low, high), power = _in_places((lower, upper), error)
    return f"[{low}, {high}]{power}"


def _in_places(values: tuple[float, float], error: float) -> tuple[list[str], str]:
    """Numbers with as many places as give the error two digits, and a power of ten."""
    power = _exponent(max(map(abs, values)))
    if -3 <= power <= 5:
        power = 0
    # Of the error as rounded: 0.0996 is 0.10 and not 0.100.
    places = max(1 + power - _exponent(float(f"{error:.1e}")), 0)
    shown = (round(value / 10.0**power, places) + 0.0 for value in values)  # no −0
    texts = [f"{one:.{places}f}".replace("-", "−") for one in shown]
    return texts, power_of_ten(power) if power else ""


def _exponent(value: float) -> int:
    """Of the power of ten in a number > 0; logarithms round."""
    return int(f"{value:.15e}".split("e")[1])
