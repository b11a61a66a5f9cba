"""Cutting the work: what is left over at the end counts like the rest."""

from dataclasses import replace

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.correlators.sampled import measure
from nnft_ppl.correlators.sampled.estimators import ESTIMATORS
from nnft_ppl.ensemble.blocks import draws_per_dispatch
from nnft_ppl.ensemble.device_sizes import CPU

BLOCK = 1 << 17
COMPILED = "/jax/core/compile/backend_compile_duration"


def a_job(num_draws):
    """Work on a small net at three inputs."""
    return measure._plan(
        nnft.network("erf-net", width=3, input_dim=1, bias_std=1.0),
        np.array([[-1.0], [0.3], [1.0]]),
        (2, 4),
        ESTIMATORS["conditional"],
        "fused13",
        key=jax.random.key(3),
        num_draws=num_draws,
        block_size=None,
        memory=None,
        devices=tuple(jax.devices()[:1]),
    )[1]


@pytest.mark.slow_but("700")
@pytest.mark.parametrize("rest", [1, 700])
def test_a_last_block_shorter_than_a_batch_counts(rest):
    """The mean over exactly the networks asked for, from the networks themselves."""
    network = nnft.network("erf-net", width=1, input_dim=1, bias_std=1.0)
    points, key = [-1.0, 0.4], jax.random.key(0)
    options = {"key": key, "generator": "jax"}
    found = nnft.measure_correlators(
        network, points, (2,), num_draws=BLOCK + rest, estimator="moments", **options
    )
    drawn = nnft.sample_ensemble(network, points, BLOCK + rest, **options)
    field = drawn.values[:, :, 0].astype(np.float64)
    products = field[:, [0, 0, 1]] * field[:, [0, 1, 1]]
    # Float32 means of a few hundred and float32 products: a few times 2⁻²⁴.
    np.testing.assert_allclose(found.moment(2), products.mean(axis=0), rtol=1e-6)
    error = products.std(axis=0, ddof=1) / len(products) ** 0.5
    # From some 8,000 batch means: their variance is good to √(2/8000), 1.6 %.
    np.testing.assert_allclose(found.error(2), error, rtol=0.05)


@pytest.mark.parametrize("num_draws", [100, 513])
def test_the_mean_is_over_the_networks_asked_for(num_draws):
    """Around the size of a chunk, where one more would move it by up to a hundredth."""
    network = nnft.network("erf-net", width=1, input_dim=1, bias_std=1.0)
    points, options = [-1.0, 0.4], {"key": jax.random.key(1), "generator": "jax"}
    found = nnft.measure_correlators(
        network, points, (2,), num_draws=num_draws, estimator="moments", **options
    )
    drawn = nnft.sample_ensemble(network, points, num_draws + 1, **options)
    field = drawn.values[:, :, 0].astype(np.float64)
    products = field[:, [0, 0, 1]] * field[:, [0, 1, 1]]
    np.testing.assert_allclose(
        found.moment(2), products[:num_draws].mean(axis=0), rtol=1e-6
    )
    more = products.mean(axis=0)
    assert np.abs(more / found.moment(2) - 1).max() > 1e-5


def test_no_blocks_compile_all_that_blocks_need():
    """So that the first ones need not wait for each other; they take their time."""
    network = nnft.network("relu-net", width=37, input_dim=1)
    job = replace(a_job(1 << 14), network=network)
    devices, events = tuple(jax.devices()[:1]), []

    def listen(event, *rest, **more):
        events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        with jax.enable_x64(False):
            assert job.sums([], devices) == []
            assert events.count(COMPILED) > 0
            events.clear()
            (some,) = job.sums([0], devices)
            assert events.count(COMPILED) == 0
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert (some.values != 0).all()


@pytest.mark.slow_but("7000")
@pytest.mark.parametrize("num_draws", [4096, 7000])
def test_sums_in_slices_are_those_in_one(num_draws):
    """To the rounding of float64; the piece changes no bit."""
    job = a_job(num_draws)
    device = (jax.devices()[0],)
    with jax.enable_x64(False):
        (whole,) = job.sums([0], device)
        assert job.slice >= num_draws
        sizes = replace(CPU, slice_numbers=1024 * job.num_quantities)
        job = replace(job, sizes=sizes)
        assert job.slice == 1024
        found = [
            replace(job, piece=piece).sums([0], device)[0]
            for piece in (512, 1024, 2048, 8192)
        ]
    for part, full, *others in zip(found[0], whole, *found[1:], strict=True):
        np.testing.assert_allclose(part, full, rtol=1e-12)
        for other in others:
            np.testing.assert_array_equal(part, other)


@pytest.mark.slow
def test_large_networks_are_drawn_a_few_at_a_time_to_the_same_bits():
    network = nnft.network("mlp", width=24, input_dim=1, depth=2, bias_std=1.0)
    job = replace(a_job(1500), network=network)
    assert job.chunk == 512
    assert job.dispatch > 1500
    device = (jax.devices()[0],)
    with jax.enable_x64(False):
        (whole,) = replace(job, piece=2048).sums([0], device)
        for dispatch in (1, 512, 1024):
            small = replace(job, piece=2048, dispatch=dispatch)
            (found,) = small.sums([0], device)
            for one, other in zip(found, whole, strict=True):
                np.testing.assert_array_equal(one, other)


def test_a_network_of_millions_of_weights_takes_a_second_at_a_time():
    assert draws_per_dispatch(4 * 10**6, CPU) == 64


def test_a_slice_holds_whole_batches_and_no_more_numbers_than_it_may():
    """Of a job whose block in float64 would be beyond any cache."""
    job = a_job(1 << 17)
    assert job.batch == 16
    assert job.slice % job.batch == 0
    wide = replace(
        job, inputs=job.inputs._replace(per_leg=np.ones(8)), orders=(2, 4, 6)
    )
    assert wide.num_quantities == 36 + 330 + 1716
    numbers = wide.num_quantities * wide.slice // wide.batch
    assert CPU.slice_numbers / 2 < numbers <= CPU.slice_numbers


def test_larger_means_go_in_smaller_pieces():
    """Bytes in flight stay what they were when fewer networks are averaged."""
    job = a_job(1 << 17)
    single = job.with_batches_of(1)
    assert single.batch == 1
    bytes_now = single.piece * single._bytes_per_draw
    assert bytes_now <= job.piece * job._bytes_per_draw < 2 * bytes_now
