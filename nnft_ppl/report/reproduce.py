"""The ten lines of Python that repeat the fit of a study."""

from nnft_ppl.eft.action import Action
from nnft_ppl.eft.measures import Box
from nnft_ppl.report.results import Results

_WIDTH = 78


def python_lines(results: Results) -> str:
    """A script that measures, fits and checks, with the numbers of this study."""
    data, fit = results.fit.correlators, results.fit
    hp = data.network.hyperparameters
    arguments = {
        "width": hp.width,
        "input_dim": data.network.input_dim,
        "weight_std": hp.weight_std,
        "bias_std": hp.bias_std,
        **data.network.options,
    }
    network = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
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
    sampling = "".join(f", {name}={value}" for name, value in results.sampling.items())
    tolerance = f"tolerance={results.tolerance!r}"
    draws = data.network.kernel_draws
    kernel: tuple[str, ...] = ()
    if draws is not None:
        words = f"jax.numpy.array({list(draws.words)}, 'uint32')"
        kernel = (f"net = nnft.measured_kernel(net, {draws.num_draws}, key={words})",)
    lines = [
        "import jax",
        "import nnft_ppl as nnft",
        "",
        "# The two keys of the study that the fit uses.",
        f"key = jax.random.key({results.seed}, impl='threefry2x32')",
        "_, sample_key, fit_key = jax.random.split(key, 3)",
        f"net = nnft.network({data.network.name!r}, {network})",
        *kernel,
        f"x = {_wrapped(str(data.x.tolist()), 4)}",
        f"correlators = {correlators}",
        f"action = nnft.Action({list(fit.action.names)!r}{_extras(fit.action)})",
        "fit = nnft.fit_couplings(correlators, action,",
        f"    cutoffs={_wrapped(_cutoffs(fit.cutoffs), 8)},",
        f"    key=fit_key, sampler={fit.sampler!r}{sampling})",
        f"print(fit.summary({tolerance}), fit.adequacy({tolerance}),",
        f"    *nnft.diagnose(fit, {tolerance}), sep='\\n')",
    ]
    return "\n".join(lines)


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
