"""A run that an error ends keeps its sums, and goes on from them to the same bits."""

from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl._checkpoint import load_checkpoint
from nnft_ppl.correlators.sampled import accumulate, measure
from nnft_ppl.ensemble import device_sizes, saving
from nnft_ppl.ensemble.device_sizes import CPU

BLOCK = 1024
NUM_DRAWS = 20 * BLOCK + 100


class WorkerDiedError(RuntimeError):
    """Ends a run."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks so small, and no checkpoint on the way."""
    monkeypatch.setattr(device_sizes, "CPU", replace(CPU, block_draws=BLOCK))
    monkeypatch.setattr(saving, "SAVE_SECONDS", 1e9)


def run(checkpoint=None, progress=False):
    return nnft.measure_correlators(
        nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0),
        [-1.0, 0.3, 1.0],
        (2, 4),
        num_draws=NUM_DRAWS,
        key=jax.random.key(2),
        checkpoint=checkpoint,
        progress=progress,
    )


@pytest.fixture
def fail_after(monkeypatch):
    """Within, runs fail after so many blocks."""
    open_runner = measure.open_runner

    @contextmanager
    def within(number):
        @contextmanager
        def opened(*arguments):
            with open_runner(*arguments) as whole:

                def part(job, starts):
                    yield from islice(whole(job, starts), number)
                    raise WorkerDiedError("a worker died")

                yield part

        with monkeypatch.context() as patch:
            patch.setattr(measure, "open_runner", opened)
            yield

    return within


@pytest.mark.parametrize("number", [1, 7, 21])
def test_what_was_summed_is_kept_and_gone_on_with(tmp_path, fail_after, number):
    place = tmp_path / "sums"
    with (
        fail_after(number),
        pytest.raises(WorkerDiedError, match="a worker died") as caught,
    ):
        run(place)
    assert caught.value.__notes__ == [f"the same work goes on from `{place}`"]
    kept = min(number, 20) * BLOCK  # whole blocks
    assert load_checkpoint(place, {}).record["num_draws"] == kept
    told = []
    found, whole = run(place, told.append), run()
    assert told[0].num_draws == kept
    assert told[-1].num_draws == NUM_DRAWS
    for order in (2, 4):
        np.testing.assert_array_equal(found.connected(order), whole.connected(order))
        np.testing.assert_array_equal(found.covariance(order), whole.covariance(order))


def test_a_run_that_fails_again_and_again_ends(tmp_path, fail_after):
    place = tmp_path / "sums"
    with fail_after(8):
        for _ in range(2):
            with pytest.raises(WorkerDiedError):
                run(place)
    assert load_checkpoint(place, {}).record["num_draws"] == 16 * BLOCK
    np.testing.assert_array_equal(run(place).connected(4), run().connected(4))


def test_sums_that_cannot_be_saved_do_not_hide_what_happened(
    tmp_path, fail_after, monkeypatch
):
    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(accumulate, "save_checkpoint", full)
    with fail_after(3), pytest.raises(WorkerDiedError) as caught:
        run(tmp_path / "sums")
    (note,) = caught.value.__notes__
    assert note == (
        f"the sums could not be saved to `{tmp_path / 'sums'}`: no space left on device"
    )


def test_without_a_checkpoint_or_a_block_nothing_is_promised(tmp_path, fail_after):
    for number, checkpoint in ((3, None), (0, tmp_path / "sums")):
        with fail_after(number), pytest.raises(WorkerDiedError) as caught:
            run(checkpoint)
        assert not hasattr(caught.value, "__notes__")
    assert list(tmp_path.iterdir()) == []
