"""Numbers as text: as many digits as they deserve, exponents that can be read."""

import math
import re

from markupsafe import Markup, escape

SMALL = 1e-4
"""Fractions below this are given as a bound."""
_SPACE = "\u00a0"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_GREEK = {
    name: chr(code)
    for name, code in {
        "alpha": 0x3B1,
        "beta": 0x3B2,
        "gamma": 0x3B3,
        "delta": 0x3B4,
        "epsilon": 0x3B5,
        "eta": 0x3B7,
        "theta": 0x3B8,
        "kappa": 0x3BA,
        "lambda": 0x3BB,
        "mu": 0x3BC,
        "nu": 0x3BD,
        "rho": 0x3C1,
        "sigma": 0x3C3,
        "tau": 0x3C4,
        "phi": 0x3C6,
        "chi": 0x3C7,
        "omega": 0x3C9,
    }.items()
}


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


def exponent_text(value: float) -> str:
    """An exponent to three decimals."""
    return f"{round(value, 3) + 0.0:.3f}".replace("-", "−")


def cutoff_text(cutoff: float) -> str:
    """A cutoff as the user wrote it: up to five digits."""
    if math.isinf(cutoff):
        return "∞"
    text = f"{cutoff:.5g}"
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    power = power_of_ten(int(exponent))
    return power.removeprefix("×") if mantissa == "1" else f"{mantissa}{power}"


def percent(fraction: float) -> str:
    """A fraction in per cent, two significant digits; very small ones as a bound."""
    if math.isnan(fraction):
        return "–"
    if 0 < abs(fraction) < SMALL:
        return f"< 0.01{_SPACE}%"
    return f"{significant(100 * fraction, 2)}{_SPACE}%"


def percent_interval(lower: float, upper: float) -> str:
    """An interval of fractions in per cent, or the one bound when both are small."""
    if upper < SMALL:
        return percent(upper)
    return f"{percent(lower)} to {percent(upper)}"


def with_error(value: float, error: float) -> str:
    """`(−3.719 ± 0.020)×10⁻⁵`: the error to two digits, the value to the same place."""
    if not (math.isfinite(value) and math.isfinite(error)) or error <= 0:
        return significant(value, 4)
    if error < 1e-4 * abs(value):
        return f"{significant(value, 6)} ± {significant(error, 1)}"
    power = math.floor(math.log10(max(abs(value), error)))
    if -3 <= power <= 5:
        power = 0
    scale = 10.0**power
    places = 1 - math.floor(math.log10(error / scale))
    places = min(max(places, 0), 9)
    text = f"{value / scale:.{places}f} ± {error / scale:.{places}f}".replace("-", "−")
    return text if power == 0 else f"({text}){power_of_ten(power)}"


def interval_text(lower: float, upper: float, error: float) -> str:
    """`[−3.75, −3.69]×10⁻⁵`, to a tenth of the error."""
    if not all(map(math.isfinite, (lower, upper, error))) or error <= 0:
        return f"[{significant(lower, 4)}, {significant(upper, 4)}]"
    power = math.floor(math.log10(max(abs(lower), abs(upper))))
    if -3 <= power <= 5:
        power = 0
    scale = 10.0**power
    places = min(max(1 - math.floor(math.log10(error / scale)), 0), 9)
    text = f"[{lower / scale:.{places}f}, {upper / scale:.{places}f}]"
    text = text.replace("-", "−")
    return text if power == 0 else f"{text}{power_of_ten(power)}"


def symbol_html(symbol: str, name: str) -> Markup:
    r"""An operator's LaTeX symbol such as `\lambda_{NL}` in HTML, else its name."""
    match = re.fullmatch(r"\\?([A-Za-z]+)(?:_\{?([^{}]+)\}?)?", symbol)
    if match is None:
        return Markup("<code>{}</code>").format(name)
    letter, subscript = match.groups()
    text = escape(_GREEK.get(letter, letter))
    return (
        Markup("{}<sub>{}</sub>").format(text, subscript) if subscript else Markup(text)
    )
