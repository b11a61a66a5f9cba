"""Sizes by the kind and memory of a device; how many trips large networks then take."""

from dataclasses import asdict

import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.ensemble.blocks import chunk_size, draws_per_block
from nnft_ppl.ensemble.device_sizes import CPU, accelerator_sizes, sizes_of

GIB = 1 << 30


class Device:
    """What is asked of a device of JAX."""

    def __init__(self, platform, told):
        self.platform, self.told = platform, told

    def memory_stats(self):
        return self.told


def test_a_device_has_the_sizes_of_its_kind_and_memory():
    card = sizes_of(Device("gpu", {"bytes_limit": 60 * 10**9}))
    assert card == accelerator_sizes(60 * 10**9, float64=True)
    assert card.sums_in_place
    small = sizes_of(Device("gpu", {"bytes_limit": 6 * GIB}))
    assert small.chunk == card.chunk
    assert small.chunk_numbers == card.chunk_numbers // 8  # powers of two: 32 and 4 GiB
    assert sizes_of(Device("gpu", None)) == accelerator_sizes(8 * GIB, float64=True)
    assert sizes_of(Device("cpu", None)) is CPU


def test_a_device_without_float64_leaves_sums_to_the_host():
    assert not sizes_of(Device("tpu", {"bytes_limit": 16 * GIB})).sums_in_place


@pytest.mark.parametrize("memory", [GIB // 2, 8 * GIB, 60 * 10**9, 141 * 10**9])
def test_sizes_are_powers_of_two_and_arrays_a_small_part_of_the_memory(memory):
    sizes = accelerator_sizes(memory, float64=True)
    for name, size in asdict(sizes).items():
        if name not in ("fused_rows", "rounds", "sums_in_place"):
            assert size & (size - 1) == 0, name
    # In bytes; an array of float32, one of float64, and room for several.
    arrays = (4 * sizes.chunk_numbers, 4 * sizes.product_numbers, sizes.piece_bytes)
    assert max(*arrays, 8 * sizes.slice_numbers) <= memory / 8


NETWORKS = {
    "mlp": (nnft.network("mlp", width=64, depth=3, input_dim=64), 1 << 16, 128),
    "conv-net": (nnft.network("conv-net", width=64, input_dim=(8, 8, 1)), 1 << 10, 2),
    "residual-mlp": (
        nnft.network("residual-mlp", width=64, input_dim=64), 1 << 16, 128,
    ),
    "attention": (nnft.network("attention", width=64, input_dim=(8, 4)), 1 << 14, 32),
}  # fmt: skip
"""With the networks side by side at four inputs on a card of 80 GB, and on a core."""


@pytest.mark.parametrize("name", NETWORKS)
def test_large_networks_fill_the_memory_of_a_card(name):
    """2¹⁸ conv-nets of 8 × 8 pixels are 256 trips, where a core's cache has 131,072."""
    network, on_card, on_core = NETWORKS[name]
    card = accelerator_sizes(80 * 10**9, float64=True)
    assert chunk_size(network, 4, card) == on_card
    assert chunk_size(network, 4, CPU) == on_core


def test_a_chunk_is_no_more_work_than_some_milliseconds():
    """Of ten million weights: 2³² numbers drawn, however small each array is."""
    card = accelerator_sizes(1 << 60, float64=True)
    wide = nnft.network("mlp", width=1 << 11, depth=3, input_dim=64)
    numbers = 64 * 2**11 + 2 * 2**22 + 4 * 2**11 + 1
    assert chunk_size(wide, 4, card) == 2 ** int(np.log2(2**32 / numbers))


def test_blocks_of_a_card_are_larger_and_fewer():
    card = accelerator_sizes(80 * 10**9, float64=True)
    assert draws_per_block(10**7, 160, card) == 1 << 22
    assert draws_per_block(10**10, 160, card) == 1 << 24
    assert draws_per_block(10**12, 160, card) == 1 << 29
    assert draws_per_block(10**7, 10**12, card) == card.group
