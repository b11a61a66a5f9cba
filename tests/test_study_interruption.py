"""A study that was interrupted within a measurement goes on within it."""

import jax
import numpy as np
import pytest
from cli.commands import run

import nnft_ppl as nnft
from nnft_ppl.correlators.sampled.measure import measure_correlators
from nnft_ppl.study import read_study, run_study

BLOCK = 1 << 17
STUDY = f"""
[network]
architecture = "relu-net"
widths = [3]

[inputs]
points = [0.5, 1.0]

[ensemble]
num_draws = {4 * BLOCK}
seed = 5

[eft]
width = 20
data = "exact"
operators = ["lambda_0"]
cutoffs = [10]
sampler = "conjugate"
num_samples = 100
num_chains = 2
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "toy.toml"
    path.write_text(STUDY)
    return path


@pytest.fixture
def study(file, tmp_path, monkeypatch):
    # The page is not what is tested, and takes longest.
    monkeypatch.setattr("nnft_ppl.study.run.write_page", lambda *_, **__: None)
    return read_study(file, directory=tmp_path / "run")


@pytest.fixture
def begun(monkeypatch):
    """Where measurements began; a number at which they end, as by Ctrl-C."""
    state = {"end": None, "first": []}

    def watched(*arguments, **options):
        def watch(progress):
            if not told:
                state["first"].append(progress.num_draws)
            told.append(progress)
            if state["end"] is not None and progress.num_draws >= state["end"]:
                raise KeyboardInterrupt

        told = []
        return measure_correlators(*arguments, **{**options, "progress": watch})

    monkeypatch.setattr("nnft_ppl.study.run.measure_correlators", watched)
    return state


def files(study):
    folder = study.directory / "correlators"
    return {path.name for path in folder.iterdir()}


@pytest.mark.slow
def test_it_goes_on_within_the_measurement(study, begun):
    begun["end"] = 2 * BLOCK
    with pytest.raises(KeyboardInterrupt):
        run_study(study)
    assert files(study) == {"width_3_conditional.nc.sums"}
    begun["end"] = None
    run_study(study)
    assert begun["first"] == [BLOCK, 2 * BLOCK]
    assert {"width_3_conditional.nc", "fit_data.nc"} <= files(study)
    assert not any("sums" in name for name in files(study))
    found = nnft.load(study.directory / "correlators" / "width_3_conditional.nc")
    key = jax.random.fold_in(jax.random.split(jax.random.key(5), 3)[0], 3)
    network = nnft.network("relu-net", width=3, input_dim=1)
    whole = nnft.measure_correlators(
        network, [0.5, 1.0], (2, 4, 6), num_draws=4 * BLOCK, key=key
    )
    for order in whole.orders:
        np.testing.assert_array_equal(found.connected(order), whole.connected(order))


def test_rerun_begins_anew(study, begun):
    begun["end"] = 2 * BLOCK
    with pytest.raises(KeyboardInterrupt):
        run_study(study)
    begun["end"] = None
    run_study(study, rerun=True)
    assert begun["first"] == [BLOCK, BLOCK]


def test_the_command_says_how_to_go_on(file, begun, tmp_path):
    begun["end"] = BLOCK
    result = run("study", file, "-o", tmp_path / "run", code=130)
    last = result.stderr.splitlines()[-1]
    assert last == (
        f"nnft: interrupted; the same command goes on in {tmp_path / 'run'}"
    )
