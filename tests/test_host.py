"""Small work in double precision is done by the host, whatever the default device."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

import nnft_ppl as nnft
from nnft_ppl import _host
from nnft_ppl._host import default_device, on_host
from nnft_ppl.eft.integration import nodes
from nnft_ppl.inference.couplings import nuts

PROGRAM = """
import json
import jax

first, second = jax.devices()
jax.config.update("jax_default_device", second)

from test_host import small_fit

fit = small_fit()
kernel = fit.correlators.network.kernel([0.1, 0.3, 0.7])
print(json.dumps([
    fit.dimensionless.tolist(),
    sorted(
        (program.hlo_modules()[0].name, device.id)
        for program in first.client.live_executables()
        for device in program.local_devices()
    ),
]))
"""
"""With two devices, the first the host: draws; programs and where they run."""


def small_fit():
    network = nnft.network("erf-net", width=20, input_dim=1)
    return nnft.fit_couplings(
        nnft.exact_correlators(network, [0.2, 1.0]),
        nnft.Action(["lambda_0"]),
        [10.0, 100.0],
        key=jax.random.key(0),
        num_warmup=5,
        num_samples=5,
        num_chains=2,
    )


@pytest.mark.slow
def test_fits_and_quadratures_run_on_the_host_and_kernels_on_the_device():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={
            **os.environ,
            "JAX_NUM_CPU_DEVICES": "2",
            "JAX_ENABLE_COMPILATION_CACHE": "true",
            "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    draws, programs = json.loads(done.stdout)
    on_host, on_device = (
        {name for name, device in programs if device == number} for number in (0, 1)
    )
    assert {"jit__begin_all", "jit__advance_all", "jit_stage"} <= on_host
    assert not {"jit__begin_all", "jit__advance_all"} & on_device
    assert "jit_row" in on_device
    assert draws == small_fit().dimensionless.tolist()


def test_the_host_is_told_where_another_device_is_the_default(monkeypatch):
    host, told = jax.devices("cpu")[0], []
    monkeypatch.setattr(_host, "default_device", lambda: None)

    class Reached(Exception):
        pass

    def note(*_):
        told.append(jax.config.jax_default_device)
        raise Reached

    for module, name in ((nodes.KernelTables, "_padded"), (nuts, "_begin")):
        monkeypatch.setattr(module, name, note)
        with pytest.raises(Reached):
            small_fit()
        monkeypatch.undo()
        monkeypatch.setattr(_host, "default_device", lambda: None)
    assert told == [host, host]


def test_where_the_host_is_the_default_nothing_is_set():
    with on_host():
        assert jax.config.jax_default_device is None
    assert default_device() == jax.devices()[0]


def test_without_a_host_the_default_device_does_the_work(monkeypatch):
    """As under JAX_PLATFORMS=cuda, which leaves the CPU out."""

    def devices(backend=None):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(_host.jax, "local_devices", devices)
    with on_host():
        assert jax.config.jax_default_device is None


@pytest.mark.parametrize("named", ["cpu", jax.devices("cpu")[0]])
def test_the_default_device_may_be_named_by_its_platform(named):
    with jax.default_device(named):
        assert default_device() == jax.devices("cpu")[0]
