"""A figure as the bytes of a file: PNG for a page, SVG and PDF for print.

The same figure gives the same bytes, so that nothing here has a date.
"""

import io

import matplotlib
from matplotlib.figure import Figure

from nnft_ppl._arguments import check_kind
from nnft_ppl.plots.style import look

_METADATA = {
    "png": {"Software": None},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


def png(figure: Figure) -> bytes:
    """The figure as a PNG file, 300 dots per inch unless `savefig.dpi` is set.

    Args:
        figure: Of any function here, or any other of Matplotlib.

    Raises:
        SpecError: It is no figure.
    """
    return _written(figure, "png")


def svg(figure: Figure) -> bytes:
    """The figure as an SVG file, which scales; letters are outlines, as in any font.

    Args:
        figure: As of `png`.

    Raises:
        SpecError: It is no figure.
    """
    return _written(figure, "svg")


def pdf(figure: Figure) -> bytes:
    """The figure as a PDF file, for a paper.

    Args:
        figure: As of `png`.

    Raises:
        SpecError: It is no figure.
    """
    return _written(figure, "pdf")


def _written(figure: Figure, kind: str) -> bytes:
    check_kind("figure", figure, Figure, "a matplotlib Figure")
    buffer = io.BytesIO()
    # Names inside an SVG are random but for the salt.
    with look(), matplotlib.rc_context({"svg.hashsalt": "nnft_ppl"}):
        figure.savefig(buffer, format=kind, metadata=_METADATA[kind])
    return buffer.getvalue()
