"""A study file to begin with: of an architecture, every key there and explained."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import jinja2
import numpy as np

from nnft_ppl._errors import NnftError, SpecError
from nnft_ppl._files import replace
from nnft_ppl._network import Network
from nnft_ppl.architecture import Architecture
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.expansion import design_matrix
from nnft_ppl.eft.measures import MEASURES, measure_named
from nnft_ppl.registry import architectures, network

_TEMPLATE = Path(__file__).parent / "template"
_WIDTH = 20
_ORDER = 4
_MEASURES = [name for name in MEASURES if name != "empirical"]  # that needs a file


def write_first_study(name: str, path: Path | None = None) -> Path:
    """Write a study file that runs as it is, with the other keys at their defaults.

    Args:
        name: Of an installed architecture.
        path: Where; `NAME.toml` in this folder by default.

    Returns:
        Where it is.

    Raises:
        SpecError: There is a file already, or no folder for it; or the architecture
            takes none of the inputs that are tried.
        PluginError: No such architecture.
    """
    place = Path(f"{name}.toml") if path is None else path
    net, points = _first_network(name)
    if place.suffix != ".toml":
        raise SpecError(f"`{place}` does not end in .toml; name a study file so")
    if place.exists():
        raise SpecError(f"`{place}` exists, and is not overwritten; name another file")
    if not place.parent.is_dir():
        raise SpecError(f"cannot write `{place}`: `{place.parent}` is no folder")
    cutoffs = _cutoffs(points)
    shape = net.hyperparameters.input_shape
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATE),
        autoescape=False,  # TOML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["toml"] = _toml
    text = environment.get_template("study.toml.jinja").render(
        name=name,
        description=" ".join(net.architecture.description.split()),
        file=place,
        input_dim=list(shape) if len(shape) > 1 else shape[0],
        options=_options(net.architecture),
        points=(points[:, 0] if points.shape[1] == 1 else points).tolist(),
        has_kernel=net.has_kernel,
        measure=_measure(net, points, cutoffs),
        cutoffs=cutoffs,
        directory=f"runs/{place.stem}",
    )
    replace(place, text.encode())
    return place


def _first_network(name: str) -> tuple[Network, np.ndarray]:
    """At the smallest inputs that the architecture suggests and takes."""
    refused: NnftError | None = None
    for shape, points in _inputs(name):
        try:
            net = network(name, width=_WIDTH, input_dim=shape)
            return net, np.asarray(net.check_inputs(points, distinct=True))
        except SpecError as error:
            refused = refused or error
    assert refused is not None  # there is always an input to try
    raise refused


def _inputs(name: str) -> Iterator[tuple[int | tuple[int, ...], np.ndarray]]:
    """Shapes of an input, and inputs."""
    known = architectures().get(name)
    suggested = {} if known is None else known.suggested_inputs
    for dim in sorted(suggested) or [1]:
        points = np.array(suggested.get(dim, [[-1.0], [-0.5], [0.5], [1.0]]), float)
        yield dim, points
        # Suggestions are flat; some networks read sequences or images.
        for rows in range(1, dim + 1):
            if dim % rows == 0:
                yield (rows, dim // rows), points
        side = math.isqrt(dim)
        if side * side == dim:
            yield (side, side, 1), points


def _cutoffs(points: np.ndarray) -> list[float]:
    """From the inputs outwards."""
    largest = float(np.abs(points).max()) or 1.0
    return [float(f"{factor * largest:.2g}") for factor in (1.5, 5, 15, 50)]


def _measure(net: Network, points: np.ndarray, cutoffs: list[float]) -> str | None:
    """The first measure by which there is an integral; `None` where there is none."""
    if not net.has_kernel:
        # The kernel that will be measured serves a box as any other, in few dimensions.
        return "box" if points.shape[1] == 1 else None
    for name in _MEASURES:
        action = Action(["lambda_0"], measure=measure_named(name, None))
        try:
            design_matrix(action, net, points, np.array(cutoffs), _ORDER)
        except NnftError:
            continue
        return name
    return None


def _options(architecture: Architecture) -> list[tuple[str, object]]:
    return [
        (key, option)
        for key, option in architecture.options.items()
        if isinstance(option.default, (bool, int, float, str))
    ]


def _toml(value: object) -> str:
    """As TOML writes it; JSON's strings and numbers are the same."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False)
