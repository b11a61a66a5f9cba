"""Programs: compiled once each, kept while among the last used, and then given back."""

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl import _compile
from nnft_ppl._compile import compiled


def num_programs():
    """Compiled programs that this process holds."""
    gc.collect()
    return len(jax.devices()[0].client.live_executables())


@pytest.fixture
def traced(monkeypatch):
    """A compiled function of which four programs are kept, and what it was traced for.

    With static `times`; what is not static is an array of any shape.
    """
    monkeypatch.setattr(_compile, "KEPT_PROGRAMS", 4)
    traces = []

    def function(x, times):
        traces.append((x.shape, times))
        return x * times

    return compiled(function, ("times",)), traces


def test_programs_among_the_last_used_are_kept(traced):
    function, traces = traced
    for _ in range(3):
        for times in (1, 2, 3, 4):
            assert function(np.ones(2), times).tolist() == [times, times]
    assert traces == [((2,), times) for times in (1, 2, 3, 4)]
    function(np.ones(2), 5)  # puts out 1, and 1 then puts out 2
    for times in (1, 3, 4, 5):
        function(np.ones(2), times)
    assert [times for _, times in traces] == [1, 2, 3, 4, 5, 1]


def test_programs_that_are_put_out_are_given_back(traced):
    function, _ = traced
    x = [jnp.ones(size) for size in range(1, 9)]
    function(x[0], 1)
    before = num_programs()
    for times in range(2, 30):
        jax.block_until_ready(function(x[times % 8], times))
    assert num_programs() <= before + 3


def test_other_shapes_types_and_structures_are_other_programs(traced):
    function, traces = traced
    for x in (np.ones(2), np.ones(3), np.ones(2, np.int32), jnp.ones(2), np.ones(2)):
        assert function(x, 2).tolist() == [2] * len(x)
    assert len(traces) == 3 + (jnp.ones(2).dtype != np.ones(2).dtype)


def test_threads_that_begin_together_share_a_program(monkeypatch):
    asked = []

    def jit(*arguments, **options):
        asked.append(1)
        time.sleep(0.1)  # the others come meanwhile
        return plain(*arguments, **options)

    plain = jax.jit
    monkeypatch.setattr(jax, "jit", jit)
    function = compiled(lambda x, times: x * times, ("times",))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: float(function(np.float32(3), 2)), range(64)))
    assert found == [6.0] * 64
    assert len(asked) == 1


@pytest.mark.slow
def test_rounds_of_many_widths_leave_nothing_behind(tmp_path):
    """Of 33 widths, more than programs are kept; from the third turn on."""
    key, action = jax.random.key(0), nnft.Action(["lambda_0"])
    counts = []
    for number in range(88):
        network = nnft.network("relu-net", width=5 + number % 33, input_dim=1)
        x = [0.2, 0.6, 1.0]
        nnft.sample_ensemble(network, x, 100, key=key)
        nnft.measure_correlators(network, x, (2, 4), num_draws=1000, key=key).save(
            tmp_path / "data.nc"
        )
        fit = nnft.fit_couplings(
            nnft.load(tmp_path / "data.nc"),
            action,
            [10.0, 100.0],
            key=key,
            sampler="conjugate",
            num_samples=20,
        )
        fit.save(tmp_path / "fit.nc")
        nnft.load(tmp_path / "fit.nc").predict(4)
        counts.append((num_programs(), len(jax.live_arrays()), len(gc.get_objects())))
    programs, arrays, objects = np.array(counts[66:]).T
    assert np.ptp(programs) <= 4
    assert np.ptp(arrays) <= 4
    assert np.ptp(objects) < 0.002 * objects[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.nc", "fit.nc"]


def test_options_are_those_of_the_device_that_is_the_default(monkeypatch):
    """Beside an accelerator programs for the host are compiled as on any CPU."""
    options = []

    def jit(function, *, compiler_options, **rest):
        options.append(compiler_options)
        return plain(function, **rest)

    plain = jax.jit
    monkeypatch.setattr(jax, "jit", jit)
    function = compiled(lambda x: x + 1)
    for platform in ("gpu", "cpu", "gpu"):
        monkeypatch.setattr(
            _compile, "default_device", lambda p=platform: SimpleNamespace(platform=p)
        )
        assert function(np.float32(3)) == 4
    assert options == [_compile._OPTIONS["gpu"], _compile._OPTIONS["cpu"]]


@pytest.mark.parametrize("kind", _compile._OPTIONS)
def test_options_of_every_kind_of_device_are_known_to_xla(kind):
    """It knows them all whatever it compiles for, and refuses what it does not know."""
    run = jax.jit(lambda x: x + 1, compiler_options=_compile._OPTIONS[kind])
    assert run(1) == 2
