"""A progress bar is cleared however the work ends: its line is left as it was."""

import io
import sys
from dataclasses import replace

import jax
import pytest
from ensemble.test_progress import terminal_at

import nnft_ppl as nnft
from nnft_ppl.ensemble import device_sizes, progress
from nnft_ppl.ensemble.device_sizes import CPU
from nnft_ppl.ensemble.progress import ProgressBar, watching

X = [-1.0, 0.3]


@pytest.fixture
def ends(monkeypatch):
    """A bar that is drawn and then something happens, as by Ctrl-C."""
    draw = ProgressBar.__call__
    monkeypatch.setattr(device_sizes, "CPU", replace(CPU, block_draws=1024))

    def by(happening):
        def call(self, moment):
            draw(self, moment)
            raise happening

        monkeypatch.setattr(ProgressBar, "__call__", call)

    return by


@pytest.mark.slow_but(
    "measure_correlators-happening0",
    "measure_correlators-happening1",
    "sample_ensemble-happening1",
)
@pytest.mark.parametrize("happening", [KeyboardInterrupt(), ValueError("a fault")])
@pytest.mark.parametrize("work", [nnft.sample_ensemble, nnft.measure_correlators])
def test_work_that_ends_early_leaves_a_clean_line(monkeypatch, ends, work, happening):
    ends(happening)
    network = nnft.network("erf-net", width=5, input_dim=1)
    terminal = terminal_at(monkeypatch)
    with pytest.raises(type(happening)):
        work(network, X, num_draws=20_000, key=jax.random.key(0), progress=True)
    assert "20.0k, " in terminal.getvalue()
    assert terminal.lines() == [""]


def test_a_function_is_told_of_samples():
    told = []
    network = nnft.network("erf-net", width=5, input_dim=1)
    nnft.sample_ensemble(
        network, X, 3000, key=jax.random.key(0), progress=told.append, block_size=512
    )
    assert [moment.num_draws for moment in told] == [*range(512, 3000, 512), 3000]
    assert all(isinstance(moment, nnft.Progress) for moment in told)
    assert {moment.total for moment in told} == {3000}


def test_what_progress_may_be():
    def function(moment):
        """Told."""

    for asked, expected in ((False, None), (function, function)):
        with watching(asked, "sample") as monitor:
            assert monitor is expected


def test_a_bar_where_it_can_be_drawn_and_lines_in_a_log(monkeypatch):
    terminal_at(monkeypatch)
    with watching(True, "sample", 0.01) as monitor:
        assert isinstance(monitor, progress.ProgressBar)
    log, clock = io.StringIO(), iter([0, 10, 31, 45, 62, 100])
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    with watching(True, "sample") as monitor:
        for number in (100, 200, 300, 400):
            monitor(progress.Progress(number, 1000, 10.0, 60.0, None, 0))
        monitor(progress.Progress(1000, 1000, 10.0, 0.0, None, 0))
    assert log.getvalue().splitlines() == [
        f"sample {number}/1.00k, 10/s, 01:00 left" for number in (200, 400)
    ]


def test_interruptions_are_public():
    with pytest.raises(nnft.SamplingInterrupted, match="interrupted after"):
        nnft.measure_correlators(
            nnft.network("erf-net", width=5, input_dim=1),
            X,
            num_draws=20_000,
            key=jax.random.key(0),
            progress=interrupted,
        )


def interrupted(_):
    raise KeyboardInterrupt
