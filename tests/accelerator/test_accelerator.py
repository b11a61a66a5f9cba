"""Every stage on the accelerator that JAX finds: as on the CPU, and to the same bits.

`make test-accelerator` runs it. `--accelerator cpu` runs the same on the CPU, which
tests the tests.
"""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from accelerator.stages import KEY, NEURONS, STAGES, X

import nnft_ppl as nnft
from nnft_ppl.correlators.sampled.measure import SamplingInterrupted

pytestmark = pytest.mark.accelerator

NUM_DRAWS = 1 << 20
OF_ERROR = 0.1
"""The networks are the same, so that of their errors hardly any is left."""


def measure(**options):
    return nnft.measure_correlators(
        NEURONS, X, (2, 4), num_draws=NUM_DRAWS, key=KEY, **options
    )


@pytest.fixture(scope="module")
def once():
    """What a run that nothing happens to gives."""
    return measure()


def assert_same_bits(found, expected):
    for order in expected.orders:
        np.testing.assert_array_equal(found.moment(order), expected.moment(order))
        np.testing.assert_array_equal(
            found.covariance(order), expected.covariance(order)
        )


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory):
    """All stages, in a process that has the CPU alone."""
    file = tmp_path_factory.mktemp("cpu") / "stages.npz"
    subprocess.run(
        [sys.executable, Path(__file__).with_name("stages.py"), file],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        check=True,
    )
    return np.load(file)


@pytest.mark.parametrize("stage", STAGES)
def test_the_accelerator_agrees_with_the_cpu(on_cpu, stage):
    found = STAGES[stage]()
    off = np.abs(found["value"] - on_cpu[f"{stage}/value"])
    assert np.isfinite(found["value"]).all()
    assert (off <= OF_ERROR * on_cpu[f"{stage}/error"]).all()


def test_the_same_call_gives_the_same_bits(once):
    assert_same_bits(measure(), once)


def test_a_run_that_was_stopped_ends_with_the_same_bits(once, tmp_path):
    def stop(progress):
        if progress.num_draws < progress.total:
            raise KeyboardInterrupt

    sums = tmp_path / "corr.sums"
    with pytest.raises(SamplingInterrupted):
        measure(checkpoint=sums, progress=stop)
    assert_same_bits(measure(checkpoint=sums), once)


@pytest.mark.filterwarnings(
    "ignore::nnft_ppl.ensemble.out_of_memory.OutOfMemoryWarning"
)
def test_a_device_that_is_nearly_full_gives_the_same_bits(once):
    """Some pieces do not fit, and smaller ones are taken; on the CPU there is room."""
    stats = jax.local_devices()[0].memory_stats() or {}
    free = stats.get("bytes_limit", 0) - stats.get("bytes_in_use", 0)
    held = jnp.zeros(max(0, free - (1 << 28)) // 4, jnp.float32)
    jax.block_until_ready(held)
    try:
        found = measure(memory=1 << 34)
    finally:
        held.delete()
    assert_same_bits(found, once)


def test_two_devices_give_the_bits_of_one(once):
    if jax.local_device_count() < 2:
        pytest.skip("there is one device")
    assert_same_bits(measure(devices=1), once)
