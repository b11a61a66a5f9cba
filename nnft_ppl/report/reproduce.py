"""The ten lines of Python that repeat the fit of a study."""

import tomllib

from nnft_ppl._drawn_network import kernel_network
from nnft_ppl._network import Network
from nnft_ppl.correlators.origin import DRAWN
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.measures import Box
from nnft_ppl.report.results import Results

_WIDTH = 78


def python_lines(results: Results) -> str:
    """A script that measures, fits and checks, with the numbers of this study."""
    data, fit = results.fit.correlators, results.fit
    sampling = "".join(f", {name}={value}" for name, value in results.sampling.items())
    tolerance = f"tolerance={results.tolerance!r}"
    lines = [
        "import jax",
        *(["import numpy as np"] if data.origin is DRAWN else []),
        "import nnft_ppl as nnft",
        "",
        "# The two keys of the study that the fit uses.",
        f"key = jax.random.key({results.seed}, impl='threefry2x32')",
        "_, sample_key, fit_key = jax.random.split(key, 3)",
        f"x = {_wrapped(str(data.x.tolist()), 4)}",
        *(_of_draws(results) if data.origin is DRAWN else _of_networks(results)),
        f"action = nnft.Action({list(fit.action.names)!r}{_extras(fit.action)})",
        "fit = nnft.fit_couplings(correlators, action,",
        f"    cutoffs={_wrapped(_cutoffs(fit.cutoffs), 8)},",
        f"    key=fit_key, sampler={fit.sampler!r}{sampling})",
        f"print(fit.summary({tolerance}), fit.adequacy({tolerance}),",
        f"    *nnft.diagnose(fit, {tolerance}), sep='\\n')",
    ]
    return "\n".join(lines)


def _of_networks(results: Results) -> list[str]:
    """The network and its correlators."""
    data = results.fit.correlators
    correlators = f"nnft.{data.origin.function}(net, x, orders={data.orders}"
    if data.is_exact:
        correlators += ")"
    else:
        target = results.target
        correlators += (
            f", num_draws={target.num_draws if target else data.num_draws},\n"
            f"    key=sample_key, estimator={data.estimator!r}"
            f"{f', target_error={target.relative_error}' if target else ''})"
        )
    return [*_network(data.network), f"correlators = {correlators}"]


def _of_draws(results: Results) -> list[str]:
    """The draws, as the study file names them, and their correlators."""
    data = results.fit.correlators
    ensemble = tomllib.loads(results.text)["ensemble"]
    file, known = ensemble["file"], kernel_network(data.network)
    values = f"np.load({file!r}, mmap_mode='r')"
    lines = []
    if not file.endswith(".npy"):
        lines = ["import xarray"]
        values = f"xarray.open_dataset({file!r}, engine='h5netcdf')['values']"
    chains = ", chains=True" if ensemble.get("chains") else ""
    return [
        *lines,
        *([] if known is None else _network(known)),
        f"correlators = nnft.correlators_from_draws({values}, x,",
        f"    orders={data.orders}, kernel={'None' if known is None else 'net'}"
        f"{chains}, width={data.network.width})",
    ]


def _network(network: Network) -> list[str]:
    """The network, with the kernel that was measured for it."""
    hp, draws = network.hyperparameters, network.kernel_draws
    arguments = {
        "width": hp.width,
        "input_dim": network.input_dim,
        "weight_std": hp.weight_std,
        "bias_std": hp.bias_std,
        **network.options,
    }
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    lines = [f"net = nnft.network({network.name!r}, {given})"]
    if draws is not None:
        words = f"jax.numpy.array({list(draws.words)}, 'uint32')"
        lines.append(f"net = nnft.measured_kernel(net, {draws.num_draws}, key={words})")
    return lines


def _extras(action: Action) -> str:
    """Measure and scheme where they are not the usual ones."""
    written = action.measure.script
    measure = "" if action.measure == Box() else f", measure={written}"
    if written is None:
        measure = ",\n    measure=nnft.load('fit.nc').action.measure"
    return measure + (f", scheme={action.scheme!r}" if action.is_bare else "")


def _cutoffs(cutoffs: tuple[float, ...]) -> str:
    return str(list(cutoffs)).replace("inf", "float('inf')")


def _wrapped(text: str, indent: int) -> str:
    """A list literal broken at its commas."""
    lines, line = [], ""
    for part in text.split(", "):
        if line and len(line) + len(part) > _WIDTH - indent:
            lines.append(line + ",")
            line = part
        else:
            line = f"{line}, {part}" if line else part
    return ("\n" + " " * indent).join([*lines, line])
