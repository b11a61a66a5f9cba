"""A run that is saved, stopped, gone on with, or ended when it is good enough."""

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.bayes import weighting
from nnft_ppl.correlators.sampled.measure import SamplingInterrupted
from nnft_ppl.ensemble import saving

NET = nnft.network("erf-net", width=4, input_dim=1, weight_std=1.0, bias_std=0.5)
X, Y = np.array([-1.0, 0.3, 0.9]), np.array([0.5, -0.4, 0.1])
BLOCK = 128
"""Networks, where 5000 to 8000 are asked for."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(weighting, "_BLOCK_DRAWS", BLOCK)
    monkeypatch.setattr(weighting, "_FEW_BLOCKS", 64)


def run(net=NET, y=Y, **options):
    given = {"noise_std": 0.3, "num_draws": 5000, "key": jax.random.key(3)}
    return nnft.posterior(net, X, y, [0.5], num_samples=50, **{**given, **options})


def interrupted(place, after):
    def interrupt(progress):
        if progress.num_draws >= after:
            raise KeyboardInterrupt

    with pytest.raises(SamplingInterrupted) as caught:
        run(checkpoint=place, progress=interrupt)
    return caught.value


def test_an_interrupted_run_goes_on_with_the_same_bits(tmp_path):
    place = tmp_path / "sums"
    stopped = interrupted(place, 4 * BLOCK)
    assert stopped.num_draws == 4 * BLOCK
    assert "the same call goes on from" in str(stopped)
    told = []
    found = run(checkpoint=place, progress=told.append)
    assert [p.num_draws for p in told[:2]] == [4 * BLOCK, 5 * BLOCK]
    assert found.data.equals(run().data)
    # It is kept, to be extended.
    more = run(checkpoint=place, num_draws=8000)
    np.testing.assert_allclose(more.mean, run(num_draws=8000).mean, rtol=1e-6)
    with pytest.raises(nnft.SpecError, match="holds 7936 networks already"):
        run(checkpoint=place, num_draws=1000)


def test_what_is_saved_now_and_then_is_enough_after_a_crash(tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "SAVE_SECONDS", 0.0)
    monkeypatch.setattr(saving, "SAVING_SHARE", 1e9)
    place, saved = tmp_path / "sums", []

    def crash(progress):
        saved.append(place.exists())
        if progress.num_draws == 6 * BLOCK:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone") as caught:
        run(checkpoint=place, progress=crash)
    assert "the same work goes on from" in caught.value.__notes__[0]
    assert saved == [False] + 5 * [True]
    assert run(checkpoint=place).data.equals(run().data)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"y": Y + 1}, "data"),
        ({"noise_std": 0.4}, r"scales.noise_std is 0.3, expected 0.4"),
        ({"key": jax.random.key(4)}, "key"),
        ({"net": NET.with_width(5)}, "network"),
    ],
)
def test_a_checkpoint_of_other_work_is_refused(tmp_path, options, what):
    place = tmp_path / "sums"
    interrupted(place, BLOCK)
    with pytest.raises(nnft.SpecError, match=f"is of other work: its {what}"):
        run(checkpoint=place, **options)


def test_it_stops_when_the_means_are_known_well_enough(tmp_path):
    place, told = tmp_path / "sums", []
    found = run(
        num_draws=100_000, target_error=0.002, checkpoint=place, progress=told.append
    )
    number = told[-1].num_draws
    assert 1000 < number < 50_000
    relative = (found.mean_error / found.variance**0.5).max()
    assert 0.0016 < relative < 0.0021  # smoothing moves it a little
    assert told[-1].relative_error <= 0.002 < told[-2].relative_error
    # Errors fall as the root, so that the forecast of the middle is about right.
    middle = told[len(told) // 2].total
    assert 0.5 < middle / number < 2
    # It is what so many networks give, and a checkpoint stops at the same one.
    whole = run(num_draws=number)
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-6)
    again = run(num_draws=100_000, target_error=0.002, checkpoint=place)
    assert again.data.equals(found.data)


def test_weights_that_have_collapsed_reach_no_target():
    # One network has it all: no error is seen, and none is known.
    x = np.linspace(-2, 2, 12)
    net = nnft.network("erf-net", width=5, input_dim=1, weight_std=2.0, bias_std=1.0)
    with pytest.raises(nnft.FitError, match="weights of 2,000 networks failed"):
        nnft.posterior(
            net,
            x,
            np.sin(2 * x),
            [0.5],
            noise_std=0.05,
            num_draws=2000,
            key=jax.random.key(5),
            method="weights",
            target_error=0.5,
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_error": -1}, r"`target_error` is -1; expected an error in standard"),
        ({"method": "smc", "target_error": 0.1}, r"`target_error` is given with meth"),
        ({"method": "nuts", "scheduler": "a"}, r"`scheduler` is given with method='nu"),
        ({"method": "smc", "scheduler": "a"}, r"`scheduler` is given with method='smc"),
        ({"checkpoint": "no/folder"}, r"'no' is no folder"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(nnft.SpecError, match=message):
        run(**options)
