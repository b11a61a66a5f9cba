"""The posterior by weighting networks of the prior, streamed: any number of them.

Given its features a network gives evidence, mean and variance in closed form, so that
the posterior is a mixture over networks weighted by their evidences. One pass keeps 8
bytes a network, its log evidence, and sums; those few networks whose weights smoothing
changes, and those that draws of the field are taken from, are drawn again by number.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._errors import FitError, SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl.bayes.answer import Answer, Draws
from nnft_ppl.bayes.data import Data, bytes_per_network
from nnft_ppl.bayes.device_programs import (
    condition_networks,
    draw_features,
    draw_fields,
)
from nnft_ppl.bayes.features import num_features
from nnft_ppl.bayes.scales import Scales
from nnft_ppl.bayes.sums import Sums
from nnft_ppl.bayes.weights import Weights, resampled, smoothed
from nnft_ppl.ensemble.blocks import (
    chunk_size,
    device_mesh,
    power_of_two_below,
    stack_streams,
)
from nnft_ppl.ensemble.device_sizes import DeviceSizes, sizes_of
from nnft_ppl.ensemble.local import run_locally
from nnft_ppl.ensemble.model import numbered_keys, stream_at
from nnft_ppl.ensemble.not_finite import NotFiniteError, not_finite
from nnft_ppl.ensemble.out_of_memory import is_out_of_memory
from nnft_ppl.ensemble.progress import Monitor, Pace

_BLOCK_BYTES = 1 << 26
"""Memory that a block takes: 64 MiB."""
_BLOCK_DRAWS = 1 << 13
_FEW_BLOCKS = 1 << 3
"""With fewer, cores would be idle at the end."""
_GROUP_NUMBERS = 1 << 16
"""Numbers in the largest arrays of networks side by side: 512 KiB, of a core's cache
half or less. With twice as many, matrices of 442 × 100 took a fifth longer."""
_SCALES, _RESAMPLING, _FIELDS = ((1 << 30) + i for i in range(3))
"""Streams of the key that no network's numbers come from."""


@dataclass(frozen=True, eq=False)
class Job:
    """Networks, data, and how the work is cut.

    Attributes:
        network: With a Gaussian readout.
        data: Targets and inputs.
        scales: Noise, and what else is unknown.
        num_draws: Networks of the prior.
        key: Network j is a function of (key, j).
        generator: One of `GENERATORS`.
        devices: Each takes a block at a time.
    """

    network: Network
    data: Data
    scales: Scales
    num_draws: int
    key: Key
    generator: str
    devices: tuple[jax.Device, ...]

    @cached_property
    def block(self) -> int:
        """Networks in a block, on which no result depends but by rounding."""
        few = power_of_two_below(self.num_draws / _FEW_BLOCKS)
        # Of one chunk or group the compiler would make another program.
        least = 2 * max(self.chunk, self.group)
        return max(least, min(self._fits, few, _BLOCK_DRAWS))

    @property
    def _fits(self) -> int:
        """Networks in the memory of a block."""
        each = bytes_per_network(self.data, num_features(self.network))
        return power_of_two_below(_BLOCK_BYTES / each)

    @cached_property
    def sizes(self) -> DeviceSizes:
        """Of the devices."""
        return sizes_of(self.devices[0])

    @cached_property
    def chunk(self) -> int:
        """Networks drawn side by side."""
        chunk = chunk_size(self.network, len(self.data.points), self.sizes)
        few = power_of_two_below(self.num_draws / _FEW_BLOCKS)
        return min(chunk, few, max(1, self._fits // 2))

    @cached_property
    def group(self) -> int:
        """Networks of which matrices are factored side by side."""
        features, rows = num_features(self.network), len(self.data.x)
        largest = max(rows * features, min(rows, features) ** 2)
        return min(power_of_two_below(_GROUP_NUMBERS / largest), self.chunk)

    def special_key(self, which: int) -> Key:
        """A key for something else than networks."""
        return stream_at(self.key, which << 32)[0].key

    def draw_scales(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Noise, and what else is unknown, of these networks: name -> (network,)."""
        return self.scales.draw(self.special_key(_SCALES), numbers)

    def results(
        self, numbers: np.ndarray, *, fields: bool
    ) -> Generator[np.ndarray, None, None]:
        """(network, …) of these networks, block by block, in order.

        Args:
            numbers: Of networks, uint32.
            fields: Draw the field, each time anew, in place of `Given`.

        Raises:
            SpecError: Memory runs out.
        """
        total, block, data = len(numbers), self.block, self.data
        points = jnp.asarray(data.points)
        names = tuple(sorted(self.scales.of_network))
        own = self.special_key(_FIELDS)

        def run(
            starts: Sequence[int], devices: tuple[jax.Device, ...]
        ) -> list[np.ndarray]:
            # A device without networks of its own has none to draw.
            begun = [*starts, *[total] * (len(devices) - len(starts))]
            parts = [numbers[start : start + block] for start in begun]
            padded = np.zeros((len(begun), block), np.uint32)
            for row, part in zip(padded, parts, strict=True):
                row[: len(part)] = part
            scales = [self.draw_scales(row) for row in padded]
            streams, _ = stack_streams(self.key, [0] * len(begun))
            mesh = device_mesh(devices)
            features = draw_features(
                streams,
                padded,
                np.array([-(-len(part) // self.chunk) for part in parts], np.uint32),
                tuple(np.stack([each[name] for each in scales]) for name in names),
                points,
                mesh,
                self.network,
                self.generator,
                names,
                self.chunk,
                self.sizes,
            )
            with jax.enable_x64(True):
                noise = np.stack([each["noise_std"] for each in scales])
                where = data.rows, data.new_rows, data.y
                if fields:
                    places = np.add.outer(begun, np.arange(block)).astype(np.uint32)
                    keys = jax.random.key_data(numbered_keys(own, places.ravel()))
                    found = draw_fields(
                        features,
                        noise,
                        keys.reshape(*places.shape, -1),
                        *where,
                        mesh,
                        self.group,
                    )
                else:
                    found = condition_networks(
                        features, noise, *where, mesh, self.group
                    )
                return [
                    each[: len(part)]
                    for each, part in zip(np.asarray(found), parts, strict=True)
                ][: len(starts)]

        try:
            with closing(
                run_locally(run, range(0, total, block), self.devices)
            ) as blocks:
                yield from blocks
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise SpecError(
                f"out of memory with {block} networks at a time, the fewest, at "
                f"{len(data.x)} data; use fewer data, or new inputs in several calls"
            ) from error


def weigh(job: Job, monitor: Monitor | None) -> tuple[Weights, Answer]:
    """Weights of all networks, and mean and variance of the field with them.

    Raises:
        NotFiniteError: Networks give NaN or overflow.
        FitError: No network can have the targets.
        SpecError: Memory runs out.
    """
    shape = (len(job.data.x_new), job.data.num_outputs)
    sums, done, pace = Sums.zero(shape), 0, Pace(0)
    try:
        log_evidence = np.empty(job.num_draws)
    except (MemoryError, ValueError) as error:
        raise SpecError(
            f"`num_draws` is {job.num_draws}: {8 * job.num_draws / 1e9:.3g} GB of log "
            "weights, 8 bytes each; use fewer"
        ) from error
    with closing(
        job.results(np.arange(job.num_draws, dtype=np.uint32), fields=False)
    ) as blocks:
        for part in blocks:
            found = part[:, 0]
            bad = np.isnan(found)
            if bad.any():
                raise NotFiniteError(not_finite(job.network, bad, done))
            log_evidence[done : done + len(part)] = found
            sums = sums.plus(found, *moments(part, shape))
            done += len(part)
            if monitor is not None:
                monitor(pace.at(done, job.num_draws))
    weights = smoothed(log_evidence)
    sums = sums.in_units_of(weights.log_evidence + np.log(job.num_draws))
    with closing(
        job.results(weights.changed.astype(np.uint32), fields=False)
    ) as blocks:
        first = 0
        for part in blocks:
            which = weights.changed[first : first + len(part)]
            sums = sums.corrected(
                np.exp(weights.raw[which]),
                np.exp(weights.log_weights[which]),
                *moments(part, shape),
            )
            first += len(part)
    return weights, sums.answer()


def draw_posterior(
    job: Job, weights: Weights, num_chains: int, num_samples: int
) -> Draws:
    """Independent draws of the field, and of what is unknown beside it.

    A network is drawn by weight, and from it a field given the data; (chain, draw, …).

    Raises:
        SpecError: Memory runs out.
    """
    rng = np.random.default_rng(
        np.asarray(jax.random.key_data(job.special_key(_RESAMPLING)))
    )
    chosen = resampled(weights.log_weights, num_chains * num_samples, rng).astype(
        np.uint32
    )
    with closing(job.results(chosen, fields=True)) as blocks:
        fields = np.concatenate(list(blocks))
    if not np.isfinite(fields).all():
        raise FitError(
            "draws of the field are not finite, as the kernels of networks at the "
            "inputs are close to singular; give a larger `noise_std`"
        )
    return Draws.of(
        job.data,
        job.draw_scales(chosen),
        fields,
        rng,
        tuple(job.scales.laws),
        (num_chains, num_samples),
    )


def moments(part: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean (network, new, output) and variance (network, new) from flat results."""
    number = shape[0] * shape[1]
    mean = part[:, 1 : 1 + number].reshape(len(part), *shape)
    return mean, part[:, 1 + number :]
