"""The posterior by weighting networks of the prior, streamed: any number of them.

Given its features a network gives evidence, mean and variance in closed form, so that
the posterior is a mixture over networks weighted by their evidences. One pass keeps 8
bytes a network, its log evidence, and sums (`stream.py`, `by_weights.py`); those few
networks whose weights smoothing changes, and those that draws of the field are taken
from, are drawn again by number.
"""

import hashlib
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._errors import FitError, SpecError
from nnft_ppl._network import Network
from nnft_ppl._typing import Key
from nnft_ppl._version import __version__
from nnft_ppl.bayes.answer import Draws
from nnft_ppl.bayes.data import Data, bytes_per_network
from nnft_ppl.bayes.device_programs import (
    condition_networks,
    draw_features,
    draw_fields,
)
from nnft_ppl.bayes.features import num_features
from nnft_ppl.bayes.scales import Scales
from nnft_ppl.bayes.weights import Weights, resampled
from nnft_ppl.ensemble.blocks import (
    chunk_size,
    device_mesh,
    power_of_two_below,
    stack_streams,
)
from nnft_ppl.ensemble.device_sizes import DeviceSizes, sizes_of
from nnft_ppl.ensemble.fingerprint import network_record
from nnft_ppl.ensemble.local import run_locally
from nnft_ppl.ensemble.model import numbered_keys, stream_at
from nnft_ppl.ensemble.out_of_memory import is_out_of_memory

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
        block_size: Networks in a block; `None` for a good number.
    """

    network: Network
    data: Data
    scales: Scales
    num_draws: int
    key: Key
    generator: str
    devices: tuple[jax.Device, ...]
    block_size: int | None = None

    @cached_property
    def block(self) -> int:
        """Networks in a block, on which no result depends but by rounding."""
        if self.block_size is not None:
            return self.block_size
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
        most = self._fits if self.block_size is None else self.block_size
        return min(chunk, few, max(1, most // 2))

    @cached_property
    def group(self) -> int:
        """Networks of which matrices are factored side by side."""
        features, rows = num_features(self.network), len(self.data.x)
        largest = max(rows * features, min(rows, features) ** 2)
        return min(power_of_two_below(_GROUP_NUMBERS / largest), self.chunk)

    def special_key(self, which: int) -> Key:
        """A key for something else than networks."""
        return stream_at(self.key, which << 32)[0].key

    def identity(self, of: str) -> dict[str, Any]:
        """What must be equal for a state to be of the same work; not how much of it.

        Args:
            of: What the state is of.
        """
        digest = hashlib.sha256()
        for array in (self.data.x, self.data.y, self.data.x_new):
            digest.update(str(array.shape).encode() + array.tobytes())
        return {
            "of": of,
            "version": __version__,  # another may draw other networks
            "jax": jax.__version__,
            "network": network_record(self.network)["network"],
            "generator": self.generator,
            "key": np.asarray(jax.random.key_data(self.key)).tolist(),
            "scales": self.scales.record(),
            "data": digest.hexdigest()[:16],
        }

    def draw_scales(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Noise, and what else is unknown, of these networks: name -> (network,)."""
        return self.scales.draw(self.special_key(_SCALES), numbers)

    def of_networks(
        self,
        parts: Sequence[np.ndarray],
        devices: tuple[jax.Device, ...],
        places: Sequence[int] | None = None,
    ) -> list[np.ndarray]:
        """What is known of networks, (network, …) for each part.

        Without parts the programs are compiled.

        Args:
            parts: Numbers of networks, uint32, a block at most; one part a device, or
                fewer.
            devices: That do it.
            places: Draw the field, in place of `Given`: where in the list of draws each
                part begins, as every draw has its own random numbers.

        Raises:
            SpecError: Memory runs out.
        """
        block = self.block
        # A device without networks of its own has none to draw.
        padded = np.zeros((len(devices), block), np.uint32)
        for row, part in zip(padded, parts, strict=False):
            row[: len(part)] = part
        counts = [len(part) for part in parts] + [0] * (len(devices) - len(parts))
        try:
            found = self._of_networks(padded, counts, devices, places)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise SpecError(
                f"out of memory with {block} networks at a time, the fewest, at "
                f"{len(self.data.x)} data; use fewer data, or new inputs in several "
                "calls"
            ) from error
        return [
            each[: len(part)]
            for each, part in zip(np.asarray(found), parts, strict=False)
        ]

    def _of_networks(
        self,
        numbers: np.ndarray,
        counts: Sequence[int],
        devices: tuple[jax.Device, ...],
        places: Sequence[int] | None,
    ) -> np.ndarray:
        """The same of as many networks for each device, (device, network, …)."""
        data, mesh = self.data, device_mesh(devices)
        names = tuple(sorted(self.scales.of_network))
        scales = [self.draw_scales(row) for row in numbers]
        streams, _ = stack_streams(self.key, [0] * len(numbers))
        features = draw_features(
            streams,
            numbers,
            np.array([-(-count // self.chunk) for count in counts], np.uint32),
            tuple(np.stack([each[name] for each in scales]) for name in names),
            jnp.asarray(data.points),
            mesh,
            self.network,
            self.generator,
            names,
            self.chunk,
            self.sizes,
        )
        where = data.rows, data.new_rows, data.y
        with jax.enable_x64(True):
            noise = np.stack([each["noise_std"] for each in scales])
            if places is None:
                found = condition_networks(features, noise, *where, mesh, self.group)
                return np.asarray(found)
            begun = [*places, *[0] * (len(devices) - len(places))]
            draws = np.add.outer(begun, np.arange(self.block)).astype(np.uint32)
            keys = jax.random.key_data(
                numbered_keys(self.special_key(_FIELDS), draws.ravel())
            )
            found = draw_fields(
                features,
                noise,
                keys.reshape(*draws.shape, -1),
                *where,
                mesh,
                self.group,
            )
            return np.asarray(found)

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

        def run(
            starts: Sequence[int], devices: tuple[jax.Device, ...]
        ) -> list[np.ndarray]:
            parts = [numbers[start : start + self.block] for start in starts]
            return self.of_networks(parts, devices, starts if fields else None)

        starts = range(0, len(numbers), self.block)
        with closing(run_locally(run, starts, self.devices)) as blocks:
            yield from blocks


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
    chosen = resampled(weights.values, num_chains * num_samples, rng).astype(np.uint32)
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
