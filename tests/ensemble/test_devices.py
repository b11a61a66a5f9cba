"""Eight devices of one process give what one gives, to the bit."""

import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
import numpy as np
import nnft_ppl as nnft
from dataclasses import replace
from nnft_ppl.ensemble import device_sizes
device_sizes.CPU = replace(device_sizes.CPU, block_draws=1024)
key, x = jax.random.key(6), np.linspace(-1.0, 1.0, 3)
neurons = nnft.network("erf-net", width=11, input_dim=1, bias_std=1.0)
deep = nnft.network("mlp", width=6, depth=2, input_dim=1)
found = {"drawn": nnft.sample_ensemble(deep, x, 9000, key=key, block_size=1).values}
for name, net, estimator in (
    ("neurons", neurons, "conditional"), ("deep", deep, "wick")
):
    some = nnft.measure_correlators(
        net, x, (2, 4), num_draws=13_000, key=key, estimator=estimator
    )
    found[name] = some.connected(4)
    found[name + "_covariance"] = some.covariance(4)
one = nnft.measure_correlators(neurons, x, num_draws=13_000, key=key, devices=1)
found["first_device"] = one.connected(4)
np.savez(sys.argv[2], devices=len(jax.devices()), **found)
"""


def run(tmp_path, num_devices):
    path = tmp_path / f"{num_devices}.npz"
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(num_devices), path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return np.load(path)


@pytest.mark.slow_but("3")
@pytest.mark.parametrize("number", [3, 8])
def test_devices_give_the_bits_of_one(tmp_path, number):
    one, other = run(tmp_path, 1), run(tmp_path, number)
    assert int(other["devices"]) == number
    for name in set(one.files) - {"devices"}:
        np.testing.assert_array_equal(one[name], other[name])
    np.testing.assert_array_equal(one["first_device"], one["neurons"])
