"""Numbers and symbols as the page shows them."""

import math
import re
from collections.abc import Mapping

from markupsafe import Markup, escape

from nnft_ppl._latex import plain_text
from nnft_ppl._numbers import power_of_ten


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


def action_html(names: str, symbols: Mapping[str, str]) -> Markup:
    """Operators such as `lambda_0 + lambda_2` by their symbols, then by name.

    Args:
        names: Joined by " + ".
        symbols: Name -> LaTeX; an operator that is not among them keeps its name.
    """
    split = names.split(" + ")
    shown = Markup(" + ").join(symbol_html(symbols.get(n, ""), n) for n in split)
    by_name = Markup("<code>{}</code>").format(names)
    known = any(name in symbols for name in split)
    return Markup("{} {}").format(shown, by_name) if known else by_name


def symbol_html(symbol: str, name: str) -> Markup:
    r"""An operator's LaTeX symbol such as `\lambda_{NL}` in HTML, else its name."""
    match = re.fullmatch(r"\\?([A-Za-z]+)(?:_\{?([^{}]+)\}?)?", symbol)
    if match is None:
        return Markup("<code>{}</code>").format(name)
    letter, subscript = match.groups()
    text = escape(plain_text(rf"\{letter}"))
    return (
        Markup("{}<sub>{}</sub>").format(text, subscript) if subscript else Markup(text)
    )
