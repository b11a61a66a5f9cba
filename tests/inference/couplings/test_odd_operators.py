"""Fits of odd operators to fields whose odd cumulants are known.

f = c K ξ + η at a few points, with ξ independent gamma numbers of variance one and η
Gaussian with covariance K − c² K K. Then f has covariance K, the mean c K E ξ, and
G^(k)_c = κ_k c^k Σ_y K K … K: exactly what ∫ f^k makes, to first order, over the data
set of these points, with g = −n κ_k c^k/k!.
"""

from math import factorial

import jax
import numpy as np
import pytest

import nnft_ppl as nnft

X = np.linspace(-1.0, 1.0, 4)[:, None]
KERNEL = np.exp(-((X - X.T) ** 2) / 0.5)
STRENGTH = 0.5
SHAPE = 4.0  # of the gamma law: skewness 1, excess kurtosis 1.5
CUMULANT = {1: np.sqrt(SHAPE), 3: 2 / np.sqrt(SHAPE), 4: 6 / SHAPE}
FIELDS = {"source": 1, "cubic": 3, "lambda_0": 4}
TRUTH = {
    name: -len(X) * CUMULANT[k] * STRENGTH**k / factorial(k)
    for name, k in FIELDS.items()
}
KEY = jax.random.key(0)


def draws(number, seed=0):
    rng = np.random.default_rng(seed)
    skewed = rng.gamma(SHAPE, 1 / np.sqrt(SHAPE), size=(number, len(X)))
    rest = np.linalg.cholesky(KERNEL - STRENGTH**2 * KERNEL @ KERNEL)
    noise = rng.standard_normal((number, len(X)))
    return STRENGTH * skewed @ KERNEL + noise @ rest.T


def correlators(number, seed=0, orders=(1, 2, 3, 4), **given):
    given = {"kernel": KERNEL, "width": 10} | given
    return nnft.correlators_from_draws(draws(number, seed), X, orders, **given)


def action(*operators, **options):
    return nnft.Action(operators, measure=nnft.Empirical(X), **options)


def fitted(corr, operators, *, scheme="renormalised", **options):
    options = {"sampler": "conjugate"} | options
    return nnft.fit_couplings(
        corr, action(*operators, scheme=scheme), [2.0], key=KEY, **options
    )


def test_the_field_has_the_cumulants_that_the_operators_make():
    """The truth of these tests, by its own draws: every entry within 4.5 errors."""
    corr = correlators(400_000)
    for name, k in FIELDS.items():
        design = nnft.first_order(name, corr.network, X, [2.0], nnft.Empirical(X))
        gap = corr.connected(k) - TRUTH[name] * design.values[0]
        assert (np.abs(gap) < 4.5 * corr.connected_error(k)).all()


@pytest.mark.slow_but("conjugate")
@pytest.mark.parametrize("sampler", ["conjugate", "nuts"])
def test_one_odd_coupling_is_found(sampler):
    options = {"num_warmup": 200, "num_samples": 300, "num_chains": 2}
    fit = fitted(correlators(100_000), ["cubic"], sampler=sampler, **options)
    row = fit.summary().iloc[0]
    assert fit.likelihood.orders == (3,)
    assert abs(row["mean"] - TRUTH["cubic"]) < 3.5 * row["sd"]
    assert row["sd"] < 0.1 * abs(TRUTH["cubic"])
    assert row["verdict"] == "describes"


def test_all_couplings_of_first_order_are_found_together():
    """The bare tadpole of f³ shifts the mean; f takes the rest. K(y, y) is 1."""
    operators = list(FIELDS)
    fit = fitted(correlators(100_000), operators, scheme="bare")
    table = fit.summary().set_index("operator")
    truth = TRUTH | {"source": TRUTH["source"] - 3 * TRUTH["cubic"]}
    for name in operators:
        row = table.loc[name]
        assert abs(row["mean"] - truth[name]) < 3.5 * row["sd"], name
        assert row["sd"] < 0.2 * abs(truth[name])


def test_intervals_of_odd_couplings_hold_the_truth_as_often_as_they_say():
    """90 % intervals over 80 replicas: between 63 and 79 hold, by the binomial law."""
    held = {"source": 0, "cubic": 0}
    for seed in range(80):
        corr = correlators(2000, seed, orders=(1, 2, 3))
        table = fitted(
            corr, ["source", "cubic"], discrepancy=False, num_samples=250
        ).summary()
        for row in table.itertuples():
            held[row.operator] += row.lower < TRUTH[row.operator] < row.upper
    assert all(63 <= number <= 79 for number in held.values()), held


def test_the_mean_is_a_background_unless_an_operator_makes_it():
    """Shifted draws give the same fit; with `source` predictions have the mean."""
    values = draws(20_000)
    shifted = values + np.arange(4.0)
    about, other = (
        fitted(
            nnft.correlators_from_draws(v, X, (1, 2, 3, 4), kernel=KERNEL, width=10),
            ["cubic", "lambda_0"],
        )
        for v in (values, shifted)
    )
    np.testing.assert_allclose(about.dimensionless, other.dimensionless, rtol=1e-6)
    assert not about.predict(1).any()
    corr = nnft.correlators_from_draws(values, X, (1, 2, 3), kernel=KERNEL, width=10)
    fit = fitted(corr, ["source", "cubic"])
    for order in (1, 2, 3):
        found = fit.predict(order).mean(("chain", "draw"))[0].to_numpy()
        error = np.abs(corr.moment(order)).max() * 0.05
        np.testing.assert_allclose(found, corr.moment(order), atol=error)


def test_predicted_odd_functions_are_those_measured():
    corr = correlators(200_000, orders=(1, 2, 3, 4, 5))
    fit = fitted(corr, ["cubic"])
    about = fit.correlators  # of the field less its mean
    for order in (3, 5):
        draws_of = (
            fit.predict(order)[:, :, 0].to_numpy().reshape(-1, len(about.moment(order)))
        )
        gap = draws_of.mean(axis=0) - about.moment(order)
        # G5 = Σ_10 K G3c, without G5c, which is of the next power.
        size = np.abs(about.moment(order)).max()
        assert np.abs(gap).max() < (0.1 if order == 3 else 0.25) * size


def test_truncation_and_orders_that_are_not_there_are_refused():
    corr = correlators(5000)
    fit = fitted(corr, ["cubic", "lambda_0"])
    with pytest.raises(nnft.UnavailableError, match="`truncation` is of actions whose"):
        fit.predict(6, truncation=True)
    with pytest.raises(nnft.SpecError, match=r"order 9 cannot be predicted; .*\[1, 2,"):
        fit.predict(9)
    with pytest.raises(nnft.SpecError, match=r"order 3 cannot be .*\[2, 4, 6, 8\]"):
        fitted(corr, ["lambda_0"]).predict(3)
    with pytest.raises(nnft.SpecError, match=r"needs connected .* order \[3\]"):
        fitted(
            nnft.correlators_from_draws(
                draws(5000) - draws(5000).mean(axis=0), X, (2, 4), kernel=KERNEL
            ),
            ["cubic"],
        )


def test_a_fit_with_odd_operators_is_saved(tmp_path):
    fit = fitted(correlators(5000), ["source", "cubic", "lambda_0"])
    fit.save(tmp_path / "fit.nc")
    again = nnft.load(tmp_path / "fit.nc")
    assert again.summary().equals(fit.summary())
    np.testing.assert_array_equal(again.predict(3), fit.predict(3))


def test_diagnose_names_an_odd_order_that_the_action_does_not_describe():
    def check(operators):
        checks = nnft.diagnose(fitted(corr, operators))
        return {one.name: one for one in checks}.get("odd_orders")

    corr = correlators(50_000)
    found = check(["lambda_0"])
    assert not found.passed
    assert "3-pt functions are not fitted" in found.message
    assert check(["cubic", "lambda_0"]) is None
    six = correlators(5000, orders=(1, 2, 3, 4, 5, 6))
    names = [c.name for c in nnft.diagnose(fitted(six, ["cubic", "lambda_0"]))]
    assert "odd_orders" not in names  # 5-pt functions are of a higher power, N^(−3/2)
    assert "prediction" not in names
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], size=(50_000, 1))
    corr = nnft.correlators_from_draws(signs * draws(50_000), X, (1, 2, 3, 4), width=10)
    assert check(["lambda_0"]).passed
