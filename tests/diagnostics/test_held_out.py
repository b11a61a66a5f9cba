"""Held-out inputs: closed forms, predictions by hand, coverage of known truth."""

import dataclasses
import math

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.correlators.symmetric import entry_size
from nnft_ppl.diagnostics.held_out import held_out
from nnft_ppl.eft.expansion import expand
from nnft_ppl.eft.integrals import first_order

PAPER_X = np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.2])
WIDE_X = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0])
HALF = math.sqrt(0.5)


def make_fit(data, names, cutoffs=(10.0, 100.0), **options):
    return nnft.fit_couplings(
        data,
        nnft.Action(names),
        list(cutoffs),
        key=jax.random.key(0),
        sampler="conjugate",
        **options,
    )


@pytest.fixture(scope="module")
def wide():
    net = nnft.network("erf-net", width=5, input_dim=1, bias_std=1.0)
    return {
        "net": net,
        "fitted": nnft.exact_correlators(net, WIDE_X, (2, 4, 6)),
        "held_out": nnft.exact_correlators(net, HALF * WIDE_X, (2, 4, 6)),
    }


@pytest.mark.slow
def test_the_homogeneous_net_is_predicted_exactly_to_first_order():
    net = nnft.network("relu-net", width=20, input_dim=1)
    fit = make_fit(nnft.exact_correlators(net, PAPER_X, (2, 4)), ["lambda_0"], [100.0])
    there = nnft.exact_correlators(net, HALF * PAPER_X, (2, 4, 6))
    table = held_out(fit, there).set_index("order")
    assert table.loc[4, "connected_error"] < 1e-8
    assert table.loc[4, "connected_coverage"] == 1.0
    # K = xx'/2, G4c = (15/4)/N, G6c = 82.5/N² times the product of the inputs.
    gaussian4, connected4, connected6 = 3 / 4, 15 / 4 / 20, 82.5 / 400
    full4 = gaussian4 + connected4
    full6 = 15 / 8 + 15 / 2 * connected4 + connected6
    assert table.loc[4, "gaussian_error"] == pytest.approx(connected4 / full4, rel=1e-8)
    assert table.loc[6, "gaussian_error"] == pytest.approx(1 - 15 / 8 / full6, rel=1e-8)
    assert table.loc[6, "moment_error"] == pytest.approx(connected6 / full6, rel=1e-6)
    assert np.isnan(table.loc[6, "connected_error"])
    assert table.loc[6, "moment_coverage"] == 0.0  # the omitted 6-pt vertex is not
    widened = held_out(fit, there, truncation=True).set_index("order")
    assert widened.loc[6, "moment_coverage"] > 0.9  # unless it is allowed for


def test_errors_are_those_of_predictions_made_by_hand(wide):
    names = ["lambda_0", "lambda_2", "kappa"]
    fit = make_fit(wide["fitted"], names, num_samples=100)
    table = held_out(fit, wide["held_out"]).set_index(["cutoff", "order"])
    couplings = fit.data["posterior"]["coupling"].to_numpy()
    there = expand(fit.action, wide["net"], HALF * WIDE_X, fit.cutoffs, (4, 6))
    for which, cutoff in enumerate(fit.cutoffs):
        g = couplings[:, :, which]
        for order in (4, 6):
            data = wide["held_out"].connected(order)
            prediction = g @ there.linear[order].values[which].T
            if order == 6:  # trees of two quartic vertices
                tree = there.trees[6].values[which]
                prediction += np.einsum("kdi,kdj,eij->kde", g, g, tree, optimize=True)
            off = np.sqrt(np.mean((prediction - data) ** 2, axis=-1))
            off = off / np.sqrt(np.mean(data**2))
            row = table.loc[(cutoff, order)]
            assert row["connected_error"] == pytest.approx(np.median(off), rel=1e-6)
            assert row["connected_lower"] == pytest.approx(
                np.percentile(off, 5), rel=1e-6
            )
            assert row["connected_upper"] == pytest.approx(
                np.percentile(off, 95), rel=1e-6
            )


@pytest.mark.slow
def test_intervals_cover_what_the_model_says(wide):
    """Data drawn from the model: nine of ten held-out entries lie inside."""
    net, s, coupling, covered = wide["net"], 0.2, -0.05, []
    action = nnft.Action(["lambda_0"])
    columns = {}
    for name, x in (("fitted", WIDE_X), ("held_out", HALF * WIDE_X)):
        column = first_order(action.operators[0], net, x, [10.0]).values[0]
        size = entry_size(np.diag(net.propagator(x)), 4)
        columns[name] = (coupling * column, size)
    level = np.sqrt(
        np.mean(columns["fitted"][0] ** 2) / np.mean(columns["fitted"][1] ** 2)
    )
    for seed in range(8):
        rng = np.random.default_rng(seed)
        data = {}
        for name, (signal, size) in columns.items():
            noise = s * level * size * rng.standard_normal(len(size))
            exact = wide[name]
            data[name] = dataclasses.replace(
                exact,
                orders=(2, 4),
                connected_values={2: exact.connected(2), 4: signal + noise},
            )
        fit = make_fit(data["fitted"], ["lambda_0"], [10.0])
        row = held_out(fit, data["held_out"]).iloc[0]
        covered.append(row["connected_coverage"])
        assert row["moment_coverage"] == pytest.approx(covered[-1], abs=0.05)
    # 8 × 126 entries: a standard error of 0.0095, and s is known to 6 % per fit.
    assert np.mean(covered) == pytest.approx(0.9, abs=0.03)


def test_sampling_noise_is_subtracted_and_stated(wide):
    """Noise of 30 % of the data leaves the error where exact data put it."""
    # Couplings without the misfit's own uncertainty: the least-squares ones.
    fit = make_fit(
        wide["fitted"],
        ["lambda_0", "lambda_2"],
        [10.0],
        num_samples=200,
        discrepancy=False,
    )
    exact = wide["held_out"]
    truth = held_out(fit, exact).set_index("order").loc[4, "connected_error"]
    size = np.sqrt(np.mean(exact.connected(4) ** 2))
    n2, n4 = len(exact.connected(2)), len(exact.connected(4))
    error = 0.3 * size
    covariance = np.diag(np.r_[np.full(n2, 1e-20), np.full(n4, error**2)])
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        noisy = dataclasses.replace(
            exact,
            orders=(2, 4),
            estimator="wick",
            num_draws=1000,
            num_batches=1000,
            connected_values={
                2: exact.connected(2),
                4: exact.connected(4) + error * rng.standard_normal(n4),
            },
            joint_covariance=covariance,
            effective_batches={2: np.full(n2, 1e3), 4: np.full(n4, 1e3)},
        )
        row = held_out(fit, noisy).iloc[0]
        # The noise adds to the rms of the data: 0.3/√(1 + 0.09).
        assert row["connected_noise"] == pytest.approx(0.287, abs=0.03)
        found.append(row["connected_error"])
    spread = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found) - truth) < 4 * spread
    assert spread < 0.02
    assert truth == pytest.approx(0.51, abs=0.02)


def test_measured_correlators_can_be_held_out(wide):
    fit = make_fit(wide["fitted"], ["lambda_0", "lambda_2"], [10.0])
    measured = nnft.measure_correlators(
        wide["net"], HALF * WIDE_X, (2, 4), num_draws=50_000, key=jax.random.key(2)
    )
    row = held_out(fit, measured).iloc[0]
    truth = held_out(fit, wide["held_out"]).iloc[0]
    assert 0 < row["connected_noise"] < 0.1
    assert row["connected_error"] == pytest.approx(
        truth["connected_error"], abs=3 * row["connected_noise"]
    )


def test_what_is_not_held_out_is_refused(wide):
    fit = make_fit(wide["fitted"], ["lambda_0"], [10.0])
    with pytest.raises(nnft.SpecError, match=r"input \[-1.0\] was fitted"):
        held_out(fit, wide["fitted"])
    other = nnft.exact_correlators(wide["net"].with_width(6), HALF * WIDE_X, (2, 4))
    with pytest.raises(nnft.SpecError, match="give correlators of the same network"):
        held_out(fit, other)
    with pytest.raises(nnft.SpecError, match="none of which"):
        held_out(fit, nnft.exact_correlators(wide["net"], [0.5], (2,)))
    sextic = make_fit(wide["fitted"], ["lambda_0", "kappa"], [10.0])
    with pytest.raises(nnft.SpecError, match="needs connected correlators of order"):
        held_out(sextic, nnft.exact_correlators(wide["net"], [0.5], (2, 4)))
    with pytest.raises(nnft.SpecError, match=r"expected nnft_ppl\.Correlators"):
        held_out(fit, HALF * WIDE_X)
