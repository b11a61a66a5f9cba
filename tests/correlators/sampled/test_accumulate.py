"""Long measurements: saved, stopped, continued, extended, ended when good enough."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl._checkpoint import (
    CheckpointWarning,
    load_checkpoint,
    previous,
    save_checkpoint,
)
from nnft_ppl.correlators.sampled import job, measure, plan
from nnft_ppl.correlators.sampled.estimators import ESTIMATORS
from nnft_ppl.correlators.sampled.measure import SamplingInterrupted
from nnft_ppl.ensemble import device_sizes, saving
from nnft_ppl.ensemble.device_sizes import CPU

KEY = jax.random.key(2)
X = np.array([-1.0, 0.3, 1.0])
KILLS = Path(__file__).parents[2] / "kills.py"


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(device_sizes, "CPU", replace(CPU, block_draws=1024))
    monkeypatch.setattr(saving, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(saving, "SAVING_SHARE", 1e9)


def run(num_draws=20 * 1024 + 100, width=5, key=KEY, x=X, **options):
    net = nnft.network("erf-net", width=width, input_dim=1, bias_std=1.0)
    return nnft.measure_correlators(
        net, x, (2, 4), num_draws=num_draws, key=key, **options
    )


def assert_same_bits(one, two):
    assert one.num_draws == two.num_draws
    for order in (2, 4):
        np.testing.assert_array_equal(one.connected(order), two.connected(order))
        np.testing.assert_array_equal(one.covariance(order), two.covariance(order))


class Stop:
    """A monitor that presses Ctrl-C after so many reports."""

    def __init__(self, after):
        self.after, self.seen = after, []

    def __call__(self, progress):
        self.seen.append(progress)
        if len(self.seen) == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 7, 20])
def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path, after):
    place = tmp_path / "sums"
    with pytest.raises(SamplingInterrupted) as caught:
        run(checkpoint=place, progress=Stop(after))
    assert caught.value.num_draws == after * 1024
    saved = load_checkpoint(place, {})
    assert saved.record["num_draws"] == after * 1024
    assert_same_bits(run(checkpoint=place), run())


def test_ctrl_c_leaves_what_there_is_as_a_result():
    with pytest.raises(KeyboardInterrupt, match="after 7,168 networks") as caught:
        run(progress=Stop(7))
    expected = run(7 * 1024)
    found = caught.value.correlators
    assert found.num_draws == 7 * 1024
    np.testing.assert_allclose(found.connected(4), expected.connected(4), rtol=1e-4)


def pressed(self, starts, devices):
    """Ctrl-C while a block is worked at."""
    raise KeyboardInterrupt


@pytest.mark.parametrize("target", [{}, {"target_error": 0.01}])
def test_ctrl_c_before_the_first_block_leaves_nothing(tmp_path, monkeypatch, target):
    """In the run, or in the trial that forecasts it."""
    monkeypatch.setattr(job.Job, "sums", pressed)
    with pytest.raises(SamplingInterrupted, match=r"after 0 networks$") as caught:
        run(checkpoint=tmp_path / "folder", **target)
    assert caught.value.correlators is None


def without_kernel():
    """Erf networks of which the kernel is not known."""
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    architecture = replace(net.architecture, kernel=None, neuron=None)
    return nnft.Network.build(architecture, width=5, input_dim=1, bias_std=1.0)


def test_ctrl_c_while_a_kernel_is_measured_leaves_nothing(monkeypatch):
    monkeypatch.setattr(job.Job, "sums", pressed)
    with pytest.raises(SamplingInterrupted, match=r"after 0 networks$"):
        nnft.measure_correlators(without_kernel(), X, num_draws=5000, key=KEY)


def test_a_run_without_a_kernel_is_extended(tmp_path):
    """Its reference is not that of a number of networks."""
    place, options = tmp_path / "sums", {"key": KEY, "estimator": "conditional"}

    def measure(num_draws, **more):
        return nnft.measure_correlators(
            without_kernel(), X, (2, 4), num_draws=num_draws, **options, **more
        )

    for num_draws in (9 * 1024 + 5, 90 * 1024):
        found = measure(num_draws, checkpoint=place)
    plain = measure(90 * 1024)
    for order in (2, 4):
        gap = np.abs(found.connected(order) - plain.connected(order))
        assert (gap < 1e-2 * plain.connected_error(order)).all()


def test_an_extended_run_goes_on_in_larger_batches(tmp_path):
    """Or a covariance of many small ones would take most of the time."""
    place = tmp_path / "sums"
    run(30 * 1024, checkpoint=place)
    assert load_checkpoint(place, {}).record["batch"] == 2
    run(300 * 1024, checkpoint=place)
    assert load_checkpoint(place, {}).record["batch"] == 32
    one, two = (run(300 * 1024, checkpoint=place), run(300 * 1024))
    # From some 9,600 batches each: variances good to √(2/9600), 1.4 %.
    ratio = one.connected_error(4) / two.connected_error(4)
    np.testing.assert_allclose(ratio, 1.0, rtol=0.05)


def test_too_few_networks_for_a_result_are_said_to_be_none(monkeypatch):
    monkeypatch.setattr(device_sizes, "CPU", replace(CPU, block_draws=512))
    x = np.linspace(-1, 1, 9)  # 540 entries
    with pytest.raises(SamplingInterrupted) as caught:
        run(x=x, progress=Stop(1))
    assert caught.value.correlators is None


def test_a_finished_run_is_read_back_and_extended(tmp_path):
    place = tmp_path / "sums"
    short = run(10 * 1024 + 50, checkpoint=place)
    assert_same_bits(run(10 * 1024 + 50, checkpoint=place), short)
    longer = run(40 * 1024, checkpoint=place)
    assert longer.num_draws == 40 * 1024
    plain = run(40 * 1024)
    # The first run's batches are smaller, so that the covariance is another estimate.
    for order in (2, 4):
        error = plain.connected_error(order)
        gap = np.abs(longer.connected(order) - plain.connected(order))
        assert (gap < 2e-3 * error).all()
        np.testing.assert_allclose(longer.connected_error(order), error, rtol=0.2)


def test_fewer_networks_than_are_saved_are_refused(tmp_path):
    place = tmp_path / "sums"
    run(checkpoint=place)
    with pytest.raises(nnft.SpecError, match="holds 20480 networks already"):
        run(5000, checkpoint=place)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"width": 6}, "its network.width is 5, expected 6"),
        ({"key": jax.random.key(3)}, "its key is"),
        ({"x": X + 0.1}, "its inputs is"),
        ({"estimator": "wick"}, "its estimator is"),
        ({"generator": "jax"}, "its generator is"),
    ],
)
def test_a_checkpoint_of_other_work_is_refused(tmp_path, change, named):
    place = tmp_path / "sums"
    run(checkpoint=place)
    before = place.read_bytes()
    with pytest.raises(nnft.SpecError, match=named):
        run(checkpoint=place, **change)
    assert place.read_bytes() == before


def test_sums_go_on_with_the_generator_they_were_made_with(tmp_path):
    """Releases up to 0.2.0 had no `fused13`: theirs are of `fused`, by default, too."""
    place = tmp_path / "sums"
    with pytest.raises(SamplingInterrupted):
        run(generator="fused", checkpoint=place, progress=Stop(7))
    assert_same_bits(run(checkpoint=place), run(generator="fused"))
    assert load_checkpoint(place, {}).record["generator"] == "fused"
    with pytest.raises(
        nnft.SpecError, match="its generator is 'fused', expected 'fused13'"
    ):
        run(generator="fused13", checkpoint=place)


def test_sums_of_a_generator_that_is_not_known_are_refused(tmp_path):
    place = tmp_path / "sums"
    run(checkpoint=place)
    found = load_checkpoint(place, {})
    save_checkpoint(place, {**found.record, "generator": "dice"}, found.arrays)
    with pytest.raises(
        nnft.SpecError, match="its generator is 'dice', expected 'fused13'"
    ):
        run(checkpoint=place)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path):
    place = tmp_path / "sums"
    with pytest.raises(SamplingInterrupted):
        run(checkpoint=place, progress=Stop(7))
    place.write_bytes(place.read_bytes()[:-100])
    assert load_checkpoint(previous(place), {}).record["num_draws"] == 6 * 1024
    with pytest.warns(CheckpointWarning, match="sums` is damaged"):
        resumed = run(checkpoint=place)
    assert_same_bits(resumed, run())


@pytest.mark.parametrize("bad", [3, "no/such/folder/sums", "."])
def test_a_place_that_cannot_be_written_is_refused_first(tmp_path, monkeypatch, bad):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        nnft.SpecError, match=r"expected the path|is a folder|is no folder"
    ):
        run(checkpoint=bad)


def test_a_target_ends_the_run_and_is_reached():
    found = run(10**6, target_error=0.02)
    assert 1024 < found.num_draws < 10**6
    assert relative_error(found) <= 0.02
    tighter = run(10**6, target_error=0.01)
    # Errors fall as the root; the run may overshoot by a tenth and a block.
    assert 3 < tighter.num_draws / found.num_draws < 5.5
    assert_same_bits(run(10**6, target_error=0.02, devices=1, block_size=512), found)


def relative_error(found):
    """In natural units, from the kernel and not from what is under test."""
    std = np.sqrt(np.diag(found.network.kernel(found.x)) - 1.0)  # less the bias
    size = np.prod(std[found.entries(4)], axis=1)
    value, error = found.connected(4) / size, found.connected_error(4) / size
    return np.sqrt(np.mean(error**2) / np.mean(value**2))


@pytest.mark.parametrize("target", [1e-6, 1e-200])
def test_a_target_that_is_not_reached_ends_at_the_last_network(target):
    assert run(4000, target_error=target).num_draws == 4000


def test_progress_does_not_say_finished_before_it_is():
    seen = []
    found = run(10**6, target_error=0.02, progress=seen.append)
    assert all(p.num_draws < p.total for p in seen[:-1])
    assert seen[-1].num_draws == seen[-1].total == found.num_draws


@pytest.mark.parametrize("target", [0, -1.0, "1 %", np.nan, np.inf, True])
def test_a_bad_target_is_refused(target):
    with pytest.raises(nnft.SpecError, match="`target_error` is"):
        run(target_error=target)


def test_a_target_needs_the_four_point_function():
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    with pytest.raises(nnft.SpecError, match="add 4"):
        nnft.measure_correlators(
            net, X, (2,), num_draws=1000, key=KEY, target_error=0.1
        )


def test_progress_tells_numbers_rate_and_error():
    seen = []
    found = run(progress=seen.append)
    assert [p.num_draws for p in seen] == [
        *range(1024, 20 * 1024 + 1, 1024),
        20 * 1024 + 100,
    ]
    assert {p.total for p in seen} == {20 * 1024 + 100}
    last = seen[-1]
    assert last.seconds_left == 0
    assert last.networks_per_second > 0
    assert last.memory > 10**7
    assert last.relative_error == pytest.approx(relative_error(found), rel=0.3)


def test_the_forecast_is_near_what_it_takes():
    seen = []
    found = run(10**6, target_error=0.02, progress=seen.append)
    forecast = [p.total for p in seen if p.relative_error is not None]
    assert 0.5 < forecast[0] / found.num_draws < 2
    # From the start, before the run itself knows an error.
    assert seen[0].total < 2 * found.num_draws
    assert seen[-1].total == found.num_draws


def test_memory_and_block_size_change_no_bit():
    plain = run()
    for options in (
        {"block_size": np.int64(1)},
        {"memory": 1 << 20},
        {"devices": np.int64(1)},
    ):
        assert_same_bits(run(**options), plain)


@pytest.mark.parametrize("memory", [0, "1 GB", 2.5, True, 1000])
def test_bad_memory_is_refused(memory):
    with pytest.raises(nnft.SpecError, match="`memory` is"):
        run(memory=memory)


def test_memory_and_block_size_together_are_refused():
    with pytest.raises(nnft.SpecError, match="both given"):
        run(memory=1 << 30, block_size=512)


@pytest.mark.parametrize(
    "devices", [0, 99, [], "cpu", ["cpu:0"], True, jax.devices()[:1] * 2]
)
def test_devices_that_do_not_exist_are_refused(devices):
    with pytest.raises(nnft.SpecError, match="`devices` is"):
        run(devices=devices)


def test_networks_beyond_two_to_the_32_are_others(monkeypatch):
    """The block at 2³² is not the block at 0 again."""
    plan = measure._plan(
        nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0),
        X[:, None],
        (2, 4),
        ESTIMATORS["conditional"],
        "fused13",
        key=KEY,
        num_draws=2**33,
        block_size=None,
        memory=None,
        devices=tuple(jax.devices()[:1]),
    )[1]
    plan = replace(plan, batch=1, block=1024, piece=1024)
    devices = tuple(jax.devices()[:1])
    starts = [0, 1024, 2**32 - 1024, 2**32, 2**32 + 1024]
    with jax.enable_x64(False):
        sums = [plan.sums([start], devices)[0] for start in starts]
    means = np.array([s.values / 1024 for s in sums])
    assert len(np.unique(means[:, 0])) == len(starts)
    spread = np.sqrt(np.diag(plan.mean(sums[0], 1024).covariance))
    assert (np.abs(means - means.mean(axis=0)) < 6 * spread).all()


def test_sums_of_batches_give_mean_and_covariance_of_the_networks():
    """Against NumPy on the same networks: batches of one, then larger."""
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    arguments = {"num_draws": 3000, "key": KEY, "generator": "jax"}
    values = nnft.sample_ensemble(net, X, **arguments).values[..., 0].astype(float)
    found = run(3000, estimator="moments", generator="jax")
    rows, columns = found.entries(2).T
    products = values[:, rows] * values[:, columns]
    np.testing.assert_allclose(found.connected(2), products.mean(0), rtol=1e-6)
    np.testing.assert_allclose(
        found.covariance(2), np.cov(products.T) / 3000, rtol=1e-5
    )
    assert plan.batch_size(3000, 30, 1024) == 1


@pytest.mark.slow
def test_killed_at_random_moments_it_resumes_to_the_same_bits(tmp_path):
    ran = subprocess.run(
        [sys.executable, KILLS, "measurement", tmp_path, "4", "0.25"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["kills"] >= 1
    unhurt, killed = (np.load(tmp_path / f"{n}.npz") for n in ("unhurt", "killed"))
    for name in ("values", "covariance"):
        np.testing.assert_array_equal(unhurt[name], killed[name])


@pytest.mark.parametrize("after", [1, 3, 11])
def test_a_target_is_met_at_the_same_network_after_an_interruption(tmp_path, after):
    target = {"num_draws": 10**6, "target_error": 0.008}
    place = tmp_path / "sums"
    with pytest.raises(SamplingInterrupted):
        run(checkpoint=place, progress=Stop(after), **target)
    assert_same_bits(run(checkpoint=place, **target), run(**target))
