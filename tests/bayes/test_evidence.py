import jax
import numpy as np
import pandas as pd
import pytest
from oracles import finite_width_posterior as oracle

import nnft_ppl as nnft

KEY = jax.random.key(5)
X = np.array([0.3, 0.7, 1.1])
NET = nnft.network(
    "mlp", width=7, input_dim=1, depth=1, activation="identity", weight_std=1.0
)


def curve(scale, num_draws=20_000, **options):
    return nnft.evidence_by_width(
        NET,
        [8, 2],
        X,
        scale * X,
        noise_std=0.1,
        num_draws=num_draws,
        key=KEY,
        **options,
    )


def test_evidences_are_those_of_a_linear_network():
    found = curve(1.0)
    assert list(found.table.index) == [2, 8]
    for width, row in found.table.iterrows():
        expected, _, _ = oracle.deep_linear(
            X[:, None],
            X[:, None],
            X[:1, None],
            widths=(width,),
            weight_std=1.0,
            noise_std=0.1,
        )
        assert abs(row["log_evidence"] - expected) < 4 * row["error"]
        assert row["error"] < 0.05
    kernel = np.outer(X, X) + 0.01 * np.eye(3)
    misfit = X @ np.linalg.solve(kernel, X)
    limit = -0.5 * (misfit + np.linalg.slogdet(2 * np.pi * kernel)[1])
    assert found.infinite == pytest.approx(limit)


def test_the_evidence_prefers_the_width_that_data_call_for():
    # A slope near 0 is likelier under heavy tails, and so is a large one.
    small = curve(0.02)
    assert small.prefers_finite_width is True
    assert "prefers a finite width: 2 of these" in small.message
    ordinary = curve(1.3)
    assert ordinary.prefers_finite_width is False
    assert "prefers infinite width" in ordinary.message


def curve_of(log_evidences, errors, method="weights"):
    rows = [
        (2.0**i, value, error, method, 100.0, 0.2)
        for i, (value, error) in enumerate(zip(log_evidences, errors, strict=True))
    ]
    names = ["width", "log_evidence", "error", "method", "effective_draws", "pareto_k"]
    table = pd.DataFrame(rows, columns=names).set_index("width")
    return nnft.EvidenceCurve(NET, table, 0.0, 1000)


def test_the_best_of_many_alike_is_not_said_to_be_preferred():
    """Of 400 sets of 12 widths that noise alone tells from the GP, in a few."""
    rng = np.random.default_rng(0)
    said = [
        curve_of(rng.normal(size=12), np.ones(12)).prefers_finite_width
        for _ in range(400)
    ]
    assert np.mean([one is True for one in said]) < 0.04


def test_errors_from_four_populations_are_not_taken_for_known():
    rng = np.random.default_rng(1)
    said = []
    for _ in range(600):
        found = rng.normal(size=(3, 4))
        error = found.std(axis=1, ddof=1) / 2
        curve = curve_of(found.mean(axis=1), error, "smc")
        said.append(curve.prefers_finite_width is True)
    assert np.mean(said) < 0.04


def test_a_width_that_is_known_well_decides_beside_a_better_one_that_is_not():
    curve = curve_of([5.0, 4.5, 1.0], [4.0, 0.1, np.inf])
    assert curve.prefers_finite_width is True
    assert "2.0 of these has log evidence +4.5 ± 0.1" in curve.message
    assert curve_of([-3.0, -5.0], [0.5, 0.5]).prefers_finite_width is False


def test_widths_are_needed():
    with pytest.raises(nnft.SpecError, match="`widths` is empty"):
        nnft.evidence_by_width(NET, [], X, X, noise_std=0.1, key=KEY)


def test_devices_and_progress_are_those_of_a_posterior():
    told = []
    found = curve(1.0, 2000, method="weights", devices=1, progress=told.append)
    assert found.table["method"].to_list() == ["weights", "weights"]
    ends = [p for p in told if p.num_draws == p.total == 2000]
    assert len(ends) == 2  # of each width
    with pytest.raises(nnft.SpecError, match="`method` is 'nuts'; choose one of"):
        curve(1.0, 2000, method="nuts")
    with pytest.raises(nnft.SpecError, match="`devices` is 99"):
        curve(1.0, 2000, devices=99)


@pytest.mark.slow
def test_evidences_by_tempering_are_those_by_weights():
    found, weighted = (curve(1.0, 2000, method=m) for m in ("smc", "weights"))
    assert found.table["method"].to_list() == ["smc", "smc"]
    error = np.hypot(found.table["error"], weighted.table["error"])
    gap = found.table["log_evidence"] - weighted.table["log_evidence"]
    assert (abs(gap) < 6 * error).all()  # of four populations: itself to a half


def test_a_curve_is_saved_and_loaded(tmp_path):
    found = curve(1.0, num_draws=500)
    found.save(tmp_path / "curve.nc")
    again = nnft.load(tmp_path / "curve.nc")
    assert again.table.equals(found.table)
    assert (again.infinite, again.num_draws) == (found.infinite, 500)
    assert again.network == found.network
    assert again.message == found.message
    assert (found.table["effective_draws"] <= 500).all()
    assert (found.table["pareto_k"] < 0.7).all()
