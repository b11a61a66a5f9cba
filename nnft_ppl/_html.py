"""How results look in a notebook: a title and a small table, without a script.

Each class says what is in its rows; nothing here computes.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a network is shown without it
    import pandas as pd

_MAX_ROWS = 12


class Html(str):
    """Text that is HTML already and is not escaped again."""


def card(title: str, rows: Iterable[tuple[str, object]], note: str = "") -> Html:
    """A title, a table of two columns, and a sentence below it.

    Args:
        title: Of what kind the object is.
        rows: What, and its value; anything but `Html` is escaped.
        note: Text below, none where empty.
    """
    body = "".join(
        '<tr><th scope="row" style="text-align:left;vertical-align:top">'
        f'{_text(what)}</th><td style="text-align:left">{_text(value)}</td></tr>'
        for what, value in rows
    )
    below = f"<p>{_text(note)}</p>" if note else ""
    return Html(
        f"<div><strong>{_text(title)}</strong><table>{body}</table>{below}</div>"
    )


def table(frame: "pd.DataFrame") -> Html:
    """A table, its first rows where it is long."""
    return Html(
        frame.to_html(
            max_rows=_MAX_ROWS, border=0, index=False, float_format="{:.4g}".format
        )
    )


def listed(values: Sequence[object], limit: int = 8) -> str:
    """Values between commas, the first few of many."""
    shown = ", ".join(
        f"{value:g}" if isinstance(value, float) else str(value)
        for value in values[:limit]
    )
    more = f", … ({len(values)} in all)" if len(values) > limit else ""
    return shown + more


def _text(value: object) -> str:
    return value if isinstance(value, Html) else escape(str(value))
