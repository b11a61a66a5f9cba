r"""The LaTeX that we write ourselves, as plain text, HTML and words of an SVG.

In: formulas of letters, numbers, Greek, sub- and superscripts, fractions and the signs
of an action. Out: the same formula where there is no TeX. An unknown command is shown
as its name, so that a plugin's symbol is never lost.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from types import MappingProxyType

from nnft_ppl._html import Html

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron "
    "pi rho varsigma sigma tau upsilon phi chi psi omega"
).split()
_SIGNS = MappingProxyType(
    {name: chr(0x3B1 + i) for i, name in enumerate(_GREEK)}
    | {
        name.capitalize(): chr(0x391 + i)
        for i, name in enumerate(_GREEK)
        if name in "gamma delta theta lambda xi pi sigma phi psi omega".split()
    }
    | {
        "nabla": "∇",
        "partial": "∂",
        "int": "∫",
        "sum": "Σ",
        "prod": "∏",
        "propto": "∝",
        "le": "≤",
        "cdot": "·",
        "times": "×",
        "in": "∈",
        "prime": "′",
        "ldots": "…",
        "quad": " ",
        ",": " ",
        ":": " ",
        ";": " ",
        "!": "",
        "-": "−",
        "|": "‖",
    }
)
_UPPER = str.maketrans("0123456789+−dnk", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵈⁿᵏ")
_SPACED = frozenset("+=∝")
_SUMS = frozenset("∫Σ∏")
_WORDS = frozenset({"mathrm", "text", "operatorname", "mathcal"})
_FRACTIONS = frozenset({"frac", "tfrac"})
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[0-9]+|\s+|.", re.DOTALL)


@dataclass(frozen=True)
class _Word:
    """Letters that stand upright, a number or a sign."""

    text: str
    is_upright: bool = False


@dataclass(frozen=True)
class _Script:
    """A base with something below or above it on the right."""

    base: "_Node"
    lower: "_Node | None"
    upper: "_Node | None"


@dataclass(frozen=True)
class _Fraction:
    above: "_Node"
    below: "_Node"


@dataclass(frozen=True)
class _Row:
    parts: tuple["_Node", ...]


type _Node = _Word | _Script | _Fraction | _Row

_SPACE, _PLUS = _Word(" "), _Word("+")


def plain_text(latex: str) -> str:
    r"""A formula in one line of Unicode: `λ_0 ∫ f⁴` for `\lambda_0\int f^4`."""
    return re.sub(" +", " ", _text(_parsed(latex))).strip()


def formula_html(latex: str) -> Html:
    """A formula as HTML with sub- and superscripts.

    MathML needs a font for mathematics, without which scripts stand where they should
    not. Lines break at spaces and before a plus; the plain text is the label for screen
    readers.
    """
    tree = _parsed(latex)
    pieces: list[list[_Node]] = [[]]
    for part in tree.parts if isinstance(tree, _Row) else (tree,):
        if part in (_SPACE, _PLUS):
            pieces.append([])
        if part != _SPACE:
            pieces[-1].append(part)
    drawn = " ".join(
        f'<span style="white-space:nowrap">{_html(_row(piece)).strip()}</span>'
        for piece in pieces
        if piece
    )
    label = escape(plain_text(latex), quote=True)
    return Html(
        f'<span role="math" aria-label="{label}" style="font-family:serif">'
        f"{drawn}</span>"
    )


def tspans(latex: str) -> str:
    """A formula inside an SVG `<text>`; scripts by `dy`, which every viewer knows."""
    return "".join(_tspans(_parsed(latex)))


class _Tokens:
    """What is left of a formula."""

    def __init__(self, latex: str) -> None:
        found: list[str] = _TOKEN.findall(latex)
        self._left = [token for token in found if not token.isspace()]

    def next(self) -> str:
        """The next token, "" at the end."""
        return self._left[0] if self._left else ""

    def take(self) -> str:
        return self._left.pop(0)


def _parsed(latex: str) -> _Node:
    tokens = _Tokens(latex)
    parts = []
    while tokens.next():
        parts.append(_scripted(tokens))
    return _row(parts)


def _row(parts: list[_Node]) -> _Node:
    return parts[0] if len(parts) == 1 else _Row(tuple(parts))


def _scripted(tokens: _Tokens) -> _Node:
    """One thing with what hangs on it."""
    base = _one(tokens)
    lower: _Node | None = None
    upper: _Node | None = None
    primes = ""
    while tokens.next() in ("_", "^", "'") and tokens.next():
        sign = tokens.take()
        if sign == "'":
            primes += "′"
        elif sign == "_":
            lower = _one(tokens)
        else:
            upper = _one(tokens)
    if primes:
        upper = _Word(primes) if upper is None else _Row((_Word(primes), upper))
    return base if lower is None and upper is None else _Script(base, lower, upper)


def _one(tokens: _Tokens) -> _Node:
    """A group, a command with what it takes, or one character."""
    if not tokens.next():
        return _Word("")
    token = tokens.take()
    if token == "{":
        parts = []
        while tokens.next() not in ("}", ""):
            parts.append(_scripted(tokens))
        if tokens.next():
            tokens.take()
        return _row(parts)
    if not token.startswith("\\"):
        return _Word({"-": "−", "~": " "}.get(token, token))
    name = token[1:]
    if name in _FRACTIONS:
        return _Fraction(_one(tokens), _one(tokens))
    if name in _WORDS:
        return _Word(_text(_one(tokens)), is_upright=True)
    return _Word(_SIGNS.get(name, name), is_upright=name not in _SIGNS)


def _text(node: _Node) -> str:
    if isinstance(node, _Word):
        before = " " if node.text in _SPACED else ""
        after = " " if node.text in _SPACED | _SUMS else ""
        return before + node.text + after
    if isinstance(node, _Row):
        return "".join(map(_text, node.parts))
    if isinstance(node, _Fraction):
        above, below = _text(node.above), _text(node.below)
        return {"1/2": "½"}.get(f"{above}/{below}", f"({above}/{below})")
    base = _text(node.base)
    text = base.rstrip()
    if node.lower is not None:
        lower = _text(node.lower).replace(" ", "")
        is_word = all(c.isalpha() or c in "0123456789∇" for c in lower)
        text += f"_{lower}" if is_word else f"_{{{lower}}}"
    if node.upper is not None:
        upper = _text(node.upper).replace(" ", "")
        raised = upper.translate(_UPPER)
        is_raised = all(a != b for a, b in zip(upper, raised, strict=True))
        text += raised if is_raised or set(upper) == {"′"} else _power(upper)
    return f"{text} " if base.rstrip() in _SUMS else text


def _power(upper: str) -> str:
    """A superscript that Unicode has no characters for."""
    return f"^{upper}" if len(upper) == 1 else f"^({upper})"


def _html(node: _Node) -> str:
    if isinstance(node, _Row):
        return "".join(map(_html, node.parts))
    if isinstance(node, _Fraction):
        return f"{_raised('sup', node.above)}⁄{_raised('sub', node.below)}"
    if isinstance(node, _Script):
        lower = "" if node.lower is None else _raised("sub", node.lower)
        upper = "" if node.upper is None else _raised("sup", node.upper)
        after = " " if _text(node.base).strip() in _SUMS else ""
        return f"{_html(node.base).rstrip()}{lower}{upper}{after}"
    text = escape(_text(node))
    is_letter = node.text.isalpha() and not node.is_upright
    return f"<i>{text}</i>" if is_letter else text


def _raised(tag: str, node: _Node) -> str:
    """Above or below the line, whose height stays as it is."""
    if isinstance(node, _Word) and set(node.text) == {"′"}:
        return node.text  # stands high already
    text = _html(node).strip()
    for sign in _SPACED:
        text = text.replace(f" {sign} ", sign)
    return f'<{tag} style="line-height:0">{text}</{tag}>'


def _tspans(node: _Node) -> Iterator[str]:
    """Pieces of text, shifted back after a script."""
    if isinstance(node, _Script):
        yield from _tspans(node.base)
        for script, shift in ((node.lower, 0.3), (node.upper, -0.4)):
            if script is not None:
                text = escape(_text(script))
                yield f'<tspan dy="{shift}em" font-size="70%">{text}</tspan>'
                # Back to the line, in the size of the text that follows.
                yield f'<tspan dy="{-0.7 * shift:.3g}em">\N{ZERO WIDTH SPACE}</tspan>'
    elif isinstance(node, _Row):
        for part in node.parts:
            yield from _tspans(part)
    else:
        yield escape(_text(node))
