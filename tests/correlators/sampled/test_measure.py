"""Measured correlators against exact ones; standard errors are the tolerance."""

import dataclasses
from functools import cache
from itertools import combinations

import jax
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl.correlators.sampled.plan import batch_size
from nnft_ppl.correlators.sampled.sums import _effective_batches
from nnft_ppl.correlators.symmetric import positions

CASES = {
    "relu": ("relu-net", 20, 1.0, 0.0, (0.2, 0.4, 0.6, 0.8, 1.0, 1.2)),
    "erf": ("erf-net", 5, 1.0, 1.0, (-1.0, -0.6, -0.2, 0.2, 0.6, 1.0)),
    "gauss": ("gauss-net", 50, 0.5, 0.3, (-1.0, -0.2, 0.5)),
}
ESTIMATORS = ("conditional", "wick", "moments")


def case(name):
    architecture, width, weight_std, bias_std, x = CASES[name]
    net = nnft.network(
        architecture, width=width, input_dim=1, weight_std=weight_std, bias_std=bias_std
    )
    return net, np.array(x)


@cache
def exact(name):
    return nnft.exact_correlators(*case(name), (2, 4, 6, 8))


@cache
def measured(name, estimator, num_draws=100_000):
    return nnft.measure_correlators(
        *case(name),
        (2, 4, 6),
        num_draws=num_draws,
        key=jax.random.key(11),
        estimator=estimator,
    )


@pytest.mark.slow_but(
    "2-erf-moments",
    "2-gauss-moments",
    "2-relu-moments",
    "4-erf-conditional",
    "4-erf-moments",
    "4-erf-wick",
    "4-gauss-conditional",
    "4-gauss-moments",
    "4-gauss-wick",
    "4-relu-conditional",
    "4-relu-moments",
    "4-relu-wick",
    "6-erf-conditional",
    "6-erf-moments",
    "6-erf-wick",
    "6-gauss-conditional",
    "6-gauss-moments",
    "6-gauss-wick",
    "6-relu-conditional",
    "6-relu-moments",
    "6-relu-wick",
)
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("order", [2, 4, 6])
def test_every_estimator_agrees_with_the_exact_cumulants(name, estimator, order):
    found, true = measured(name, estimator), exact(name)
    z = (found.connected(order) - true.connected(order)) / found.connected_error(order)
    assert np.abs(z).max() < 4.5
    z = (found.moment(order) - true.moment(order)) / found.error(order)
    assert np.abs(z).max() < 4.5


SMALL_EIGHT = {
    "relu": ("relu-net", 200, 0.0, (0.5, 1.0)),
    "erf": ("erf-net", 5, 1.0, (-1.0, 0.2, 0.6)),
}


@pytest.mark.slow_but("relu-moments", "relu-wick")
@pytest.mark.parametrize(
    ("name", "estimator"),
    [*(("relu", estimator) for estimator in ESTIMATORS), ("erf", "conditional")],
)
def test_order_eight_agrees_with_the_exact_cumulants(name, estimator):
    architecture, width, bias_std, x = SMALL_EIGHT[name]
    net = nnft.network(architecture, width=width, input_dim=1, bias_std=bias_std)
    true = nnft.exact_correlators(net, x, (8,))
    found = nnft.measure_correlators(
        net, x, (8,), num_draws=100_000, key=jax.random.key(4), estimator=estimator
    )
    z = (found.connected(8) - true.connected(8)) / found.connected_error(8)
    assert np.abs(z).max() < 4.5
    z = (found.moment(8) - true.moment(8)) / found.error(8)
    assert np.abs(z).max() < 4.5
    if estimator == "conditional":
        # Small enough that Σ_35 G4c G4c, were it left in or subtracted twice, shows.
        assert (found.connected_error(8) < 0.2 * np.abs(squares(true))).all()


def squares(correlators):
    """Σ_35 G4c G4c."""
    table = correlators.entries(8)
    total = np.zeros(len(table))
    for others in combinations(range(1, 8), 3):
        block = [0, *others]
        rest = [leg for leg in range(8) if leg not in block]
        left, right = (
            correlators.connected(4)[positions(len(correlators.x), table[:, legs])]
            for legs in (block, rest)
        )
        total += left * right
    return total


@pytest.mark.parametrize("name", ["relu", "erf"])
def test_conditional_errors_are_small_enough_to_exclude_a_factor_of_two(name):
    found, true = measured(name, "conditional"), exact(name)
    for order, limit in ((2, 0.01), (4, 0.02), (6, 0.1)):
        error = found.connected_error(order) / np.abs(true.connected(order)).max()
        assert np.median(error) < limit


@pytest.mark.parametrize(
    ("name", "wick_ratio", "conditional_ratio"),
    # theory.md §3, entries 0000, 0123, 0055, 5555: ranges over the four entries.
    [("relu", (2.5, 2.5), (177, 177)), ("erf", (3.3, 3.8), (7e3, 6e4))],
)
def test_variances_stand_in_the_published_ratios(name, wick_ratio, conditional_ratio):
    legs = np.array([(0, 0, 0, 0), (0, 1, 2, 3), (0, 0, 5, 5), (5, 5, 5, 5)])
    which = positions(6, legs)
    raw = measured(name, "moments").error(4)[which] ** 2
    for estimator, (low, high) in (
        ("wick", wick_ratio),
        ("conditional", conditional_ratio),
    ):
        ratio = raw / measured(name, estimator).connected_error(4)[which] ** 2
        # Raw fourth moments have heavy tails: their variance is known to 15 %.
        assert (ratio > 0.85 * low).all()
        assert (ratio < 1.15 * high).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_reported_errors_are_the_spread_over_ensembles(estimator):
    net = nnft.network("erf-net", width=3, input_dim=1, bias_std=0.5)
    x = np.array([0.5, 1.5])
    true = nnft.exact_correlators(net, x, (2, 4, 6))
    z = []
    for seed in range(12):
        found = nnft.measure_correlators(
            net,
            x,
            (2, 4, 6),
            num_draws=4000,
            key=jax.random.key(seed),
            estimator=estimator,
        )
        z.append(
            [
                (found.connected(k) - true.connected(k))[1]
                / found.connected_error(k)[1]
                for k in (2, 4, 6)
            ]
        )
    chi_squared = np.sum(np.square(z), axis=0)
    # 0.1 % and 99.9 % points of chi-squared with 12 degrees of freedom; an error wrong
    # by a factor of 2 moves it fourfold.
    assert (chi_squared > 2.2).all()
    assert (chi_squared < 32.9).all()


def test_full_covariance_gives_the_chi_squared_of_its_rank():
    found, true = measured("erf", "conditional"), exact("erf")
    residual = found.connected(4) - true.connected(4)
    size = np.sqrt(np.diag(found.covariance(4)))
    value, vector = np.linalg.eigh(found.covariance(4) / np.outer(size, size))
    keep = value > 1e-4 * value[-1]  # what float32 second moments resolve well
    chi_squared = np.sum((vector.T @ (residual / size))[keep] ** 2 / value[keep])
    freedom = keep.sum()
    assert freedom >= 5
    assert abs(chi_squared - freedom) < 4 * np.sqrt(2 * freedom)


def test_relu_covariance_has_rank_one():
    value = np.linalg.eigvalsh(measured("relu", "conditional").covariance(4))
    assert value[-2] < 1e-6 * value[-1]


def test_block_size_changes_nothing_beyond_rounding():
    net, x = case("erf")
    runs = [
        nnft.measure_correlators(
            net, x, (2, 4), num_draws=3001, key=jax.random.key(0), block_size=size
        )
        for size in (1, 1024, None)
    ]
    for run in runs[1:]:
        for order in (2, 4):
            gap = run.connected(order) - runs[0].connected(order)
            assert (np.abs(gap) < 1e-3 * run.connected_error(order)).all()


def test_the_ensemble_is_the_one_that_sample_ensemble_draws():
    net, x = case("erf")
    arguments = {"num_draws": 1000, "key": jax.random.key(5), "generator": "jax"}
    values = nnft.sample_ensemble(net, x, **arguments).values[..., 0].astype(float)
    found = nnft.measure_correlators(net, x, (2,), estimator="moments", **arguments)
    rows, columns = found.entries(2).T
    products = values[:, rows] * values[:, columns]
    np.testing.assert_allclose(found.connected(2), products.mean(axis=0), rtol=1e-5)
    error = products.std(axis=0, ddof=1) / np.sqrt(1000)
    np.testing.assert_allclose(found.error(2), error, rtol=1e-3)


@pytest.mark.slow_but("conditional")
@pytest.mark.parametrize("estimator", ["conditional", "wick"])
def test_without_a_kernel_it_is_measured_first(estimator):
    net, x = case("erf")
    blind = nnft.Network(
        dataclasses.replace(net.architecture, kernel=None), net.hyperparameters
    )
    found = nnft.measure_correlators(
        blind,
        x,
        (2, 4, 6),
        num_draws=50_000,
        key=jax.random.key(1),
        estimator=estimator,
    )
    true = exact("erf")
    for order in (2, 4, 6):
        z = (found.connected(order) - true.connected(order)) / found.connected_error(
            order
        )
        assert np.abs(z).max() < 4.5


def test_auto_takes_the_conditional_route_only_with_a_readout():
    net, x = case("relu")
    assert measured("relu", "auto", 1000).estimator == "conditional"
    plain = dataclasses.replace(net.architecture, readout=None, neuron=None)
    found = nnft.measure_correlators(
        nnft.Network(plain, net.hyperparameters),
        x,
        (2,),
        num_draws=500,
        key=jax.random.key(0),
    )
    assert found.estimator == "wick"
    with pytest.raises(nnft.UnavailableError, match="has no linear readout"):
        nnft.measure_correlators(
            nnft.Network(plain, net.hyperparameters),
            x,
            (2,),
            num_draws=500,
            key=jax.random.key(0),
            estimator="conditional",
        )


def test_tiny_inputs_lose_no_digits():
    net, x = case("relu")
    scale = 1e-5
    found = nnft.measure_correlators(
        net, scale * x, (2, 4, 6), num_draws=2000, key=jax.random.key(11)
    )
    same = nnft.measure_correlators(
        net, x, (2, 4, 6), num_draws=2000, key=jax.random.key(11)
    )
    for order in (2, 4, 6):
        np.testing.assert_allclose(
            found.connected(order), scale**order * same.connected(order), rtol=1e-4
        )


def test_heavy_tails_are_flagged_where_sampling_is_hopeless():
    hopeless = nnft.network("gauss-net", width=2, input_dim=1, bias_std=1.0)
    found = nnft.measure_correlators(
        hopeless,
        [-0.01, 0.01],
        (2, 4),
        num_draws=20_000,
        key=jax.random.key(0),
        estimator="moments",
    )
    assert found.heavy_tailed(4).all()
    assert not measured("erf", "moments").heavy_tailed(4).any()
    assert not exact("erf").heavy_tailed(4).any()


@pytest.mark.parametrize("x", [5.0, 6.0])
def test_a_sample_that_misses_the_tail_altogether_is_flagged(x):
    """gauss-net far out: no network hits the tail and every batch looks alike."""
    net = nnft.network("gauss-net", width=20, input_dim=1, bias_std=1.0)
    found = nnft.measure_correlators(
        net, [x], (2, 4), num_draws=20_000, key=jax.random.key(0)
    )
    # Without the flag: G4c = 3 with a tiny error where it is 10^28 and more.
    assert found.connected_error(4)[0] < 0.01 * found.connected(4)[0]
    assert nnft.exact_correlators(net, [x], (2, 4)).connected(4)[0] > 1e25
    assert found.heavy_tailed(4).all()


@pytest.mark.slow_but("moments")
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_kernel_that_is_a_poor_quadrature_is_not_taken_for_the_two_point_function(
    estimator,
):
    """A steep tanh at inputs nearly parallel: the kernel's series cannot follow it."""
    net = nnft.network(
        "mlp",
        width=100,
        input_dim=1,
        depth=1,
        activation="tanh",
        weight_std=50.0,
        bias_std=5.0,
    )
    x = [0.5, 0.55]
    assert net.kernel_error(x)[0, 1] > 2e-3 * net.kernel(x)[0, 1]
    true = nnft.exact_correlators(net, x)
    found = nnft.measure_correlators(
        net, x, num_draws=20_000, key=jax.random.key(0), estimator=estimator
    )
    for order in (2, 4):
        gap = found.connected(order) - true.connected(order)
        assert (np.abs(gap) < 4 * found.connected_error(order)).all()
        if estimator == "conditional":
            assert not found.heavy_tailed(order).any()


def test_fourth_powers_beyond_float32_count_as_a_heavy_tail():
    powers = np.array([[1e30], [np.inf], [np.inf]])
    assert _effective_batches(20_000, np.array([1.0]), powers)[0] == 0


def test_effective_batches_see_one_outlier_on_a_large_mean():
    values = np.full(20_000, -1.0)
    values[7] = 100.0
    powers = np.array([[np.sum(values**k)] for k in (2, 3, 4)])
    found = _effective_batches(20_000, np.array([values.mean()]), powers)
    assert found[0] == pytest.approx(1, abs=0.1)
    normal = 5 + np.random.default_rng(0).normal(size=20_000)
    powers = np.array([[np.sum(normal**k)] for k in (2, 3, 4)])
    found = _effective_batches(20_000, np.array([normal.mean()]), powers)
    assert found[0] == pytest.approx(20_000 / 3, rel=0.05)


def test_a_large_output_bias_costs_no_digits():
    net = nnft.network("erf-net", width=20, input_dim=1, weight_std=1e-3, bias_std=1.0)
    x = [0.3, 1.0]
    found = nnft.measure_correlators(
        net, x, (2, 4, 6), num_draws=20_000, key=jax.random.key(0)
    )
    true = nnft.exact_correlators(net, x, (2, 4, 6))
    for order in (2, 4, 6):
        z = (found.connected(order) - true.connected(order)) / found.connected_error(
            order
        )
        assert np.abs(z).max() < 4.5
    assert found.connected_error(4)[0] < 0.05 * true.connected(4)[0]


def test_an_input_where_the_field_vanishes_is_no_trouble():
    net = nnft.network("relu-net", width=20, input_dim=1)
    found = nnft.measure_correlators(
        net, [0.0, 0.5, 1.0], (2, 4), num_draws=10_000, key=jax.random.key(1)
    )
    assert found.connected(4)[0] == 0
    assert not found.heavy_tailed(4).any()


@pytest.mark.slow
def test_small_ensembles_are_unbiased_without_a_kernel():
    """The factors of the central moments matter when networks are few."""
    net = nnft.network("erf-net", width=3, input_dim=1, bias_std=0.5)
    blind = nnft.Network(
        dataclasses.replace(net.architecture, kernel=None), net.hyperparameters
    )
    true = nnft.exact_correlators(net, [0.8], (2, 4)).connected(4)[0]
    found = np.array(
        [
            nnft.measure_correlators(
                blind, [0.8], (2, 4), num_draws=6, key=jax.random.key(seed)
            ).connected(4)[0]
            for seed in range(400)
        ]
    )
    error = found.std() / np.sqrt(len(found))
    assert error < 0.06 * true  # the missing factor 6/5 would be 3 errors or more
    assert abs(found.mean() - true) < 3 * error


def test_without_a_kernel_the_gaussian_moment_is_of_the_measured_one():
    net, x = case("erf")
    blind = nnft.Network(
        dataclasses.replace(net.architecture, kernel=None), net.hyperparameters
    )
    found = nnft.measure_correlators(
        blind, x, (2, 4), num_draws=20_000, key=jax.random.key(0)
    )
    np.testing.assert_allclose(
        found.gaussian_moment(4), exact("erf").gaussian_moment(4), rtol=0.02
    )


def test_batches_leave_enough_means_for_the_covariance():
    for num_draws in (10**3, 10**5, 10**6, 10**8):
        batch = batch_size(num_draws, 609, 2**17)
        assert 2**17 % batch == 0
        assert batch == 1 or num_draws // batch >= 8192


def test_exact_covariance_is_zero():
    assert not exact("relu").covariance(4).any()
    assert (exact("relu").connected_error(4) < 1e-10).all()


@pytest.mark.parametrize("orders", [(9,), (2, 10), (0,), (-2, 5)])
def test_unsupported_orders_are_refused(orders):
    net, x = case("relu")
    with pytest.raises(
        nnft.SpecError, match="is not supported; choose among 1, 2, 3, 4"
    ):
        nnft.exact_correlators(net, x, orders)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"num_draws": np.nan}, "`num_draws` is nan"),
        ({"num_draws": np.inf}, "`num_draws` is inf"),
        ({"num_draws": None}, "`num_draws` is None"),
        ({"num_draws": "abc"}, "`num_draws` is 'abc'"),
        ({"block_size": 0}, "`block_size` is 0"),
        ({"block_size": "a"}, "`block_size` is 'a'"),
        ({"block_size": 2.5}, "`block_size` is 2.5"),
        ({"orders": (4.0,)}, "order 4.0 in `orders` is not supported"),
        ({"orders": None}, "`orders` is empty"),
        ({"x": [1e39, 1.0]}, "is beyond float32"),
        ({"x": [1.0, 1.0 + 1e-12]}, "two inputs are equal in float32"),
    ],
)
def test_arguments_of_the_wrong_type_are_refused(arguments, match):
    net, x = case("relu")
    given = {"x": x, "num_draws": 10**4, "key": jax.random.key(0), **arguments}
    with pytest.raises(nnft.SpecError, match=match):
        nnft.measure_correlators(net, **given)


def test_one_order_may_be_given_as_a_number():
    net, x = case("relu")
    assert nnft.exact_correlators(net, x, 4).orders == (2, 4)


def test_bad_input_is_refused_before_any_work():
    net, x = case("relu")
    key = jax.random.key(0)
    with pytest.raises(
        nnft.SpecError, match="`num_draws` is 147, too small for the cov"
    ):
        nnft.measure_correlators(net, x, (2, 4), num_draws=147, key=key)
    with pytest.raises(nnft.SpecError, match="`estimator` is 'best'; choose one of"):
        nnft.measure_correlators(net, x, num_draws=10**4, key=key, estimator="best")
    with pytest.raises(nnft.SpecError, match=r"input \[0.2\] is given more than once"):
        nnft.measure_correlators(net, [0.2, 0.2], num_draws=10**4, key=key)
    with pytest.raises(nnft.SpecError, match="inputs must be finite"):
        nnft.exact_correlators(net, [0.2, np.nan])
    with pytest.raises(nnft.SpecError, match="correlator entries up to order"):
        nnft.exact_correlators(net, np.arange(1, 31), (6,))
    with pytest.raises(nnft.SpecError, match="`orders` is empty"):
        nnft.exact_correlators(net, x, ())
    with pytest.raises(nnft.SpecError, match="order 6 is not among the orders"):
        nnft.exact_correlators(net, x, (2, 4)).connected(6)
    many = nnft.network("relu-net", width=2, input_dim=1, output_dim=5)
    with pytest.raises(nnft.SpecError, match="6 inputs with 5 outputs each have"):
        nnft.measure_correlators(many, x, num_draws=10**4, key=key)
    with pytest.raises(nnft.SpecError, match="6 inputs with 5 outputs each have"):
        nnft.exact_correlators(many, x)
