import math

import jax.numpy as jnp
import numpy as np
import pytest
from oracles.cubature import (
    box_cubature,
    erf_propagator,
    gaussian_product,
    monte_carlo,
    relu_propagator,
    uniform_ball,
)
from oracles.effective_theory import box_breaks, quad_pieces

import nnft_ppl as nnft
from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl.eft.integration.quadrature import Quadrature
from nnft_ppl.eft.measures import Ball, Box, Empirical, GaussianCutoff

CUTOFFS = np.geomspace(7.0, 1e5, 21)
LINE = np.array([[-0.7], [0.2], [1.1]])
PLANE = np.array([[-1.0, 1.0], [0.5, 0.3], [0.6, -1.0]])
SPACE = np.array([[-1.0, -1.0, -1.0], [1.0, 1.0, -1.0], [0.3, 0.5, 0.1]])
PLACES = {1: LINE, 2: PLANE, 3: SPACE}
HMS = {
    1: [[0.2], [0.4], [0.6], [0.8], [1.0], [1.2]],
    2: [[0.5, 0.5], [0.5, 1.0], [1.0, 0.5], [1.0, 1.0]],
    3: [[0.2, 0.2, 0.2], [1.0, 1.0, 0.2], [0.2, 1.0, 1.0], [1.0, 0.2, 1.0]],
}
MEASURES = [Box(), Ball(), GaussianCutoff()]
PROPAGATORS = {"relu-net": relu_propagator, "erf-net": erf_propagator}


def net(name="relu-net", dim=1, bias_std=1.0):
    return nnft.network(name, width=10, input_dim=dim, bias_std=bias_std)


def with_kernel(kernel):
    architecture = nnft.Architecture(
        name="toy",
        description="a kernel",
        prior=lambda hp: None,
        apply=lambda hp, params, x: x,
        kernel=lambda hp, x, y: kernel(x, y),
    )
    return nnft.Network.build(architecture, width=1, input_dim=1)


def ones(nodes):
    table = np.ones((1, len(nodes.weight)))
    return table, table


def squares(nodes):
    """Two pairs of legs: (i, i) on the left, (j, j) on the right."""
    return nodes.propagator**2, nodes.propagator**2


def cubes(nodes):
    return nodes.propagator**3, nodes.propagator**3


def two_derivatives(nodes):
    """K_i² on the left, |∇K_j|² on the right."""
    return nodes.propagator**2, np.sum(nodes.gradient**2, axis=1)


def flat(integrand):
    """(left, right) tables -> (node, l·r)."""

    def values(y):
        left, right = integrand(y)
        return np.einsum("ln,rn->nlr", left, right).reshape(y.shape[0], -1)

    return values


def assert_within_error(sums, truth, cutoff=0):
    """The error estimate bounds the true error, and is no idle bound."""
    error = np.abs(sums.values[cutoff] - truth)
    assert (error <= sums.error[cutoff]).all()
    assert sums.error[cutoff].max() < 1e-4 * np.abs(sums.values[cutoff]).max()


# Closed forms


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_volume_is_that_of_the_region(dim):
    ball = {1: 2.0, 2: math.pi, 3: 4 * math.pi / 3}[dim]
    unit = {Box(): 2.0**dim, Ball(): ball, GaussianCutoff(): (2 * math.pi) ** (dim / 2)}
    cutoffs = np.array([30.0, 0.1, 2.0])
    for measure, volume in unit.items():
        quadrature = Quadrature(net(dim=dim), PLACES[dim], cutoffs, measure)
        sums = quadrature.pair_sums(ones, "volume", slope=True)
        truth = (volume * cutoffs**dim)[:, None, None]
        assert (np.abs(sums.values - truth) <= sums.error).all()
        np.testing.assert_allclose(sums.values, truth, rtol=1e-8)
        np.testing.assert_allclose(sums.slope, dim * truth, rtol=1e-8)


@pytest.mark.parametrize("dim", [1, 2, 3, 7])
@pytest.mark.parametrize("cutoff", [0.7, 20.0, math.inf])
def test_a_soft_cutoff_of_gaussians_is_a_gaussian(dim, cutoff):
    x = np.zeros((2, dim))
    x[0, :2], x[1, 0] = [0.4, 0.9][:dim], -0.3
    network = net("gauss-net", dim)
    sums = Quadrature(network, x, [cutoff], GaussianCutoff()).pair_sums(squares, "f4")
    for i in range(2):
        for j in range(2):
            truth = gaussian_product(x[[i, i, j, j]], 4, cutoff)
            assert abs(sums.values[0, i, j] - truth) <= sums.error[0, i, j]
            assert sums.error[0, i, j] < 3e-5 * truth


@pytest.mark.parametrize("measure", MEASURES, ids=repr)
@pytest.mark.parametrize("dim", [2, 3])
def test_an_infinite_cutoff_is_all_of_space(measure, dim):
    x = PLACES[dim]
    quadrature = Quadrature(net("gauss-net", dim), x, [math.inf, 50.0], measure)
    sums = quadrature.pair_sums(squares, "f4", slope=True)
    truth = gaussian_product(x[[0, 0, 1, 1]], 4, math.inf)
    assert abs(sums.values[0, 0, 1] - truth) <= sums.error[0, 0, 1] < 1e-4 * truth
    assert (sums.slope[0] == 0).all()


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_homogeneous_kernel_gives_exact_powers(dim):
    quadrature = Quadrature(net(dim=dim, bias_std=0.0), HMS[dim], CUTOFFS)
    for factors, power in ((squares, dim + 4), (cubes, dim + 6)):
        sums = quadrature.pair_sums(factors, "f", slope=True)
        powers = (CUTOFFS / CUTOFFS[0])[:, None, None] ** power
        np.testing.assert_allclose(sums.values, sums.values[0] * powers, rtol=1e-12)
        np.testing.assert_allclose(sums.slope, power * sums.values, rtol=1e-6)


@pytest.mark.parametrize(("dim", "slope"), [(1, -4.962), (2, -5.957), (3, -6.947)])
def test_slopes_of_the_coupling_with_biases(dim, slope):
    """theory.md §8 quotes about these; they depend on the grid in the third place."""
    sums = Quadrature(net(dim=dim), HMS[dim], CUTOFFS).pair_sums(squares, "f4")
    logs = np.log(sums.values.reshape(len(CUTOFFS), -1))
    slopes = -np.polyfit(np.log(CUTOFFS), logs, 1)[0]
    assert slopes.min() < slope < slopes.max()
    assert slopes.mean() == pytest.approx(slope, abs=3e-3)


# Other quadratures, Monte Carlo


@pytest.mark.parametrize("name", sorted(PROPAGATORS))
@pytest.mark.parametrize("bias_std", [0.3, 1.0])
def test_one_dimension_agrees_with_adaptive_quadrature(name, bias_std):
    sums = Quadrature(net(name, 1, bias_std), LINE, [40.0]).pair_sums(squares, "f4")
    kernel = PROPAGATORS[name]

    def integrand(y):
        left, right = kernel(LINE[[0, 2]], np.array([[y]]), bias_std)[:, 0]
        return left**2 * right**2

    truth = quad_pieces(integrand, box_breaks(LINE[:, 0], 40.0))
    assert sums.values[0, 0, 2] == pytest.approx(truth, rel=1e-10)


@pytest.mark.parametrize("name", sorted(PROPAGATORS))
@pytest.mark.parametrize("bias_std", [0.0, 1.0])
def test_the_plane_agrees_with_adaptive_cubature(name, bias_std):
    sums = Quadrature(net(name, 2, bias_std), PLANE, [3.0, 1e4]).pair_sums(
        squares, "f4"
    )

    def integrand(y):
        table = PROPAGATORS[name](PLANE, y, bias_std) ** 2
        return table, table

    truth = box_cubature(flat(integrand), 2, 3.0, [*PLANE, [0.0, 0.0]], 1e-7)
    truth = truth.reshape(3, 3)
    scale = np.abs(truth).max()
    np.testing.assert_allclose(sums.values[0], truth, atol=2e-7 * scale, rtol=0)


@pytest.mark.parametrize("measure", [Box(), Ball()], ids=repr)
@pytest.mark.parametrize("name", sorted(PROPAGATORS))
def test_space_agrees_with_monte_carlo(measure, name):
    number, cutoff, bias_std = 200_000, 2.5, 0.4
    rng = np.random.default_rng(3)
    if measure == Box():
        y, volume = rng.uniform(-cutoff, cutoff, (number, 3)), (2 * cutoff) ** 3
    else:
        y = uniform_ball(rng, number, 3, cutoff)
        volume = 4 * np.pi / 3 * cutoff**3

    def integrand(y):
        table = PROPAGATORS[name](SPACE, y, bias_std) ** 2
        return table, table

    mean, error = monte_carlo(flat(integrand), y, volume)
    quadrature = Quadrature(net(name, 3, bias_std), SPACE, [cutoff, 1e3], measure)
    values = quadrature.pair_sums(squares, "f4").values[0].ravel()
    assert (np.abs(values - mean) < 4 * error).all()
    assert (error < 0.02 * np.abs(values)).all()


@pytest.mark.parametrize("number", [2, 5])
def test_many_dimensions_agree_with_monte_carlo(number):
    """Five dimensions: two inputs by reduction to their plane, five by Sobol points."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(number, 5))
    y = uniform_ball(rng, 100_000, 5, 2.0)

    def integrand(y):
        table = relu_propagator(x, y, 1.0) ** 2
        return table, table

    volume = 8 * np.pi**2 / 15 * 2.0**5
    mean, error = monte_carlo(flat(integrand), y, volume)
    quadrature = Quadrature(
        net(dim=5), x, [2.0], Ball(), tolerance=1e-5 if number == 2 else 5e-3
    )
    sums = quadrature.pair_sums(squares, "f4")
    values, ours = sums.values[0].ravel(), sums.error[0].ravel()
    assert (np.abs(values - mean) < 4 * error + ours).all()
    assert ours.max() < (1e-5 if number == 2 else 5e-3) * np.abs(values).max()


def test_a_sampled_error_bounds_the_error():
    """One plane in five dimensions, by panels or by Sobol points in all five."""
    x = np.eye(5)[:2]
    network = net(dim=5)
    exact = Quadrature(network, x, [2.0], Ball()).pair_sums(squares, "f4")
    sampled = Quadrature(network, x, [2.0], Ball(), sources=np.eye(5), tolerance=5e-3)
    sums = sampled.pair_sums(squares, "f4")
    difference = np.abs(sums.values[0, :2, :2] - exact.values[0])
    assert (difference <= sums.error[0, :2, :2]).all()
    assert sums.error.max() < 5e-3 * sums.values.max()


def test_a_large_cutoff_in_many_dimensions_keeps_its_error():
    """Λ^64 · Λ^4 is near 1e204: its square is no float, its error is."""
    x = np.random.default_rng(0).normal(size=(4, 64))
    quadrature = Quadrature(net(dim=64), x, [1e3], Ball(), tolerance=1e-2)
    sums = quadrature.pair_sums(squares, "f4", slope=True)
    assert (0 < sums.error).all()
    assert (sums.error < 1e-2 * sums.values.max()).all()
    np.testing.assert_allclose(sums.slope / sums.values, 68.0, atol=0.1)


def test_too_many_panels_give_way_to_sobol_points():
    x = np.random.default_rng(0).normal(size=(3, 10))
    many = Quadrature(net(dim=10), x, CUTOFFS, Ball())
    assert many._region.mesh.replicates > 1
    few = Quadrature(net(dim=10), x[:2], CUTOFFS, Ball())
    assert few._region.mesh.replicates == 1


def test_data_are_averaged_inside_the_cutoff():
    rng = np.random.default_rng(0)
    data = rng.normal(size=(5000, 4))
    x = rng.normal(size=(2, 4))
    cutoffs = [1.5, math.inf, 0.5]
    sums = Quadrature(net(dim=4), x, cutoffs, Empirical(data)).pair_sums(
        squares, "f4", slope=True
    )
    for row, cutoff in enumerate(cutoffs):
        inside = data[np.abs(data).max(axis=1) <= cutoff]
        table = relu_propagator(x, inside, 1.0) ** 2
        np.testing.assert_allclose(
            sums.values[row], table @ table.T / len(data), rtol=1e-12
        )
    assert (sums.slope == 0).all()
    assert (sums.error < 1e-13 * sums.values.max()).all()


# Errors


@pytest.mark.slow_but(
    "squares-2-Ball()",
    "squares-2-Box()",
    "squares-2-GaussianCutoff()",
    "squares-3-Ball()",
    "squares-3-Box()",
    "two_derivatives-2-Ball()",
    "two_derivatives-2-GaussianCutoff()",
)
@pytest.mark.parametrize("measure", MEASURES, ids=repr)
@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("factors", [squares, two_derivatives])
def test_the_error_estimate_bounds_the_error(measure, dim, factors):
    cutoffs = [3.0, 100.0]
    rough = Quadrature(net(dim=dim), PLACES[dim], cutoffs, measure, tolerance=1e-2)
    fine = Quadrature(net(dim=dim), PLACES[dim], cutoffs, measure, tolerance=1e-9)
    truth = fine.pair_sums(factors, "f").values
    for cutoff in range(2):
        assert_within_error(rough.pair_sums(factors, "f"), truth[cutoff], cutoff)


@pytest.mark.parametrize("x", [[40.0, 41.0], [250.0, 10.0]])
def test_a_kernel_much_narrower_than_its_distance_is_found(x):
    x = np.array([x, [0.0, 3.0]])
    sums = Quadrature(net("gauss-net", 2), x, [1e3]).pair_sums(squares, "f4")
    for i in range(2):
        truth = gaussian_product(x[[i] * 4], 4, math.inf)
        assert abs(sums.values[0, i, i] - truth) <= sums.error[0, i, i] < 1e-4 * truth


def test_a_kink_off_all_marks_is_in_the_error():
    network = with_kernel(lambda x, y: jnp.exp(-jnp.sum((y - x) ** 2)))

    def factors(nodes):
        kink = np.abs(nodes.position[:, 0] - 0.3123)
        return nodes.propagator * kink, nodes.propagator

    sums = Quadrature(network, [0.0], [2.0]).pair_sums(factors, "kink")

    def integrand(y):
        return abs(y - 0.3123) * np.exp(-2 * y**2)

    truth = quad_pieces(integrand, [-2.0, 0.0, 0.3123, 2.0])
    error = abs(sums.values[0, 0, 0] - truth)
    assert 0 < error <= sums.error[0, 0, 0] < 1e-4 * truth


def test_a_sum_that_cancels_has_an_error_of_the_size_of_its_terms():
    def odd(nodes):
        return nodes.propagator * nodes.position[:, 0], nodes.propagator

    sums = Quadrature(net("gauss-net"), [0.0], [5.0]).pair_sums(odd, "odd")
    assert abs(sums.values[0, 0, 0]) <= sums.error[0, 0, 0]
    assert 1e-17 < sums.error[0, 0, 0] < 1e-13


# Slopes


@pytest.mark.parametrize(
    ("measure", "dim"),
    [
        (Box(), 2),
        (Ball(), 2),
        (Ball(), 3),
        (GaussianCutoff(), 1),
        (GaussianCutoff(), 2),
    ],
    ids=repr,
)
def test_the_slope_agrees_with_a_difference(measure, dim):
    step = 1e-3
    cutoffs = 2.0 * np.exp([-step, 0.0, step])
    sums = Quadrature(net(dim=dim), PLACES[dim], cutoffs, measure).pair_sums(
        two_derivatives, "f", slope=True
    )
    difference = (sums.values[2] - sums.values[0]) / (2 * step)
    scale = np.abs(difference).max()
    np.testing.assert_allclose(sums.slope[1], difference, atol=1e-5 * scale, rtol=0)


@pytest.mark.slow_but("Box()")
@pytest.mark.parametrize("measure", MEASURES, ids=repr)
def test_the_slope_of_a_double_integral_agrees_with_a_difference(measure):
    step = 1e-3
    cutoffs = 2.0 * np.exp([-step, 0.0, step])
    quadrature = Quadrature(net("erf-net"), LINE, cutoffs, measure, tolerance=1e-6)
    sums = quadrature.double_sums(
        lambda nodes: nodes.propagator,
        lambda y, z: np.cos(y - 2 * z)[..., 0],
        lambda nodes: nodes.propagator,
        "bilocal",
        slope=True,
    )
    difference = (sums.values[2] - sums.values[0]) / (2 * step)
    scale = np.abs(difference).max()
    np.testing.assert_allclose(sums.slope[1], difference, atol=1e-5 * scale, rtol=0)


# Double integrals


@pytest.mark.parametrize("measure", [*MEASURES, Empirical(PLANE / 2)], ids=repr)
def test_a_double_integral_of_a_product_is_a_product(measure):
    dim = 1 if measure == GaussianCutoff() else 2
    quadrature = Quadrature(
        net("erf-net", dim), PLACES[dim][:2], [0.7, 0.4], measure, tolerance=1e-5
    )

    def side(nodes):
        return nodes.propagator

    double = quadrature.double_sums(
        side, lambda y, z: np.cos(y[..., 0]) * z[..., -1] ** 2, side, "double"
    )
    single = quadrature.pair_sums(
        lambda nodes: (
            nodes.propagator,
            np.stack([np.cos(nodes.position[:, 0]), nodes.position[:, -1] ** 2]),
        ),
        "single",
    )
    truth = single.values[:, :, None, 0] * single.values[:, None, :, 1]
    scale = np.abs(truth).max()
    np.testing.assert_allclose(double.values, truth, atol=1e-5 * scale, rtol=0)
    assert (np.abs(double.values - truth) <= double.error + 1e-6 * scale).all()


def test_a_double_integral_beyond_its_nodes_says_what_to_do():
    quadrature = Quadrature(net(dim=3), SPACE, CUTOFFS)
    with pytest.raises(UnavailableError, match=r"'bilocal' has .* sum of products"):
        quadrature.double_sums(
            lambda nodes: nodes.propagator,
            lambda y, z: np.cos(y - z)[..., 0],
            lambda nodes: nodes.propagator,
            "'bilocal'",
        )


# What is shared, and what is refused


def test_sources_beside_the_inputs_leave_the_panels_alone():
    sources = np.concatenate([PLANE, [[0.1, 0.2]]])
    alone = Quadrature(net(dim=2), PLANE, [3.0]).pair_sums(squares, "f4").values
    more = Quadrature(net(dim=2), PLANE, [3.0], sources=sources)
    np.testing.assert_allclose(
        more.pair_sums(squares, "f4").values[:, :3, :3], alone, rtol=1e-6
    )


def test_kernel_tables_are_shared_and_forgotten_when_memory_is_short(monkeypatch):
    first = Quadrature(net(dim=2), PLANE, [3.0])
    seen = []

    def count(nodes):
        seen.append(nodes)
        return squares(nodes)

    before = first.pair_sums(count, "a").values
    num_blocks = len(seen)
    np.testing.assert_array_equal(first.pair_sums(count, "b").values, before)
    assert seen[:num_blocks] == seen[num_blocks:]
    monkeypatch.setattr("nnft_ppl.eft.integration.node_blocks._MEMORY", 1 << 10)
    seen.clear()
    short = Quadrature(net(dim=2), PLANE, [3.0])
    np.testing.assert_array_equal(short.pair_sums(count, "a").values, before)
    np.testing.assert_array_equal(short.pair_sums(count, "b").values, before)
    assert len(set(map(id, seen))) == 2 * num_blocks


def test_the_order_of_the_cutoffs_is_kept():
    mixed = Quadrature(net(), LINE, [5.0, 2.0, 5.0]).pair_sums(squares, "f4").values
    np.testing.assert_array_equal(mixed[0], mixed[2])
    assert (mixed[1] < mixed[0]).all()


def test_inputs_that_differ_by_rounding_in_norm_are_one_mark():
    x = np.linspace(-1, 1, 6)[:, None]  # ±0.2 with different last digits
    mesh = Quadrature(net(), x, [7.0])._region.mesh
    assert mesh.num_nodes(0, 0) < 600


@pytest.mark.parametrize("measure", MEASURES, ids=repr)
def test_a_divergent_integral_is_refused_by_name(measure):
    quadrature = Quadrature(net(dim=2), PLANE, [math.inf], measure)
    with pytest.raises(SpecError, match=r"lambda_0 has no limit at cutoff inf"):
        quadrature.pair_sums(squares, "lambda_0")


def test_overflow_is_refused_at_its_cutoff():
    quadrature = Quadrature(net(), LINE, [10.0, 1e100])
    with pytest.raises(SpecError, match=r"kappa is not finite.*cutoff 1e\+100"):
        quadrature.pair_sums(cubes, "kappa")


def test_the_box_in_five_dimensions_points_to_other_measures():
    with pytest.raises(UnavailableError, match=r"input_dim 5; use the measure Ball"):
        Quadrature(net(dim=5), np.eye(5), [2.0])


def test_a_measure_of_another_dimension_is_refused():
    with pytest.raises(SpecError, match="does not fit inputs of dimension 1"):
        Quadrature(net(), LINE, [2.0], Empirical(PLANE))


def test_a_weight_without_the_symmetry_is_refused():
    def lopsided(nodes):
        left, right = squares(nodes)
        return left * nodes.position[:, 4] ** 2, right

    quadrature = Quadrature(net(dim=5), np.eye(5)[:2], [2.0], Ball())
    with pytest.raises(SpecError, match="odd one changes when y is rotated"):
        quadrature.pair_sums(lopsided, "odd one")


@pytest.mark.parametrize("tolerance", [0.0, -1.0, math.nan])
def test_a_tolerance_is_a_positive_number(tolerance):
    with pytest.raises(SpecError, match="expected a number > 0"):
        Quadrature(net(), LINE, [2.0], tolerance=tolerance)
