"""Ensembles of trained networks: the public call."""

from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import ArrayLike

from nnft_ppl._arguments import check_choice, check_kind, check_number
from nnft_ppl._arrays import real_numbers
from nnft_ppl._checkpoint import check_checkpoint_path
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._tangent_kernel import PARAMETRIZATIONS
from nnft_ppl._typing import Key
from nnft_ppl.bayes.data import Data, checked_data
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.correlators.drawn.from_draws import correlators_from_draws
from nnft_ppl.correlators.orders import check_orders
from nnft_ppl.correlators.sampled.measure import check_target
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.ensemble.local import choose_devices
from nnft_ppl.ensemble.model import (
    check_key,
    check_num_draws,
    check_prior,
    sampling_inputs,
)
from nnft_ppl.ensemble.outputs import check_outputs
from nnft_ppl.ensemble.progress import Monitor, watching
from nnft_ppl.training.kept import checked_file
from nnft_ppl.training.plan import METHODS, MOST_STEPS, TRAINED, Plan
from nnft_ppl.training.prediction import predict
from nnft_ppl.training.result import TrainedEnsemble, largest_error
from nnft_ppl.training.sharpness import limit_sharpness, safe_rate
from nnft_ppl.training.standardised import check_normal, sites_of
from nnft_ppl.training.stream import Goal, Job, stream

ORDERS = (1, 2, 3, 4)


def train_ensemble(
    network: Network,
    x: ArrayLike,
    y: ArrayLike,
    x_new: ArrayLike,
    *,
    times: Sequence[float],
    num_draws: int = 10_000,
    key: Key,
    method: str = "gradient_flow",
    orders: tuple[int, ...] = ORDERS,
    learning_rate: float | None = None,
    temperature: float | None = None,
    train: str = "all",
    parametrization: str = "ntk",
    target_error: float | None = None,
    error_of: Callable[[Correlators], float | None] | None = None,
    checkpoint: str | Path | None = None,
    draws: str | Path | None = None,
    devices: Sequence[jax.Device] | int | None = None,
    progress: bool | Monitor = False,
) -> TrainedEnsemble:
    """Train networks of the prior on all data at once; f at new inputs over time.

    The loss is L = ½ Σ (f(x) − y)² over data and outputs. Parameters are θ = μ + σω,
    with μ and σ of the prior, and ω moves (the NTK parametrisation): by dω/dt = −∂L/∂ω,
    by ω ← ω − η ∂L/∂ω, or by Langevin dynamics dω = −(∂L/∂ω + Tω) dt + √(2T) dW, whose
    law after a long time is `nnft_ppl.posterior` with noise_std² = T. Networks are
    streamed; their values at the new inputs are kept, 4 bytes for each time and output,
    in memory or, memory then being the same for any number, in a file.

    Args:
        network: Any; a user's by an adapter, too.
        x: Inputs (point, input_dim).
        y: Targets (point,), or (point, output).
        x_new: New inputs (new, input_dim), distinct.
        times: Ascending, ≥ 0; for gradient descent numbers of steps, each of which is
            a time η.
        num_draws: Networks; with a `target_error` the largest number.
        key: A JAX random key; network j is the one of `sample_ensemble`, and a function
            of (key, j).
        method: `gradient_flow`, `gradient_descent` or `langevin`.
        orders: Of the correlators, from 1 to 8; the mean and lower ones are added.
        learning_rate: η of gradient descent, and the largest step of Langevin dynamics,
            whose law after a long time is then off by its square. Half of one over the
            largest eigenvalue of the tangent kernel of 128 networks, of Langevin
            dynamics over that and `temperature`, when `None`.
        temperature: T > 0, of Langevin dynamics.
        train: `all` parameters; or `readout`, the last layer alone, in closed form:
            without steps that have an error, whatever the method.
        parametrization: `standard` for gradients by θ: r σ² = 1 in ω ← ω − η r ∂L/∂ω,
            as if the rates of `ntk` were η/σ², layer by layer.
        target_error: Stop once at every time the relative error of G4c, the root mean
            square over entries of its error over that of its value, is at most this.
        error_of: Correlators so far at one of the times -> the relative error that is
            meant instead, `None` where it is not known yet.
        checkpoint: File where what there is is saved as it grows, and from which the
            same call goes on, whatever its `num_draws`; it is kept at the end.
        draws: File .npy in which draws are kept, (draw, time, new, output), in place of
            memory; the losses (draw, time) are put beside it, in .losses.npy.
        devices: Devices of this process to use, or how many; all when `None`.
        progress: Show a progress bar, on a terminal or in a notebook, or a function
            that is told.

    Returns:
        `TrainedEnsemble`; `result[time]` are correlators.

    Raises:
        SpecError: An argument is unusable, such as a learning rate at which training
            diverges, or networks give NaN or overflow; or the checkpoint is of other
            work.
        UnavailableError: A site has no standard deviation, is not normal though
            Langevin dynamics is asked for, or there is no readout to train alone.
        PluginError: The prior does not run under NumPyro, or what the architecture's
            functions return is not real or of a wrong shape.
        StorageError: Draws cannot be written.
        SamplingInterrupted: Ctrl-C; what there is is in the checkpoint.

    Source: Lee et al., arXiv:1902.06720; Langevin dynamics and its law: Naveh et al.,
    arXiv:2004.01190.
    """
    check_kind("network", network, Network)
    data = checked_data(network, x, y, x_new)
    network.check_inputs(x_new, distinct=True)
    check_choice("method", method, METHODS)
    check_choice("train", train, TRAINED)
    check_choice("parametrization", parametrization, PARAMETRIZATIONS)
    if method == "langevin":
        check_normal(network, train)
        if parametrization != "ntk":
            raise SpecError(
                f"`parametrization` is {parametrization!r}; Langevin dynamics moves "
                "parameters in the parametrisation 'ntk'"
            )
    num_outputs = network.hyperparameters.output_dim
    num_legs = len(data.x_new) * num_outputs
    orders = check_orders({1, *orders}, len(data.x_new), num_outputs)
    num_quantities = sum(num_entries(num_legs, k) for k in orders)
    num_draws = check_num_draws(num_draws, num_quantities + 1)
    check_target(target_error, error_of, orders)
    place = None if checkpoint is None else check_checkpoint_path(checkpoint)
    file = checked_file(draws)
    key = check_key(key)
    used = choose_devices(devices)
    check_prior(network)
    check_outputs(network)
    sites_of(network).rates(parametrization, train)  # refuses
    new_points = sampling_inputs(data.x_new)
    wanted = checked_times(times, method)
    warmth = checked_temperature(temperature, method)
    rate = checked_rate(
        network,
        data,
        learning_rate,
        method,
        train,
        parametrization,
        warmth,
        key,
        used,
    )
    plan = Plan(
        method=method,
        train=train,
        parametrization=parametrization,
        times=wanted,
        learning_rate=rate,
        temperature=warmth,
    )
    job = Job(network, data, new_points, plan, key, num_draws, used, file)

    def error(values: np.ndarray) -> float | None:
        if len(values) <= num_quantities:
            return None
        found = [
            correlators_from_draws(part, data.x_new, orders, width=network.width)
            for part in np.moveaxis(values, 1, 0)
        ]
        return largest_error(found, error_of)

    goal = None if target_error is None else Goal(error, target_error)
    quantity = "G4c" if error_of is None else "error"
    with watching(progress, "train", target_error, quantity) as monitor:
        values, losses = stream(job, goal, place, monitor)
    return TrainedEnsemble(
        network=network,
        x=data.x,
        y=data.y,
        x_new=data.x_new,
        plan=plan,
        orders=orders,
        values=np.moveaxis(values, 1, 0),
        losses=losses.T,
        limit=predict(network, data.x, data.y, data.x_new, plan),
    )


def checked_times(times: Sequence[float], method: str) -> tuple[float, ...]:
    """Ascending numbers ≥ 0; whole ones for gradient descent.

    Raises:
        SpecError: They are not.
    """
    given = np.atleast_1d(real_numbers("`times`", times, "(number of times,)"))
    whole = method == "gradient_descent"
    most = MOST_STEPS if whole else np.inf
    allowed = (
        given.ndim == 1
        and len(given) > 0
        and (given >= 0).all()
        and (given <= most).all()
        and np.isfinite(given).all()
        and (np.diff(given) > 0).all()
        and (not whole or (given == np.floor(given)).all())
    )
    if not allowed:
        kind = "whole numbers of steps" if whole else "numbers"
        raise SpecError(
            f"`times` are {given.tolist()}; expected {kind} ≥ 0, each larger than the "
            "one before"
        )
    return tuple(int(t) if whole else float(t) for t in given)


def checked_temperature(temperature: float | None, method: str) -> float:
    """T > 0 of Langevin dynamics, and of nothing else.

    Raises:
        SpecError: It is missing, no number > 0, or given where there is none.
    """
    if method == "langevin":
        return check_number(
            "temperature",
            temperature,
            lambda t: 0 < t < np.inf,
            "a finite number > 0, the variance of the noise that targets have",
        )
    if temperature is not None:
        raise SpecError(
            f"`temperature` is {temperature!r}, which {method} has not; leave it out, "
            "or take method='langevin'"
        )
    return 0.0


def checked_rate(
    network: Network,
    data: Data,
    learning_rate: float | None,
    method: str,
    train: str,
    parametrization: str,
    temperature: float,
    key: Key,
    devices: tuple[jax.Device, ...],
) -> float:
    """The learning rate: as given, or a safe one.

    Steps are stable below 2/(λ + T), T the pull of the prior in Langevin dynamics.

    Raises:
        SpecError: It is no number > 0, given where there is none, or so large that
            networks diverge.
    """
    if method == "gradient_flow" or (method == "langevin" and train == "readout"):
        if learning_rate is not None:
            way = "gradient flow chooses its own steps"
            if method == "langevin":
                way = "Langevin dynamics of the readout alone takes no steps"
            raise SpecError(
                f"`learning_rate` is {learning_rate!r}; {way}: leave it out, or take "
                "method='gradient_descent'"
            )
        return 0.0
    if learning_rate is None:
        return safe_rate(
            [network], data, parametrization, train, temperature, key, devices
        )
    rate = check_number(
        "learning_rate", learning_rate, lambda r: 0 < r < np.inf, "a finite number > 0"
    )
    sharpness = limit_sharpness(network, data, parametrization, train, key, devices)
    steepest = sharpness + temperature
    if rate * steepest >= 2:
        bound, pull = "2/λ", ""
        if temperature:
            bound, pull = "2/(λ + T)", f" and T = {temperature:.4g} the temperature"
        raise SpecError(
            f"`learning_rate` is {learning_rate!r}, at which training diverges: the "
            f"largest stable one is {bound} = {2 / steepest:.4g}, λ = {sharpness:.4g} "
            f"the largest eigenvalue of the tangent kernel of the data{pull}. Take "
            "half of it or less, as networks differ"
        )
    return rate
