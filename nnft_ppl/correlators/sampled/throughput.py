"""A short benchmark of this machine: random numbers, networks, and what takes the time.

The network is one of the paper's size: 100 hidden units with a kink, six inputs, orders
2, 4 and 6 by the conditional estimator. It belongs to no plugin, so that figures of two
machines compare whatever is installed.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from threadpoolctl import threadpool_limits

from nnft_ppl._network import Network
from nnft_ppl._seed import seed_key
from nnft_ppl._typing import Params
from nnft_ppl.adapters.function import architecture_from_function
from nnft_ppl.architecture import Hyperparameters, Neuron, Readout
from nnft_ppl.correlators.sampled.bare_normals import (
    fused_normals,
    jax_normals,
    num_normals,
    steps_that_last,
)
from nnft_ppl.correlators.sampled.estimators import Inputs
from nnft_ppl.correlators.sampled.estimators.conditional import Conditional
from nnft_ppl.correlators.sampled.job import Job
from nnft_ppl.correlators.sampled.preactivations import preactivation_factor
from nnft_ppl.correlators.symmetric import num_entries
from nnft_ppl.ensemble.device_sizes import sizes_of
from nnft_ppl.ensemble.generator import stream_words
from nnft_ppl.ensemble.generator_names import DEFAULT_GENERATOR
from nnft_ppl.ensemble.local import max_in_flight, run_locally

WIDTH = 100
INPUTS = np.array([[-1.0], [-0.6], [-0.2], [0.2], [0.6], [1.0]])
ORDERS = (2, 4, 6)
_TYPICAL_BLOCKS = 1 << 6
"""Of a run, on whose length the sizes of blocks and batches depend: some 10⁷ networks
on the CPU, 10⁹ on an accelerator."""
_SECONDS = 0.2
"""Of repetitions, of which the fastest counts."""


@dataclass(frozen=True)
class Speed:
    """What was measured.

    Attributes:
        normals_per_second: Of the default generator, one block at a time.
        normals_per_second_all: With as many blocks at a time as the engine runs.
        jax_normals_per_second: Of `jax.random.normal`, one block at a time.
        networks_per_second: Of the engine, with all that there is.
        networks_per_second_one: One block at a time.
        shares: Stage -> share of the time of one block; they add up to one.
        at_a_time: Blocks that the engine runs at a time.
        core_share: Processor time over wall time of work on one core: below one where
            something else wants the core, above where the work spreads by itself.
    """

    normals_per_second: float
    normals_per_second_all: float
    jax_normals_per_second: float
    networks_per_second: float
    networks_per_second_one: float
    shares: dict[str, float]
    at_a_time: int
    core_share: float

    @property
    def gain(self) -> float:
        """How many times the rate of one block at a time all together give."""
        return self.networks_per_second / self.networks_per_second_one


def measure_speed() -> Speed:
    """Measure, in some seconds."""
    devices = tuple(jax.local_devices())
    with jax.enable_x64(False), threadpool_limits(1, user_api="blas"):
        words = stream_words(seed_key(0), 0)
        sizes = sizes_of(devices[0])
        steps = steps_that_last(words, sizes)
        normals = num_normals(steps, sizes)
        fused = partial(fused_normals, words, steps, sizes)
        one, core_share = _fastest(lambda: fused(0))
        per_step = normals // steps
        plain, _ = _fastest(lambda: jax_normals(seed_key(0), steps, per_step))
        shares, block_seconds = _stages(one / normals)
        network_rate = _networks_per_second(devices)
    at_a_time = max_in_flight(len(devices)) * len(devices)
    starts = range(0, 8 * at_a_time * sizes.chunk, sizes.chunk)
    seconds = _time_of_all(fused, starts, devices)
    return Speed(
        normals_per_second=normals / one,
        normals_per_second_all=normals * len(starts) / seconds,
        jax_normals_per_second=normals / plain,
        networks_per_second=network_rate,
        networks_per_second_one=1 / block_seconds,
        shares=shares,
        at_a_time=at_a_time,
        core_share=core_share,
    )


def _fastest(work: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of the fastest of a few runs, and processor over wall time of all."""
    jax.block_until_ready(work())
    times: list[float] = []
    begun, used = time.perf_counter(), time.process_time()
    while len(times) < 3 or sum(times) < _SECONDS:
        start = time.perf_counter()
        jax.block_until_ready(work())
        times.append(time.perf_counter() - start)
    wall = time.perf_counter() - begun
    return min(times), (time.process_time() - used) / wall


def _time_of_all(
    work: Callable[[int], Any], starts: range, devices: tuple[jax.Device, ...]
) -> float:
    """Seconds of many blocks, side by side as the engine runs them."""

    def block(
        starts: Sequence[int], devices: tuple[jax.Device, ...]
    ) -> list[jax.Array]:
        found = []
        for start, device in zip(starts, devices, strict=False):
            with jax.default_device(device):
                found.append(work(start))
        return [jax.block_until_ready(value) for value in found]

    block([0] * len(devices), devices)  # compiles, on each
    begun = time.perf_counter()
    for _ in run_locally(block, starts, devices):
        pass
    return time.perf_counter() - begun


def _network() -> Network:
    def prior(hp: Hyperparameters) -> Params:
        return {
            "weights": dist.Normal(0, hp.weight_std).expand((hp.input_dim, hp.width)),
            "biases": dist.Normal(0, hp.bias_std).expand((hp.width,)),
            "readout": dist.Normal(0, hp.weight_std).expand((hp.width,)),
        }

    def features(params: Params, x: jax.Array) -> jax.Array:
        return jnp.maximum(x @ params["weights"] + params["biases"], 0.0)

    def apply(params: Params, x: jax.Array) -> jax.Array:
        hidden = features(params, x)
        output: jax.Array = hidden @ params["readout"] / hidden.shape[0] ** 0.5
        return output

    architecture = architecture_from_function(
        "benchmark",
        apply,
        prior,
        readout=lambda hp: Readout(
            features=features, weight_std=hp.weight_std, bias_std=0.0
        ),
        neuron=lambda hp: Neuron(
            covariance=lambda x, y: hp.bias_std**2 + hp.weight_std**2 * (x @ y),
            activation=lambda z, variance: jnp.maximum(z, 0.0),
        ),
    )
    return Network.build(architecture, width=WIDTH, input_dim=1, bias_std=1.0)


def _job(network: Network, orders: tuple[int, ...]) -> Job:
    """A run of typical length; units and reference are of no matter to its speed."""
    num_points = len(INPUTS)
    inputs = Inputs(
        jnp.asarray(INPUTS, jnp.float32),
        jnp.ones(num_points, jnp.float32),
        jnp.zeros(num_entries(num_points, 2), jnp.float32),
        jnp.asarray(preactivation_factor(network, INPUTS), jnp.float32),
    )
    return Job.plan(
        network,
        inputs,
        orders,
        Conditional(),
        DEFAULT_GENERATOR,
        key=seed_key(0),
        num_draws=_typical_draws(),
    )


def _typical_draws() -> int:
    """Networks of a run of typical length on this machine."""
    return _TYPICAL_BLOCKS * sizes_of(jax.local_devices()[0]).block_draws


def _stages(normal_seconds: float) -> tuple[dict[str, float], float]:
    """Shares of the time of a block, and seconds per network, one block at a time.

    Orders are added one by one, and the covariance of batches last: what each adds is
    its share.

    Args:
        normal_seconds: Of one normal number.
    """
    network, device = _network(), tuple(jax.local_devices()[:1])

    def seconds(orders: tuple[int, ...], run_length: int) -> float:
        job = _job(network, orders).with_batches_for(run_length)
        return _fastest(lambda: job.sums([0], device))[0] / job.block

    rank = preactivation_factor(network, INPUTS).shape[1]
    # Batches as large as a block leave hardly a product for their covariance.
    longest = 1 << 50
    reached = [
        rank * WIDTH * normal_seconds,
        *(seconds(ORDERS[: n + 1], longest) for n in range(len(ORDERS))),
        seconds(ORDERS, _typical_draws()),
    ]
    names = (
        "random numbers",
        "features and their kernel",
        *(f"products of order {order}" for order in ORDERS[1:]),
        "covariance of batches",
    )
    added = np.maximum(np.diff([0.0, *reached]), 0.0)
    shares = added / added.sum()
    return dict(zip(names, map(float, shares), strict=True)), reached[-1]


def _networks_per_second(devices: tuple[jax.Device, ...]) -> float:
    """Of the engine, blocks side by side."""
    job = _job(_network(), ORDERS)
    count = 4 * max_in_flight(len(devices)) * len(devices) * job.block
    job.sums([], devices)  # compiles
    begun = time.perf_counter()
    for _ in run_locally(job.sums, range(0, count, job.block), devices):
        pass
    return count / (time.perf_counter() - begun)
