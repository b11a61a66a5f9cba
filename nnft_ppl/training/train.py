"""Ensembles of trained networks: the public call."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import ArrayLike

from nnft_ppl._arguments import check_choice, check_kind, check_number
from nnft_ppl._arrays import real_numbers
from nnft_ppl._errors import SpecError
from nnft_ppl._network import Network
from nnft_ppl._tangent_kernel import PARAMETRIZATIONS
from nnft_ppl._typing import Key, Points
from nnft_ppl.bayes.data import Data, checked_data
from nnft_ppl.correlators.orders import check_orders
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.ensemble.device_sizes import sizes_of
from nnft_ppl.ensemble.local import choose_devices
from nnft_ppl.ensemble.model import (
    Stream,
    check_key,
    check_num_draws,
    check_prior,
    sampling_inputs,
)
from nnft_ppl.ensemble.not_finite import NotFiniteError, which_are_not_finite
from nnft_ppl.ensemble.outputs import check_outputs
from nnft_ppl.ensemble.progress import Monitor, Pace, watching
from nnft_ppl.training.network_blocks import network_blocks
from nnft_ppl.training.plan import METHODS, TRAINED, Plan
from nnft_ppl.training.prediction import predict
from nnft_ppl.training.programs import train_networks
from nnft_ppl.training.result import TrainedEnsemble
from nnft_ppl.training.sharpness import limit_sharpness, sharpest
from nnft_ppl.training.standardised import check_normal, sites_of

_MARGIN = 0.5
"""Of one over the largest eigenvalue among some networks: others, and the same later,
may have four times as large a one and be stable."""
_FLOW_WORK = 50
"""Steps that the flow takes, roughly."""


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
    orders: tuple[int, ...] = (1, 2, 3, 4),
    learning_rate: float | None = None,
    temperature: float | None = None,
    train: str = "all",
    parametrization: str = "ntk",
    devices: Sequence[jax.Device] | int | None = None,
    progress: bool | Monitor = False,
) -> TrainedEnsemble:
    """Train networks of the prior on all data at once; f at new inputs over time.

    The loss is L = ½ Σ (f(x) − y)² over data and outputs. Parameters are θ = μ + σω,
    with μ and σ of the prior, and ω moves (the NTK parametrisation): by dω/dt = −∂L/∂ω,
    by ω ← ω − η ∂L/∂ω, or by Langevin dynamics dω = −(∂L/∂ω + Tω) dt + √(2T) dW, whose
    law after a long time is `nnft_ppl.posterior` with noise_std² = T. Networks are
    streamed; their values at the new inputs are kept, 4 bytes for each time and output.

    Args:
        network: Any; a user's by an adapter, too.
        x: Inputs (point, input_dim).
        y: Targets (point,), or (point, output).
        x_new: New inputs (new, input_dim), distinct.
        times: Ascending, ≥ 0; for gradient descent numbers of steps, each of which is
            a time η.
        num_draws: Networks.
        key: A JAX random key; network j is the one of `sample_ensemble`, and a function
            of (key, j).
        method: `gradient_flow`, `gradient_descent` or `langevin`.
        orders: Of the correlators, from 1 to 8; the mean and lower ones are added.
        learning_rate: η of gradient descent, and the largest step of Langevin dynamics,
            whose law after a long time is then off by its square. Half of one over the
            largest eigenvalue of the tangent kernel of 128 networks when `None`.
        temperature: T > 0, of Langevin dynamics.
        train: `all` parameters; or `readout`, the last layer alone, in closed form, by
            gradient flow or descent.
        parametrization: `standard` for gradients by θ: r σ² = 1 in ω ← ω − η r ∂L/∂ω,
            as if the rates of `ntk` were η/σ², layer by layer.
        devices: Devices of this process to use, or how many; all when `None`.
        progress: Show a progress bar, on a terminal or in a notebook, or a function
            that is told.

    Returns:
        `TrainedEnsemble`; `result[time]` are correlators.

    Raises:
        SpecError: An argument is unusable, such as a learning rate at which training
            diverges, or networks give NaN or overflow.
        UnavailableError: A site has no standard deviation, is not normal though
            Langevin dynamics is asked for, or there is no readout to train alone.
        PluginError: The prior does not run under NumPyro, or what the architecture's
            functions return is not real or of a wrong shape.

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
        check_normal(network)
        if train != "all" or parametrization != "ntk":
            raise SpecError(
                f"`train` is {train!r} and `parametrization` {parametrization!r}; "
                "Langevin dynamics moves 'all' parameters in the parametrisation 'ntk'"
            )
    num_outputs = network.hyperparameters.output_dim
    num_legs = len(data.x_new) * num_outputs
    orders = check_orders({1, *orders}, len(data.x_new), num_outputs)
    num_quantities = sum(num_entries(num_legs, k) for k in orders)
    num_draws = check_num_draws(num_draws, num_quantities + 1)
    key = check_key(key)
    used = choose_devices(devices)
    check_prior(network)
    check_outputs(network)
    sites_of(network).rates(parametrization, train)  # refuses
    new_points = sampling_inputs(data.x_new)
    plan = Plan(
        method=method,
        train=train,
        parametrization=parametrization,
        times=_checked_times(times, method),
        learning_rate=_checked_rate(
            network, data, learning_rate, method, train, parametrization, key, used
        ),
        temperature=_checked_temperature(temperature, method),
    )
    values, losses = _trained(
        network, data, new_points, plan, key, num_draws, used, progress
    )
    return TrainedEnsemble(
        network=network,
        x=data.x,
        y=data.y,
        x_new=data.x_new,
        plan=plan,
        orders=orders,
        values=values,
        losses=losses,
        limit=predict(network, data.x, data.y, data.x_new, plan),
    )


def _checked_times(times: Sequence[float], method: str) -> tuple[float, ...]:
    """Ascending numbers ≥ 0; whole ones for gradient descent."""
    given = np.atleast_1d(real_numbers("`times`", times, "(number of times,)"))
    whole = method == "gradient_descent"
    most = 2**31 - 1 if whole else np.inf
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


def _checked_temperature(temperature: float | None, method: str) -> float:
    """T > 0 of Langevin dynamics, and of nothing else."""
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


def _checked_rate(
    network: Network,
    data: Data,
    learning_rate: float | None,
    method: str,
    train: str,
    parametrization: str,
    key: Key,
    devices: tuple[jax.Device, ...],
) -> float:
    """The learning rate: as given, or a safe one.

    Raises:
        SpecError: It is no number > 0, given where there is none, or so large that
            networks diverge.
    """
    if method == "gradient_flow":
        if learning_rate is not None:
            raise SpecError(
                f"`learning_rate` is {learning_rate!r}; gradient flow chooses its own "
                "steps: leave it out, or take method='gradient_descent'"
            )
        return 0.0
    if learning_rate is None:
        largest = sharpest(network, data, parametrization, train, key, devices)
        return _MARGIN / largest if largest > 0 else 1.0
    rate = check_number(
        "learning_rate", learning_rate, lambda r: 0 < r < np.inf, "a finite number > 0"
    )
    sharpness = limit_sharpness(network, data, parametrization, train, key, devices)
    if rate * sharpness >= 2:
        raise SpecError(
            f"`learning_rate` is {learning_rate!r}, at which training diverges: the "
            f"largest stable one is 2/λ = {2 / sharpness:.4g}, λ = {sharpness:.4g} the "
            "largest eigenvalue of the tangent kernel of the data. Take half of it or "
            "less, as networks differ"
        )
    return rate


def _trained(
    network: Network,
    data: Data,
    new_points: Points,
    plan: Plan,
    key: Key,
    num_draws: int,
    devices: tuple[jax.Device, ...],
    progress: bool | Monitor,
) -> tuple[np.ndarray, np.ndarray]:
    """(time, draw, new, output) of f, and (time, draw) of the loss."""
    points = jnp.asarray(data.points[data.rows])
    targets = jnp.asarray(data.y.reshape(-1), jnp.float32)
    new = jnp.asarray(new_points, jnp.float32)
    intervals = (
        jnp.asarray(plan.intervals, jnp.float32),
        jnp.asarray(plan.steps, jnp.int32),
        jnp.asarray(plan.sizes, jnp.float32),
    )
    temperature = jnp.asarray(plan.temperature, jnp.float32)
    sizes = sizes_of(devices[0])

    def program(
        streams: Stream,
        starts: np.ndarray,
        chunks: np.ndarray,
        mesh: Mesh,
        chunk: int,
        max_chunks: int,
    ) -> jax.Array:
        return train_networks(
            streams,
            starts,
            chunks,
            points,
            targets,
            new,
            intervals,
            temperature,
            mesh,
            network,
            plan.method,
            plan.train,
            plan.parametrization,
            sizes,
            chunk,
            max_chunks,
        )

    num_outputs = network.hyperparameters.output_dim
    shape = (len(plan.times), num_draws, len(new), num_outputs)
    values = np.empty(shape, np.float32)
    losses = np.empty(shape[:2], np.float32)
    steps = float(plan.steps.sum()) or _FLOW_WORK * len(targets) * len(plan.times)
    done, pace = 0, Pace(0)
    with watching(progress, "train") as monitor:
        for part in network_blocks(
            program,
            network,
            len(points),
            3 * steps,
            key=key,
            num_draws=num_draws,
            devices=devices,
        ):
            bad = which_are_not_finite(part)
            if bad.any():
                raise NotFiniteError(_diverged(network, plan, bad, part, done))
            stop = done + len(part)
            by_time = np.moveaxis(part, 1, 0)
            values[:, done:stop] = by_time[..., :-1].reshape(-1, len(part), *shape[2:])
            losses[:, done:stop] = by_time[..., -1]
            done = stop
            if monitor is not None:
                monitor(pace.at(done, num_draws, None))
    return values, losses


def _diverged(
    network: Network, plan: Plan, bad: np.ndarray, part: np.ndarray, start: int
) -> str:
    """What to say of networks that end in no numbers."""
    finite = np.isfinite(part[bad]).all(axis=(0, 2))
    time = plan.times[int(np.argmin(finite))]
    remedy = "use smaller inputs, targets or weights"
    if plan.method != "gradient_flow":
        remedy = (
            f"use a `learning_rate` below {plan.learning_rate:.3g}, or {remedy[4:]}"
        )
    return (
        f"{np.count_nonzero(bad)} of the networks {start} to {start + len(bad) - 1} "
        f"give NaN or infinity by time {time}, the first of them network "
        f"{start + int(np.argmax(bad))} of {network.name!r}: {remedy}"
    )
