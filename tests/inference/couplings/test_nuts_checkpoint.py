"""MCMC that stops and goes on: the same bits whatever happens in between."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl import StorageError
from nnft_ppl._checkpoint import (
    CheckpointWarning,
    load_checkpoint,
    previous,
    save_checkpoint,
)
from nnft_ppl.inference.mcmc import chains, segments
from nnft_ppl.inference.mcmc.sampling import Sampling

KEY = jax.random.key(4)
KILLS = Path(__file__).parents[2] / "kills.py"
SHORT = {"num_warmup": 60, "num_samples": 40, "num_chains": 2}


@pytest.fixture(scope="module")
def measured():
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    x = np.array([-1.0, 0.2, 1.0])
    return nnft.measure_correlators(net, x, (2, 4), num_draws=20_000, key=KEY)


def fit(correlators, **changes):
    options = {"cutoffs": [10.0, 100.0], "key": KEY, **SHORT, **changes}
    return nnft.fit_couplings(correlators, nnft.Action(["lambda_0"]), **options)


def assert_same_bits(one, two):
    for name in ("dimensionless", "discrepancy", "natural_size", "log_evidence"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.statistics.keys() == two.statistics.keys()
    for name, values in one.statistics.items():
        np.testing.assert_array_equal(values, two.statistics[name])
    assert one.seed == two.seed


@pytest.fixture(scope="module")
def uninterrupted(measured):
    return fit(measured)


@pytest.fixture
def interrupt_after(monkeypatch):
    """A function (steps) that has Ctrl-C come once that many steps are taken."""
    original = segments.run_in_segments

    def install(steps):
        def run(start, advance, **options):
            def stopping(state, first, count):
                if first >= steps:
                    raise KeyboardInterrupt
                return advance(state, first, count)

            return original(start, stopping, **options)

        monkeypatch.setattr("nnft_ppl.inference.couplings.nuts.run_in_segments", run)

    yield install
    monkeypatch.undo()


@pytest.mark.slow
def test_numpyro_itself_gives_the_same_draws():
    """One run of NumPyro's own MCMC against steps: the same sampler, to rounding."""
    from numpyro import distributions, sample
    from numpyro.infer import MCMC, NUTS, init_to_value

    def model(scale):
        centre = sample("centre", distributions.Normal(0, 3.0))
        sample("spread", distributions.HalfNormal(scale))
        sample("datum", distributions.Normal(centre, 1.0), obs=1.5)

    start = {"centre": 0.5, "spread": 1.0}
    numbers = {"num_warmup": 30, "num_samples": 20, "num_chains": 2}
    with jax.enable_x64(True):
        ours = jax.jit(
            lambda key: chains.run_chains(
                model,
                start,
                key,
                2.0,
                sampling=Sampling(**numbers),
                target_acceptance=0.9,
            )
        )(KEY)
        kernel = NUTS(
            model, init_strategy=init_to_value(values=start), target_accept_prob=0.9
        )
        theirs = MCMC(kernel, **numbers, chain_method="vectorized", progress_bar=False)
        theirs.run(KEY, 2.0, extra_fields=("num_steps", "energy"))
        drawn = {
            **theirs.get_samples(group_by_chain=True),
            **theirs.get_extra_fields(group_by_chain=True),
        }
    assert drawn.keys() <= ours.keys()
    for name, values in drawn.items():
        # Rounding errors grow along a chain, and 50 short steps leave them small.
        np.testing.assert_allclose(ours[name], values, rtol=1e-6, err_msg=name)


def test_a_checkpoint_does_not_change_the_draws(measured, uninterrupted, tmp_path):
    path = tmp_path / "fit.checkpoint"
    assert_same_bits(fit(measured, checkpoint=path), uninterrupted)
    assert load_checkpoint(path, {}).record["done"] == 100


def test_a_finished_fit_is_not_sampled_again(
    measured, uninterrupted, tmp_path, interrupt_after
):
    path = tmp_path / "fit.checkpoint"
    fit(measured, checkpoint=path)
    written = path.stat().st_mtime_ns
    interrupt_after(0)
    assert_same_bits(fit(measured, checkpoint=str(path)), uninterrupted)
    assert path.stat().st_mtime_ns == written


@pytest.mark.parametrize("segment", [1e-9, 1.0])
@pytest.mark.parametrize(
    ("steps", "message"),
    [
        (20, r"NUTS stopped after \d+ of 60 steps of its warm-up"),
        (61, r"NUTS stopped after \d+ of 40 draws per chain"),
    ],
)
def test_an_interrupted_fit_goes_on_to_the_same_bits(
    measured,
    uninterrupted,
    tmp_path,
    interrupt_after,
    monkeypatch,
    segment,
    steps,
    message,
):
    path = tmp_path / "fit.checkpoint"
    # A segment a step, and segments as they come.
    monkeypatch.setattr(segments, "_SEGMENT_SECONDS", segment)
    # Nothing but the interruption makes it write.
    monkeypatch.setattr(segments, "_WRITING_SHARE", 1e-12)
    interrupt_after(steps)
    with pytest.raises(KeyboardInterrupt, match=rf"{message}, kept in `.*`"):
        fit(measured, checkpoint=path)
    assert steps <= load_checkpoint(path, {}).record["done"] < 100
    monkeypatch.undo()
    assert_same_bits(fit(measured, checkpoint=path), uninterrupted)


def test_without_a_checkpoint_the_interruption_says_how_far_it_came(
    measured, interrupt_after
):
    interrupt_after(20)
    with pytest.raises(KeyboardInterrupt, match=r"of 60 steps of its warm-up$"):
        fit(measured)


@pytest.mark.slow_but(
    "changes0-its cutoffs is \\\\[10.0, 100.0\\\\], expected",
    "changes1-its key is",
    "changes3-its num_warmup is 60, expected 61",
    "changes6-its prior.spread is 1.5, expected 1.0",
)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cutoffs": [10.0, 90.0]}, r"its cutoffs is \[10.0, 100.0\], expected"),
        ({"key": jax.random.key(5)}, "its key is"),
        ({"num_samples": 41}, "its num_samples is 40, expected 41"),
        ({"num_warmup": 61}, "its num_warmup is 60, expected 61"),
        ({"num_chains": 1}, "its num_chains is 2, expected 1"),
        ({"discrepancy": False}, "its discrepancy is True, expected False"),
        ({"prior": nnft.Prior(spread=1.0)}, "its prior.spread is 1.5, expected 1.0"),
    ],
)
def test_a_checkpoint_of_another_fit_is_refused(measured, tmp_path, changes, message):
    path = tmp_path / "fit.checkpoint"
    fit(measured, checkpoint=path)
    kept = path.read_bytes()
    with pytest.raises(nnft.SpecError, match=f"is of other work: {message}"):
        fit(measured, checkpoint=path, **changes)
    assert path.read_bytes() == kept


def test_a_checkpoint_of_other_data_is_refused(measured, tmp_path):
    path = tmp_path / "fit.checkpoint"
    fit(measured, checkpoint=path)
    other = nnft.measure_correlators(
        measured.network, measured.x, (2, 4), num_draws=20_000, key=jax.random.key(9)
    )
    with pytest.raises(nnft.SpecError, match=r"its data is '[0-9a-f]+ …, expected '"):
        fit(other, checkpoint=path)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    measured, uninterrupted, tmp_path, monkeypatch
):
    path = tmp_path / "fit.checkpoint"
    monkeypatch.setattr(segments, "_SEGMENT_SECONDS", 0.01)
    monkeypatch.setattr(segments, "_WRITING_SHARE", 1e9)  # after every segment
    fit(measured, checkpoint=path)
    assert 0 < load_checkpoint(previous(path), {}).record["done"] < 100
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.warns(CheckpointWarning, match="is damaged .*going on from"):
        assert_same_bits(fit(measured, checkpoint=path), uninterrupted)


@pytest.mark.parametrize(
    ("checkpoint", "sampler", "message"),
    [
        ("absent/fit.checkpoint", "nuts", "'.*absent' is no folder"),
        ("", "nuts", "is a folder; name a file in it"),
        ("fit.checkpoint", "conjugate", "'conjugate' has nothing to keep"),
    ],
)
def test_a_useless_checkpoint_is_refused_before_any_work(
    measured, tmp_path, monkeypatch, checkpoint, sampler, message
):
    monkeypatch.setattr("nnft_ppl.inference.couplings.fit.build_likelihood", None)
    with pytest.raises(nnft.SpecError, match=message):
        fit(measured, checkpoint=tmp_path / checkpoint, sampler=sampler)


def test_what_is_no_path_is_refused(measured):
    with pytest.raises(nnft.SpecError, match="`checkpoint` is 3; expected the path"):
        fit(measured, checkpoint=3)


@pytest.mark.parametrize("error", [StorageError("no room"), MemoryError()])
def test_a_state_that_cannot_be_saved_ends_no_run(tmp_path, monkeypatch, error):
    path, saves = tmp_path / "fit.checkpoint", []
    monkeypatch.setattr(segments, "_WRITING_SHARE", 1e9)  # after every segment

    def count(stop=None):
        def advance(state, first, steps):
            if first == stop:
                raise KeyboardInterrupt
            return state + steps

        return segments.run_in_segments(
            jnp.zeros(()),
            advance,
            sampling=Sampling(num_warmup=40, num_samples=60, num_chains=1),
            checkpoint=path,
            whose={},
            progress=False,
        )

    def full_at_first(*arguments):
        saves.append(arguments)
        if len(saves) <= 2:
            raise error
        save_checkpoint(*arguments)

    monkeypatch.setattr(segments, "save_checkpoint", full_at_first)
    unsaved = "the state of NUTS could not be saved to .*(no room|out of memory)"
    with (
        pytest.warns(CheckpointWarning, match=unsaved),
        pytest.raises(KeyboardInterrupt, match=r"4 of 40 steps.*, not kept in"),
    ):
        count(stop=4)
    assert not path.exists()
    saves.clear()
    with pytest.warns(CheckpointWarning, match=unsaved):
        assert count() == 100
    assert load_checkpoint(path, {}).record["done"] == 100


def test_segments_follow_the_clock(monkeypatch):
    """Steps of 2 ms, then of 20 ms: a segment soon takes a second, and keeps to it."""
    now, sizes = [0.0], []
    monkeypatch.setattr(segments, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def advance(state, first, count):
        now[0] += sum(0.002 if n < 1340 else 0.02 for n in range(first, first + count))
        sizes.append(count)
        return state

    segments.run_in_segments(
        np.zeros(()),
        advance,
        sampling=Sampling(num_warmup=1500, num_samples=500, num_chains=1),
        checkpoint=None,
        whose={},
        progress=False,
    )
    # The first call compiles; 500 steps of 20 ms are what a change of pace costs.
    assert sizes[:8] == [0, 4, 16, 64, 256, 500, 500, 500]
    assert sizes[8:] == [50, 50, 50, 10]
    assert sum(sizes) == 2000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "num_kills", "longest"), [("slow_walk", 8, 0.08), ("chains", 6, 0.25)]
)
def test_killed_at_random_moments_it_ends_with_the_same_bits(
    tmp_path, work, num_kills, longest
):
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "programs"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    ran = subprocess.run(
        [sys.executable, KILLS, work, tmp_path, str(num_kills), str(longest)],
        env={**os.environ, **cache},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    # One that was done before its turn came is no kill; most are.
    assert json.loads(ran.stdout)["kills"] >= num_kills - 2
    with (
        np.load(tmp_path / "killed.npz") as one,
        np.load(tmp_path / "unhurt.npz") as two,
    ):
        assert set(one.files) == set(two.files)
        for name in two.files:
            np.testing.assert_array_equal(one[name], two[name])
