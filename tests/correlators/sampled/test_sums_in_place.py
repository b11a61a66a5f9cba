"""Accelerators' sizes, forced on the CPU: the same networks and sums, whatever the cut.

Chunks are smaller than on a card, so that few networks are several of them.
"""

import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.correlators.sampled import job as job_module
from nnft_ppl.correlators.sampled import measure
from nnft_ppl.correlators.sampled import sums_in_place as in_place
from nnft_ppl.correlators.sampled.estimators import ESTIMATORS
from nnft_ppl.ensemble import device_sizes
from nnft_ppl.ensemble.device_sizes import CPU, accelerator_sizes
from nnft_ppl.ensemble.out_of_memory import OutOfMemoryWarning

KEY = jax.random.key(3)
X = np.array([[-1.0], [0.3], [1.0]])
DEVICE = tuple(jax.devices()[:1])
WIDE = replace(
    accelerator_sizes(1 << 30, float64=True),
    chunk=1024,
    block_draws=1 << 13,
)
ERF = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setattr(device_sizes, "CPU", WIDE)


def a_job(num_draws, sizes=WIDE, network=ERF, estimator="conditional", x=X):
    plan = measure._plan(
        network,
        x,
        (2, 4),
        ESTIMATORS[estimator],
        "fused13",
        key=KEY,
        num_draws=num_draws,
        block_size=None,
        memory=None,
        devices=DEVICE,
    )[1]
    return type(plan).plan(
        plan.network,
        plan.inputs,
        plan.orders,
        plan.estimator,
        plan.generator,
        key=plan.key,
        num_draws=num_draws,
        sizes=sizes,
    )


def sums_of(job, start=0):
    with jax.enable_x64(False):
        return job.sums([start], DEVICE)[0]


def assert_alike(found, expected, tolerance=1e-5):
    """Relative to the largest; k times as much of k-th powers, as rounding is."""
    for one, other, power in zip(found, expected, (1, 1, 2, 3, 4), strict=True):
        most = power * tolerance
        np.testing.assert_allclose(
            one, other, rtol=most, atol=most * np.abs(other).max()
        )


@pytest.mark.parametrize("batch", [1, 64, 2048])
@pytest.mark.parametrize("estimator", ["conditional", "wick"])
def test_sums_are_those_of_the_host(estimator, batch):
    """To float32; a last block shorter than a batch or chunk counts like the rest."""
    job = replace(a_job(5000, estimator=estimator), batch=batch)
    assert (job.chunk, job.part) == (1024, 1024)
    found = sums_of(job)
    assert_alike(found, sums_of(replace(job, sizes=CPU, piece=4096)))
    assert all(part.dtype == np.float64 for part in found)


def test_a_device_without_float64_gives_its_means_to_the_host():
    job = a_job(3000)
    assert_alike(
        sums_of(replace(job, sizes=replace(WIDE, sums_in_place=False))), sums_of(job)
    )


def test_pieces_slices_and_devices_in_use_change_no_bit():
    job = a_job(8000)
    whole = sums_of(replace(job, piece=8192))
    for piece in (1024, 2048, 16384):
        for one, other in zip(sums_of(replace(job, piece=piece)), whole, strict=True):
            np.testing.assert_array_equal(one, other)
    sizes = replace(WIDE, slice_numbers=job.num_quantities * 2048 // job.batch)
    cut = replace(job, sizes=sizes)
    assert cut.slice == 2048 < job.slice
    found = [sums_of(replace(cut, piece=piece)) for piece in (1024, 8192)]
    assert_alike(found[0], whole, 1e-12)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_products_that_would_not_fit_are_taken_of_fewer_networks():
    job = a_job(4096)
    small = replace(job, sizes=replace(WIDE, product_numbers=1))
    assert (small.part, small.chunk, small.fewest) == (512, 1024, 1024)
    assert_alike(sums_of(small), sums_of(job), 1e-12)


def test_blocks_are_networks_of_their_own_number():
    """One block of many is the sum of blocks of fewer."""
    job = a_job(8192)
    assert job.block == 8192
    whole = sums_of(job)
    half = replace(job, block=4096, piece=4096)
    first, second = sums_of(half), sums_of(half, 4096)
    assert_alike(first.plus(second), whole, 1e-12)


def test_nothing_but_sums_leaves_the_device(monkeypatch):
    """A block is one program for its draws, one for products and one for sums."""
    job, calls = a_job(8192), []
    for name in ("_add_means", "_reduce"):
        whole = getattr(in_place, name)
        monkeypatch.setattr(
            in_place,
            name,
            lambda *a, whole=whole, name=name: calls.append(name) or whole(*a),
        )
    draw = job_module.draw_piece
    monkeypatch.setattr(
        job_module, "draw_piece", lambda *a: calls.append("draw") or draw(*a)
    )
    sums_of(job)
    assert calls == ["draw", "_add_means", "_reduce"]


def test_no_blocks_compile_all_that_blocks_need():
    job, events = replace(a_job(3000), num_draws=2500), []

    def listen(event, *rest, **more):
        events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        with jax.enable_x64(False):
            assert job.sums([], DEVICE) == []
            events.clear()
            job.sums([0], DEVICE)
            assert events.count("/jax/core/compile/backend_compile_duration") == 0
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_a_worker_of_another_kind_does_the_same_blocks_in_its_own_sizes(monkeypatch):
    job = a_job(5000, sizes=replace(CPU, block_draws=4096))
    assert job.on(DEVICE[0]).sizes is CPU
    monkeypatch.setattr(device_sizes, "CPU", WIDE)
    other = job.on(DEVICE[0])
    assert (other.block, other.batch) == (job.block, job.batch)
    assert (other.sizes, other.chunk, other.piece) == (WIDE, 1024, 4096)
    assert_alike(sums_of(other), sums_of(job))


# Through the public calls.

CASES = {
    "mlp": ({"depth": 2}, (4,)),
    "residual-mlp": ({}, (4,)),
    "correlated-net": ({"correlation": 0.4}, (2,)),
    "attention": ({}, (3, 2)),
    "conv-net": ({}, (4, 4, 1)),
    "cos-net": ({}, (2,)),
    "erf-net": ({}, (2,)),
}


@pytest.mark.slow_but("mlp", "attention")
@pytest.mark.parametrize("name", CASES)
def test_networks_of_every_kind_are_the_same_one_by_one(name, wide, monkeypatch):
    options, shape = CASES[name]
    net = nnft.network(name, width=6, input_dim=shape, **options)
    x = np.random.default_rng(1).normal(size=(2, *shape))
    found = nnft.sample_ensemble(net, x, 1500, key=KEY).values
    again = nnft.sample_ensemble(net, x, 1100, key=KEY, block_size=1).values
    np.testing.assert_array_equal(found[:1100], again)
    monkeypatch.setattr(device_sizes, "CPU", CPU)
    expected = nnft.sample_ensemble(net, x, 1500, key=KEY).values
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow_but("conditional-1")
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("estimator", ["conditional", "wick", "moments"])
def test_a_measurement_agrees_with_the_exact_correlators(wide, estimator, outputs):
    net = nnft.network(
        "erf-net", width=5, input_dim=1, bias_std=1.0, output_dim=outputs
    )
    x = X[: 4 - outputs]
    found = nnft.measure_correlators(
        net, x, (2, 4), num_draws=30_000, key=KEY, estimator=estimator
    )
    exact = nnft.exact_correlators(net, x, (2, 4))
    difference = found.connected(4) - exact.connected(4)
    # Given the features, outputs that are odd in one weight vanish without error.
    assert (np.abs(difference) <= 5 * found.error(4)).all()
    assert found.error(4).max() > 0


def test_many_inputs_take_the_sums_that_fit_no_kernel_elsewhere(wide):
    """Of nine inputs 45 pairs."""
    x = np.linspace(-1, 1, 9)
    found = nnft.measure_correlators(ERF, x, (2,), num_draws=3000, key=KEY)
    exact = nnft.exact_correlators(ERF, x, (2,))
    assert (
        np.abs(found.connected(2) - exact.connected(2)) < 5 * found.error(2) + 1e-7
    ).all()


@pytest.mark.parametrize("first", [CPU, WIDE], ids=["CPU", "accelerator"])
def test_a_checkpoint_of_other_sizes_is_continued(first, tmp_path, monkeypatch):
    """With its blocks, from its sums: networks are the same for both."""
    small = replace(CPU, block_draws=1024)
    other = WIDE if first is CPU else small
    first = small if first is CPU else WIDE
    place, run = tmp_path / "sums", {"key": KEY, "checkpoint": tmp_path / "sums"}
    monkeypatch.setattr(device_sizes, "CPU", first)
    nnft.measure_correlators(ERF, X, num_draws=1 << 14, **run)
    assert place.exists()
    monkeypatch.setattr(device_sizes, "CPU", other)
    found = nnft.measure_correlators(ERF, X, num_draws=40_000, **run)
    place.unlink()
    expected = nnft.measure_correlators(ERF, X, num_draws=40_000, **run)
    for order in (2, 4):
        np.testing.assert_allclose(
            found.connected(order), expected.connected(order), rtol=1e-5, atol=1e-7
        )
        # Of some thousand batches, in one run larger than in the other.
        np.testing.assert_allclose(found.error(order), expected.error(order), rtol=0.1)


def test_networks_without_numbers_are_counted(wide):
    right = nnft.architectures()["erf-net"]
    bad = replace(
        right,
        neuron=lambda hp: replace(
            right.neuron(hp), activation=lambda z, v: jax.numpy.where(z > 4, np.nan, z)
        ),
    )
    net = nnft.Network.build(bad, width=5, input_dim=1, bias_std=1.0)
    with pytest.raises(nnft.SpecError, match=r"of the networks 0 to \d+ give NaN"):
        nnft.measure_correlators(net, X, num_draws=20_000, key=KEY)


def test_out_of_memory_goes_on_in_smaller_pieces(monkeypatch):
    job, whole = a_job(8000), job_module.draw_piece
    expected = sums_of(job)

    def limited(*arguments):
        chunk, max_chunks = arguments[-2:]
        if chunk * max_chunks > 2048:
            raise MemoryError
        return whole(*arguments)

    monkeypatch.setattr(job_module, "draw_piece", limited)
    with pytest.warns(OutOfMemoryWarning) as warned:
        found = sums_of(job)
    assert "going on with 2,048" in str(warned[-1].message)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_where_not_even_a_chunk_fits_it_says_what_to_do(monkeypatch):
    def draw(*_):
        raise MemoryError

    monkeypatch.setattr(job_module, "draw_piece", draw)
    with (
        pytest.warns(OutOfMemoryWarning),
        pytest.raises(nnft.SpecError, match="1024 networks at a time, the fewest"),
    ):
        sums_of(a_job(8000))


PROGRAM = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
from dataclasses import replace
import numpy as np
import nnft_ppl as nnft
from nnft_ppl.ensemble import device_sizes
device_sizes.CPU = replace(
    device_sizes.accelerator_sizes(1 << 30, float64=True), chunk=1024,
    block_draws=1 << 12,
)
net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
found = nnft.measure_correlators(
    net, [-1.0, 0.3, 1.0], num_draws=13_000, key=jax.random.key(6)
)
np.savez(
    sys.argv[2], devices=len(jax.devices()), covariance=found.joint_covariance,
    value=found.connected(4),
)
"""


def test_two_devices_give_the_bits_of_one(tmp_path):
    results = []
    for number in (1, 2):
        path = tmp_path / f"{number}.npz"
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(number), path],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        results.append(np.load(path))
    assert [int(result["devices"]) for result in results] == [1, 2]
    for name in ("covariance", "value"):
        np.testing.assert_array_equal(results[0][name], results[1][name])
