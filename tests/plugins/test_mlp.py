"""The plugin against the one-hidden-layer nets, quadrature by hand, and sampling."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers
from oracles.gaussian_products import mean_product as oracle
from scipy.special import erf, ndtr
from scipy.stats import t as student_t

import nnft_ppl as nnft
from nnft_ppl.testing.contract import GROUPS, check_results

NUMPY = {
    "relu": (lambda z: np.maximum(z, 0.0), (0.0,)),
    "erf": (erf, ()),
    "tanh": (np.tanh, ()),
    "gelu": (lambda z: z * ndtr(z), ()),
    "sin": (np.sin, ()),
    "identity": (lambda z: z, ()),
}
POINTS = np.array([[0.7, -0.4], [-0.2, 1.1], [1.4, 0.3]])


def mlp(**given):
    defaults = {"width": 20, "input_dim": 2, "weight_std": 1.2, "bias_std": 0.3}
    return nnft.network("mlp", **{**defaults, **given})


def kernel_by_hand(name, depth, points, weight_std=1.2, bias_std=0.3):
    """The layer recursion of theory.md §2 with the oracle's means."""
    function, kinks = NUMPY[name]
    count, dim = points.shape
    s = bias_std**2 + weight_std**2 * points @ points.T / dim
    for _ in range(depth):
        means = np.empty_like(s)
        for i in range(count):
            for j in range(count):
                q_u, q_v = s[i, i], s[j, j]
                rho = np.clip(s[i, j] / np.sqrt(q_u * q_v), -1.0, 1.0)
                rho = 1.0 if i == j else rho
                means[i, j] = oracle(function, function, q_u, q_v, rho, kinks)
        s = bias_std**2 + weight_std**2 * means
    return s


@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_one_hidden_layer_is_the_net_of_that_name(activation):
    given = {"width": 7, "input_dim": 2, "weight_std": 1.2, "bias_std": 0.3}
    net = mlp(width=7, depth=1, activation=activation)
    other = nnft.network(f"{activation}-net", **given)
    np.testing.assert_allclose(net.kernel(POINTS), other.kernel(POINTS), rtol=1e-14)
    exact = nnft.exact_correlators(net, POINTS, orders=(2, 4))
    expected = nnft.exact_correlators(other, POINTS, orders=(2, 4))
    np.testing.assert_allclose(exact.connected(4), expected.connected(4), rtol=1e-9)


@pytest.mark.slow_but("identity", "relu")
@pytest.mark.parametrize("activation", sorted(NUMPY))
def test_kernel_is_the_recursion_by_hand(activation):
    net = mlp(depth=3, activation=activation)
    expected = kernel_by_hand(activation, 3, POINTS)
    np.testing.assert_allclose(net.kernel(POINTS), expected, rtol=1e-11)
    assert net.kernel_error(POINTS).max() < 1e-11


@pytest.mark.slow
def test_kernel_error_bounds_the_error_of_deep_nets():
    """Large weights, nearly parallel inputs: there the series of tanh falls short."""
    x = np.array([[5.0, 1.0], [15.0, 1.0]])
    net = mlp(input_dim=2, depth=2, activation="tanh", weight_std=3.0, bias_std=0.0)
    expected = kernel_by_hand("tanh", 2, x, weight_std=3.0, bias_std=0.0)
    difference = np.abs(net.kernel(x) - expected)
    assert difference.max() > 1e-9
    assert (difference <= net.kernel_error(x) + 1e-11).all()


@pytest.mark.parametrize("scale", [1e4, 1e8, 1.7e9])
def test_gelu_is_relu_at_large_inputs(scale):
    x = scale * np.array([[1.0], [1.0001]])
    gelu, relu = (
        mlp(input_dim=1, depth=1, activation=name).kernel(x)
        for name in ("gelu", "relu")
    )
    np.testing.assert_allclose(gelu, relu, rtol=1e-6)


def test_the_kernel_error_of_a_jump_does_not_grow_from_layer_to_layer():
    """Of an input with itself, where a jump is infinitely steep in the covariance."""

    def step(z):
        return jnp.where(z > 0, 1.0, 0.0)

    error = mlp(depth=2, activation=step).kernel_error(POINTS[:2])
    assert error.max() < 1e-8


@pytest.mark.slow_but("tanh-2")
@pytest.mark.parametrize(("activation", "depth"), [("tanh", 2), ("gelu", 3)])
def test_kernel_is_the_two_point_function_of_wide_nets(activation, depth):
    net = mlp(width=150, depth=depth, activation=activation)
    x = POINTS[:2]
    measured = nnft.measure_correlators(
        net, x, orders=(2,), num_draws=4000, key=jax.random.key(1)
    )
    kernel = net.kernel(x)[np.triu_indices(2)]
    # The 2-pt function itself is off by O(1/width): some 1 % a layer at most.
    allowed = 4 * measured.error(2) + 2 * depth / net.width * np.abs(kernel).max()
    assert (np.abs(measured.moment(2) - kernel) < allowed).all()
    assert (measured.error(2) < 0.05 * np.abs(kernel).max()).all()


def test_a_users_function_is_an_activation():
    def bent(z):
        return jnp.tanh(z)

    own = mlp(activation=bent)
    assert own.options["activation"] == "bent"
    np.testing.assert_allclose(
        own.kernel(POINTS), mlp(activation="tanh").kernel(POINTS), rtol=1e-14
    )
    hard = nnft.Activation(
        name="hard", function=lambda z: jnp.clip(z, -1.0, 1.0), kinks=(-1.0, 1.0)
    )
    net, x = mlp(activation=hard, depth=1), POINTS[:2]
    s = 0.3**2 + 1.2**2 * x @ x.T / 2
    rho = s[0, 1] / np.sqrt(s[0, 0] * s[1, 1])
    clip = hard.function
    expected = oracle(
        lambda z: np.clip(z, -1, 1),
        lambda z: np.clip(z, -1, 1),
        *(s[0, 0], s[1, 1], rho, hard.kinks),
    )
    assert clip(2.0) == 1.0
    found = net.kernel(x)[0, 1]
    assert found == pytest.approx(0.3**2 + 1.2**2 * expected, rel=1e-11)


def weights(net, num_draws=40):
    def one(key):
        with handlers.seed(rng_seed=key):
            return net.prior()

    return jax.vmap(one)(jax.random.split(jax.random.key(3), num_draws))


@pytest.mark.slow_but("laplace-5.0-6.0")
@pytest.mark.parametrize(
    ("law", "freedom", "kurtosis"),
    [("uniform", 5.0, 9 / 5), ("laplace", 5.0, 6.0), ("student-t", 12.0, 3 * 10 / 8)],
)
def test_laws_have_the_variance_and_moments_they_declare(law, freedom, kurtosis):
    net = mlp(width=50, depth=2, weight_law=law, degrees_of_freedom=freedom)
    moment = net.readout().weight_moment
    assert moment(2) == pytest.approx(1.0)
    assert moment(4) == pytest.approx(kurtosis)
    params = weights(net)
    inner = np.asarray(params["W1"], dtype=float).ravel() * np.sqrt(50) / 1.2
    for order in (2, 4):
        error = (inner**order).std() / np.sqrt(inner.size)
        assert abs((inner**order).mean() - moment(order)) < 4 * error
    first = np.asarray(params["W0"], dtype=float).ravel() * np.sqrt(2) / 1.2
    error = (first**4).std() / np.sqrt(first.size)
    assert abs((first**4).mean() - 3) < 4 * error  # the first layer stays normal
    np.testing.assert_array_equal(net.kernel(POINTS), mlp().kernel(POINTS))
    assert net.hidden_layers() is None
    assert net.gaussian_readout() is None


@pytest.mark.filterwarnings("ignore::scipy.integrate.IntegrationWarning")
def test_moments_of_student_t_end_at_its_degrees_of_freedom():
    moment = mlp(weight_law="student-t", degrees_of_freedom=7.0).readout().weight_moment
    for order in (2, 4, 6):
        expected = student_t(7.0).moment(order) / student_t(7.0).var() ** (order / 2)
        assert moment(order) == pytest.approx(expected, rel=1e-7)  # SciPy integrates
    assert moment(8) == math.inf
    heavy = mlp(weight_law="student-t", degrees_of_freedom=3.0)
    assert heavy.has_kernel
    assert heavy.no_gp_limit is None
    assert heavy.readout().weight_moment(4) == math.inf


def test_student_t_of_infinite_variance_has_no_gaussian_limit():
    net = mlp(weight_law="student-t", degrees_of_freedom=2.0)
    assert "α-stable" in net.no_gp_limit
    assert net.readout().weight_moment(2) == math.inf
    assert net.neuron() is None
    with pytest.raises(nnft.UnavailableError, match=r"=2 ≤ 2 have infinite variance"):
        net.kernel(POINTS)


def bare_weights(freedom):
    """Draws of single weights of Student's t, as many as there are in 40 nets."""
    net = mlp(width=1000, depth=1, weight_law="student-t", degrees_of_freedom=freedom)
    values = np.asarray(weights(net)["W1"], dtype=float).ravel()
    return values * np.sqrt(1000) / 1.2


@pytest.mark.parametrize("freedom", [0.25, 1.0, 1.5, 2.0, 3.0, 7.0, 1e6])
def test_student_t_has_its_quantiles(freedom):
    """The number below a quantile is binomial, however heavy the tails."""
    law = student_t(freedom)
    found = bare_weights(freedom) * (law.std() if freedom > 2 else 1.0)
    assert np.isfinite(found).all()
    for level in (0.001, 0.1, 0.3, 0.5, 0.75, 0.99, 0.9995):
        below = (found < law.ppf(level)).mean()
        assert abs(below - level) < 4 * np.sqrt(level * (1 - level) / found.size)
    middle = (np.abs(found) < law.ppf(0.75)).mean()
    assert abs(middle - 0.5) < 4 * 0.5 / np.sqrt(found.size)


def test_student_t_of_finite_variance_has_variance_1():
    squares = bare_weights(7.0) ** 2
    assert abs(squares.mean() - 1) < 4 * squares.std() / np.sqrt(squares.size)
    # E w⁴ = 3 (ν − 2)/(ν − 4), which makes the error 2 / √(number).
    assert squares.std() == pytest.approx(2.0, rel=0.25)


@pytest.mark.slow_but("2-1", "4-1", "4-2")
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("order", [2, 4])
def test_without_variance_there_are_draws_but_no_correlators(depth, order):
    net = mlp(width=5, depth=depth, weight_law="student-t", degrees_of_freedom=1.5)
    key, message = jax.random.key(0), "have no moment of order 2, .*finite variance"
    for estimator in ("auto", "wick", "moments"):
        with pytest.raises(nnft.UnavailableError, match=message):
            nnft.measure_correlators(
                net, POINTS, order, num_draws=1000, key=key, estimator=estimator
            )
    with pytest.raises(nnft.UnavailableError, match=message):
        nnft.exact_correlators(net, POINTS, order)
    draws = nnft.sample_ensemble(net, POINTS, num_draws=64, key=key)
    assert np.isfinite(np.asarray(draws.values)).all()


@pytest.mark.slow
def test_contract_without_variance():
    net = mlp(
        width=10, input_dim=1, weight_law="student-t", degrees_of_freedom=1.5, depth=1
    )
    groups = {"structure", "declarations", "sampling", "limit"}
    rows = check_results(net, num_draws=2000, groups=groups)
    assert [str(row) for row in rows if not row.passed] == []
    checks = {row.check for row in rows}
    assert {"readout-weight-moments", "no-gaussian-limit"} <= checks
    assert "readout-two-point" not in checks


def test_widths_of_the_hidden_layers():
    net = mlp(width=10, depth=3, width_factors="1, 2,0.25")
    assert net.hidden_layers().widths == (10, 20, 2)
    assert weights(net, 1)["W2"].shape == (1, 20, 2)
    assert mlp(width=10, depth=2).hidden_layers().widths == (10, 10)
    assert mlp(width=1, depth=1, width_factors="0.1").hidden_layers().widths == (1,)
    assert net.with_width(20).hidden_layers().widths == (20, 40, 5)


def test_what_is_known_at_which_depth():
    assert mlp(depth=1).kernel_holds_at_every_width
    assert not mlp(depth=2).kernel_holds_at_every_width
    assert mlp(depth=2).gaussian_readout() is not None


@pytest.mark.slow
def test_inputs_of_any_shape_and_outputs_of_any_dimension():
    flat, image = mlp(input_dim=4), mlp(input_dim=(2, 2))
    x = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_allclose(
        image.kernel(x.reshape(3, 2, 2)), flat.kernel(x), rtol=1e-14
    )
    net = mlp(input_dim=(2, 2), output_dim=3)
    params = jax.tree.map(lambda leaf: leaf[0], weights(net, 1))
    assert net.apply(params, x.reshape(3, 2, 2).astype(np.float32)).shape == (3, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "`depth` is 0; expected a value between 1 and 100"),
        ({"activation": "cosine"}, "`activation` is 'cosine'; choose one of"),
        ({"activation": lambda z: z}, "has no name to be saved by"),
        ({"width_factors": "1,2,3"}, r"'1,2,3'; expected 2 numbers > 0 separated by"),
        ({"width_factors": "1,0"}, r"'1,0'; expected 2 numbers > 0"),
        ({"width_factors": "one,two"}, "expected 2 numbers > 0"),
        ({"weight_law": "cauchy"}, "`weight_law` is 'cauchy'; choose one of"),
        ({"degrees_of_freedom": 0.0}, "expected a value between 0.25 and"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(nnft.SpecError, match=message):
        mlp(**options)


def test_many_layers_compile_as_one():
    """Deep in the ordered phase all inputs look alike: K(x,y) → K(x,x)."""
    kernel = mlp(depth=100, activation="tanh", weight_std=0.8).kernel(POINTS)
    np.testing.assert_allclose(kernel, kernel[0, 0], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "depth"), [("sin", 1), ("tanh", 2), ("gelu", 3)]
)
def test_contract(activation, depth):
    net = nnft.network(
        "mlp", width=10, input_dim=1, bias_std=0.3, depth=depth, activation=activation
    )
    groups = set(GROUPS) - {"extremes"}  # `nnft check` runs these: depth 100
    rows = check_results(net, num_draws=4000, groups=groups)
    assert [str(row) for row in rows if not row.passed] == []
