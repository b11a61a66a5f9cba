"""Out of memory: smaller pieces, the same bits, and a clear end where none fits."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.correlators.sampled import job
from nnft_ppl.ensemble.out_of_memory import OutOfMemoryWarning, PieceLimit

EXHAUSTED = jax.errors.JaxRuntimeError(
    "RESOURCE_EXHAUSTED: Out of memory allocating 123456789 bytes."
)


def measure(num_draws=20_000, **options):
    network = nnft.network("erf-net", width=4, input_dim=1, bias_std=1.0)
    return nnft.measure_correlators(
        network, [-1.0, 0.3], num_draws=num_draws, key=jax.random.key(2), **options
    )


@pytest.fixture
def small_memory(monkeypatch):
    """A device on which only pieces of `room` networks find room."""

    def install(room, error, where="draw_piece"):
        whole, sizes = getattr(job, where), []

        def limited(*arguments):
            chunk, max_chunks = arguments[-2:]
            sizes.append(chunk * max_chunks)
            if sizes[-1] > room:
                raise error
            return whole(*arguments)

        monkeypatch.setattr(job, where, limited)
        return sizes

    return install


@pytest.mark.parametrize("error", [EXHAUSTED, MemoryError()], ids=["device", "Python"])
def test_smaller_pieces_give_the_same_bits_and_are_said(small_memory, error):
    expected = measure()
    sizes = small_memory(4096, error)
    with pytest.warns(OutOfMemoryWarning) as warned:
        found = measure()
    for order in expected.orders:
        np.testing.assert_array_equal(found.connected(order), expected.connected(order))
    np.testing.assert_array_equal(found.joint_covariance, expected.joint_covariance)
    assert [str(warning.message) for warning in warned] == [
        "out of memory with 32,768 networks at a time; going on with 16,384, which "
        "changes no number",
        "out of memory with 16,384 networks at a time; going on with 8,192, which "
        "changes no number",
        "out of memory with 8,192 networks at a time; going on with 4,096, which "
        "changes no number",
    ]
    assert sizes[:3] == [32768, 16384, 8192]
    assert set(sizes[3:]) == {4096}


def test_where_not_even_the_smallest_piece_fits_it_says_what_to_do(small_memory):
    small_memory(100, EXHAUSTED)
    with (
        pytest.warns(OutOfMemoryWarning),
        pytest.raises(nnft.SpecError, match="512 networks at a time, the fewest; use"),
    ):
        measure()


def test_other_errors_of_the_device_are_not_taken_for_it(small_memory):
    small_memory(100, jax.errors.JaxRuntimeError("INTERNAL: something else"))
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        measure()


def test_threads_that_fail_together_lower_the_limit_once():
    limit, tried = PieceLimit(), []
    together = threading.Barrier(2, timeout=10)

    def work(piece):
        tried.append(piece)
        if piece == 4096:
            together.wait()
            raise MemoryError
        return piece

    with (
        ThreadPoolExecutor(2) as pool,
        pytest.warns(OutOfMemoryWarning) as warned,
    ):
        found = list(pool.map(lambda _: limit.fitting(4096, 512, work), range(2)))
    assert found == [2048, 2048]
    assert sorted(tried) == [2048, 2048, 4096, 4096]
    assert limit.fitting(4096, 512, work) == 2048
    assert len(warned) in (1, 2)  # two when both look before either lowers


REAL = """
import json, os, resource, warnings
from pathlib import Path
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # two blocks at a time
import jax, numpy as np
import nnft_ppl as nnft
from dataclasses import replace
from nnft_ppl.ensemble import device_sizes

device_sizes.CPU = replace(device_sizes.CPU, few_blocks=4)

def measure(block_size):
    network = nnft.network("erf-net", width=4, input_dim=1, bias_std=1.0)
    return nnft.measure_correlators(
        network, np.linspace(-1, 1, 60)[:, None], (2,), num_draws=1 << 19,
        key=jax.random.key(0), block_size=block_size,
    )

expected = measure(512)
status = Path("/proc/self/status").read_text()
used = next(line for line in status.splitlines() if line.startswith("VmSize"))
limit = 1024 * int(used.split()[1]) + 1_000_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    found = measure(1 << 17)
print(json.dumps({
    "warned": [w.category.__name__ for w in warned],
    "equal": bool((found.connected(2) == expected.connected(2)).all()),
}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_where_the_system_gives_no_more_it_goes_on():
    """Two pieces in flight of 131,072 networks and 1,830 pairs: 2 GB of 1 GB."""
    out = subprocess.run(
        [sys.executable, "-c", REAL], capture_output=True, text=True, check=True
    )
    found = json.loads(out.stdout)
    assert found["equal"]
    assert set(found["warned"]) == {"OutOfMemoryWarning"}
