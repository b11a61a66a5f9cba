"""A study whose fit was interrupted goes on within the fit."""

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl._checkpoint import load_checkpoint, save_checkpoint
from nnft_ppl.inference.mcmc import segments
from nnft_ppl.study import read_study, run_study

STUDY = """
[network]
architecture = "relu-net"
widths = [3]

[inputs]
points = [0.5, 1.0]

[ensemble]
num_draws = 1000
seed = 5

[eft]
width = 20
operators = ["lambda_0"]
cutoffs = [10, 100]
sampler = "nuts"
num_warmup = 50
num_samples = 30
num_chains = 2
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    # The page is not what is tested, and takes longest.
    monkeypatch.setattr("nnft_ppl.study.run.write_page", lambda *_, **__: None)
    path = tmp_path / "toy.toml"
    path.write_text(STUDY)
    return read_study(path, directory=tmp_path / "run")


@pytest.mark.slow
def test_an_interrupted_study_goes_on_within_its_fit(study, monkeypatch):
    fit, checkpoint = (study.directory / n for n in ("fit.nc", "fit.nc.checkpoint"))
    run_in_segments = segments.run_in_segments

    def interrupted(start, advance, **options):
        def stopping(state, first, count):
            if first >= 20:
                raise KeyboardInterrupt
            return advance(state, first, count)

        return run_in_segments(start, stopping, **options)

    with monkeypatch.context() as patch:
        patch.setattr("nnft_ppl.inference.couplings.nuts.run_in_segments", interrupted)
        with pytest.raises(KeyboardInterrupt, match="of its warm-up, kept in"):
            run_study(study)
    assert not fit.exists()
    assert 20 <= load_checkpoint(checkpoint, {}).record["done"] < 80

    run_study(study)
    assert [p.name for p in study.directory.glob("*checkpoint*")] == []
    _, _, key = jax.random.split(jax.random.key(5), 3)
    eft = study.eft
    expected = nnft.fit_couplings(
        nnft.load(study.directory / "correlators" / "fit_data.nc"),
        eft.action,
        eft.cutoffs,
        key=key,
        num_warmup=50,
        num_samples=30,
        num_chains=2,
    )
    found = nnft.load(fit)
    np.testing.assert_array_equal(found.dimensionless, expected.dimensionless)
    np.testing.assert_array_equal(found.discrepancy, expected.discrepancy)

    # What an older version left, or a study to be run anew, is not gone on with.
    save_checkpoint(checkpoint, {"work": "other"}, {})
    run_study(study, rerun=True)
    assert not checkpoint.exists()
    again = nnft.load(fit)
    np.testing.assert_array_equal(again.dimensionless, expected.dimensionless)
