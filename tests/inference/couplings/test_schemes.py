"""Bare and renormalised fits: orders, shifts of the 2-pt function, trees, refusals."""

import dataclasses

import jax
import numpy as np
import pytest
from oracles.effective_theory import box_breaks, quad_pieces

import nnft_ppl as nnft
from nnft_ppl import FitError, Operator, SpecError, UnavailableError
from nnft_ppl.correlators.symmetric import entries
from nnft_ppl.diagnostics.held_out import held_out
from nnft_ppl.eft import expansion
from nnft_ppl.eft.expansion import expand
from nnft_ppl.inference.likelihood import build_likelihood

X = np.array([0.2, 0.7, 1.1])
NET = nnft.network("erf-net", width=20, input_dim=1, bias_std=1.0)
CUTOFFS = [3.0, 5.0]
MEASURES = [
    nnft.Box(),
    nnft.Ball(),
    nnft.GaussianCutoff(),
    nnft.Empirical(np.linspace(-3, 3, 9)[:, None]),
]


@pytest.fixture(scope="module")
def exact():
    return nnft.exact_correlators(NET, X, (2, 4, 6))


def fitted(data, operators, cutoffs=CUTOFFS, **options):
    return nnft.fit_couplings(
        data,
        nnft.Action(operators, **options),
        cutoffs,
        key=jax.random.key(0),
        sampler="conjugate",
        num_samples=50,
        num_chains=2,
    )


def test_the_bare_two_point_function_is_shifted(exact):
    """G2 = K − 12 λ ∫ K K K(y,y) − 90 κ ∫ K K K(y,y)², per draw (theory.md §4)."""
    fit = fitted(exact, ["lambda_0", "kappa"], scheme="bare")
    assert fit.likelihood.orders == (4, 6)
    couplings = (fit.dimensionless / fit.likelihood.scale)[:, :, 1]

    def kernel(a, b):
        return float(NET.propagator([a], [b])[0, 0])

    draws = fit.predict(2, 5.0).values[:, :, 0]
    for entry in (0, 2, 5):
        a, b = X[entries(3, 2)[entry]]
        loops = [
            quad_pieces(
                lambda y, a=a, b=b, n=n: (
                    kernel(a, y) * kernel(b, y) * kernel(y, y) ** n
                ),
                box_breaks(X, 5.0),
            )
            for n in (1, 2)
        ]
        shift = couplings @ (-np.array([12, 90]) * loops)
        expected = NET.kernel(X)[tuple(entries(3, 2)[entry])] + shift
        np.testing.assert_allclose(draws[..., entry], expected, rtol=1e-8)
    assert fit.predict(2).shape == (2, 50, 2, 6)


def test_the_renormalised_two_point_function_is_the_kernel(exact):
    draws = fitted(exact, ["lambda_0"]).predict(2).values
    rows, columns = entries(3, 2).T
    expected = np.broadcast_to(NET.kernel(X)[rows, columns], draws.shape)
    np.testing.assert_allclose(draws, expected, rtol=1e-12)


def test_bare_couplings_are_those_of_least_squares_of_both_orders(exact):
    """A κ with its tadpole moves the 4-pt function too: data made so are recovered."""
    action = nnft.Action(["lambda_0", "kappa"], scheme="bare")
    theory = expand(action, NET, X, np.array(CUTOFFS), (4, 6))
    truth = np.array([-2e-4, 3e-6])
    made = dataclasses.replace(
        exact,
        connected_values={
            2: exact.connected_values[2],
            **{k: theory.connected(k, 1, truth) for k in (4, 6)},
        },
    )
    fit = fitted(made, ["lambda_0", "kappa"], [5.0], scheme="bare")
    found = (fit.dimensionless / fit.likelihood.scale).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(found, truth, rtol=1e-5)


@pytest.mark.parametrize("scheme", ["renormalised", "bare"])
@pytest.mark.parametrize("measure", MEASURES, ids=repr)
def test_fits_of_every_measure_and_scheme_are_kept(exact, measure, scheme, tmp_path):
    fit = fitted(exact, ["lambda_0", "lambda_2"], measure=measure, scheme=scheme)
    fit.save(tmp_path / "fit.nc")
    again = nnft.load(tmp_path / "fit.nc")
    assert again.action == fit.action
    assert np.array_equal(again.dimensionless, fit.dimensionless)
    for order in (2, 4):
        assert np.array_equal(again.predict(order), fit.predict(order))


@pytest.mark.parametrize("scheme", ["renormalised", "bare"])
def test_held_out_predictions_are_those_of_the_expansion(exact, scheme):
    """The median error at held-out inputs is that of Σ g ∂G + Σ g g T, by hand."""
    operators = ["lambda_0", "kappa"]
    measure = nnft.Empirical([[0.4], [1.0], [-0.5]])
    fit = fitted(exact, operators, [5.0], measure=measure, scheme=scheme)
    there = nnft.exact_correlators(NET, 0.7 * X, (2, 4, 6))
    table = held_out(fit, there).set_index("order")
    theory = expand(fit.action, NET, 0.7 * X, np.array([5.0]), (4, 6))
    assert bool(theory.trees) == (scheme == "renormalised")
    couplings = (fit.dimensionless / fit.likelihood.scale)[:, :, 0]
    for order in (4, 6):
        data = there.connected(order)
        left = theory.connected(order, 0, couplings) - data
        error = np.sqrt(np.mean(left**2, axis=-1) / np.mean(data**2))
        expected = np.median(error)
        assert table.loc[order, "connected_error"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("scheme", ["renormalised", "bare"])
@pytest.mark.parametrize("form", [{"fields": (0, 0)}, {"quadratic_forms": 1}])
def test_operators_of_two_fields_are_refused(exact, form, scheme):
    mass = Operator(name="mass", symbol="m", **form)
    with pytest.raises(SpecError, match=r"\['mass'\] have two fields"):
        fitted(exact, [mass, "lambda_0"], scheme=scheme)


def test_errors_of_trees_count_in_the_six_point_function(exact, monkeypatch):
    """As a variance of its modes alone, and too large ones are refused."""
    action = nnft.Action(["lambda_0", "kappa"])
    before = build_likelihood(exact, action, (5.0,))
    relative = 1e-3
    plain = expansion.Integrals.tree

    def inaccurate(self, first, second):
        tree = plain(self, first, second)
        error = np.full_like(tree.error, relative * np.abs(tree.values).max())
        return dataclasses.replace(tree, error=error)

    monkeypatch.setattr(expansion.Integrals, "tree", inaccurate)
    after = build_likelihood(exact, action, (5.0,))
    four, six = after.spans
    np.testing.assert_allclose(after.variance[six], relative**2, rtol=1e-6)
    assert np.array_equal(after.variance[four], before.variance[four])
    relative = 0.1
    with pytest.raises(FitError, match=r"trees .* have relative error 1.0e-01 at"):
        build_likelihood(exact, action, (5.0,))


def test_a_law_is_not_fitted_about_a_point_that_was_not_found(exact, monkeypatch):
    monkeypatch.setattr("nnft_ppl.inference.couplings.conjugate._MAX_STEPS", 1)
    with pytest.raises(FitError, match=r"no point was found .* use fewer cutoffs"):
        nnft.fit_running(
            exact,
            nnft.Action(["lambda_0", "kappa"]),
            [2.0, 3.0, 4.0, 5.0],
            key=jax.random.key(0),
        )


def test_draws_are_not_fitted_in_the_bare_scheme():
    ensemble = nnft.sample_ensemble(NET, X, num_draws=50, key=jax.random.key(0))
    with pytest.raises(UnavailableError, match="shifts the 2-pt function"):
        nnft.fit_function_space(
            ensemble,
            nnft.Action(["lambda_0"], scheme="bare"),
            [5.0],
            key=jax.random.key(0),
        )


def test_searches_take_the_measure(exact):
    """Over one datum all quartic operators without derivatives are one product."""
    measure = nnft.Empirical([[0.4]])
    there = nnft.exact_correlators(NET, 0.7 * X, (2, 4))
    found = nnft.search_actions(
        exact, there, [5.0], operators=["lambda_0", "lambda_nl"], measure=measure
    )
    errors = found.table.set_index("action")["fitted_error"]
    assert errors["lambda_0"] == pytest.approx(errors["lambda_nl"], rel=1e-9)
    box, ball = (
        nnft.naturalness(exact, 5.0, measure=m).local["coupling"].to_numpy()
        for m in (None, measure)
    )
    column = expand(nnft.Action(["lambda_0"], measure=measure), NET, X, [5.0], (4,))
    expected = exact.connected(4) / column.linear[4].values[0, :, 0]
    np.testing.assert_allclose(ball, expected, rtol=1e-9)
    assert not np.allclose(box, ball)
