"""Does a network stay nearly Gaussian while it is trained? The public call.

In: a network, widths, data, times. Out: `TrainingByWidth`, from an ensemble trained at
each width; ensembles themselves are not kept.
"""

from collections.abc import Iterable, Sequence

import jax
from jaxtyping import ArrayLike

from nnft_ppl._arguments import check_kind, check_number
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.bayes.data import checked_data
from nnft_ppl.ensemble.local import choose_devices
from nnft_ppl.ensemble.model import check_key
from nnft_ppl.ensemble.progress import Monitor
from nnft_ppl.training.measures import measured_sizes
from nnft_ppl.training.result import TrainedEnsemble
from nnft_ppl.training.sharpness import safe_rate
from nnft_ppl.training.train import (
    checked_temperature,
    checked_times,
    train_ensemble,
)
from nnft_ppl.training.trained_couplings import fitted_couplings
from nnft_ppl.training.verdict import TrainingByWidth
from nnft_ppl.training.width_law import checked_widths

OPERATORS = ("cubic", "lambda_0")
TOLERANCE = 0.05


def training_by_width(
    network: Network,
    widths: Sequence[int],
    x: ArrayLike,
    y: ArrayLike,
    x_new: ArrayLike,
    *,
    times: Sequence[float],
    num_draws: int = 10_000,
    key: Key,
    method: str = "gradient_flow",
    learning_rate: float | None = None,
    temperature: float | None = None,
    operators: Sequence[str] = OPERATORS,
    tolerance: float = TOLERANCE,
    devices: Sequence[jax.Device] | int | None = None,
    progress: bool | Monitor = False,
) -> TrainingByWidth:
    """Train ensembles at every width; how Gaussian they are before, during and after.

    Args:
        network: Of one output; its own width plays no part.
        widths: Two different whole numbers or more.
        x: Inputs (point, input_dim).
        y: Targets (point,), or (point, 1).
        x_new: New inputs (new, input_dim), distinct, where f is looked at.
        times: As in `train_ensemble`, two or more: 0, before training, to the last,
            after it.
        num_draws: Networks of each width.
        key: A JAX random key, folded with each width, so that widths are independent.
        method: `gradient_flow`, `gradient_descent` or `langevin`.
        learning_rate: As in `train_ensemble`, the same at every width, so that a number
            of steps is the same time at each; the safe one of the narrowest by default.
        temperature: Of Langevin dynamics.
        operators: Of the action that is fitted to the field less its mean, over the new
            inputs, at every width and time.
        tolerance: Relative size up to which a connected part is small.
        devices: Devices of this process to use, or how many; all when `None`.
        progress: Show a progress bar for each width, on a terminal or in a notebook, or
            a function that is told.

    Returns:
        `TrainingByWidth`: sizes, exponents, couplings, and what they say.

    Raises:
        As `train_ensemble` and `fit_couplings`; SpecError for fewer than two widths or
        times, times without 0, several outputs, or a new input at which the field is
        certain after training, as at one of the data.

    Source: arXiv:2008.08601 claims that near-Gaussianity survives some training; the
    power −1 of connected parts, Dyer and Gur-Ari, arXiv:1909.11304.
    """
    check_kind("network", network, Network)
    if network.hyperparameters.output_dim != 1:
        raise SpecError(
            f"{network.name!r} has {network.hyperparameters.output_dim} outputs; "
            "actions are fitted to one: take a network of output_dim 1"
        )
    chosen = checked_widths(widths)
    tolerance = check_number(
        "tolerance", tolerance, lambda t: 0 < t < 1, "a number between 0 and 1"
    )
    check_before_and_after(checked_times(times, method))
    key = check_key(key)
    if learning_rate is None:
        learning_rate = common_rate(
            network, chosen, x, y, method, temperature, key, devices
        )

    def ensembles() -> Iterable[TrainedEnsemble]:
        for width in chosen:
            yield train_ensemble(
                network.with_width(width),
                x,
                y,
                x_new,
                times=times,
                num_draws=num_draws,
                key=jax.random.fold_in(key, width),
                method=method,
                learning_rate=learning_rate,
                temperature=temperature,
                devices=devices,
                progress=progress,
            )

    return compare_widths(
        ensembles(), key=key, operators=operators, tolerance=tolerance
    )


def compare_widths(
    ensembles: Iterable[TrainedEnsemble],
    *,
    key: Key,
    operators: Sequence[str] = OPERATORS,
    tolerance: float = TOLERANCE,
) -> TrainingByWidth:
    """The same of ensembles that were trained already, ascending in width.

    Args:
        ensembles: Of one network at different widths, with the same data, method and
            times, and the orders 1 to 4; each is dropped before the next is taken.
        key: Of the draws of couplings, and of networks of the prior.
        operators: As in `training_by_width`.
        tolerance: As there.
    """
    rows, couplings = [], []
    for trained in ensembles:
        rows += measured_sizes(trained, key)
        couplings += fitted_couplings(trained, operators, key)
    return TrainingByWidth.of(trained, rows, couplings, tolerance)


def check_before_and_after(times: tuple[float, ...]) -> None:
    """Refuse times that do not tell what training changes.

    Raises:
        SpecError: There are fewer than two, or the first is not 0.
    """
    if len(times) < 2 or times[0] != 0:
        raise SpecError(
            f"`times` are {list(times)}; expected 0, before training, and one or more "
            "after it"
        )


def common_rate(
    network: Network,
    widths: Sequence[int],
    x: ArrayLike,
    y: ArrayLike,
    method: str,
    temperature: float | None,
    key: Key,
    devices: Sequence[jax.Device] | int | None,
) -> float | None:
    """A learning rate that is safe at every width; `None` where the flow needs none."""
    if method == "gradient_flow":
        return None
    data = checked_data(network, x, y, network.check_inputs(x)[:1])
    used = choose_devices(devices)
    there = [network.with_width(width) for width in widths]
    warmth = checked_temperature(temperature, method)
    return safe_rate(there, data, "ntk", "all", warmth, key, used)
