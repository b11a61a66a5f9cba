"""How wide is wide enough: against closed forms, quadrature and sampled densities."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import integrate, stats

import nnft_ppl as nnft
from nnft_ppl.diagnostics.width.gp_distance import GPDistance
from nnft_ppl.diagnostics.width.law import WidthLaw
from nnft_ppl.diagnostics.width.required_width import required_width

ERF = nnft.network("erf-net", width=20, input_dim=2, bias_std=1.0)
X = np.random.default_rng(0).normal(size=(4, 2))


def without_knowledge(net: nnft.Network) -> nnft.Network:
    """The same random networks, of which nothing exact is known."""
    return nnft.Network(replace(net.architecture, neuron=None), net.hyperparameters)


def test_law_through_exact_distances_is_solved():
    widths = np.array([16.0, 32.0, 64.0, 128.0])
    distances = 3 / widths + 2 / widths**2
    law = WidthLaw.sampled(widths, distances, 1e-4 * distances)
    # 0.01 N² = 3 N + 2
    expected = (3 + np.sqrt(9 + 0.08)) / 0.02
    width, low, high = law.solve(0.01)
    assert width == pytest.approx(expected, rel=1e-3)
    assert low < width < high
    assert high - low < 0.01 * width


def test_interval_of_a_sampled_law_holds_the_truth_at_its_rate():
    generator, widths = np.random.default_rng(5), np.array([32.0, 64.0, 128.0])
    truth, error = 2 / widths, 0.02 * 2 / widths
    inside = 0
    for _ in range(300):
        law = WidthLaw.sampled(widths, truth + error * generator.normal(size=3), error)
        _, low, high = law.solve(0.01)
        inside += low <= 200 <= high
    # 90 %; the variance is only ever widened, so that it may be a little more.
    assert 0.86 <= inside / 300 <= 0.97


def test_bounds_of_the_leading_order_hold_the_error_and_the_next_order():
    law = WidthLaw.leading(distance=0.03, error=0.003, width=100, remainder=5.0)
    width, low, high = law.solve(0.01)
    assert width == pytest.approx(300)
    assert low < 270 < 330 < high


def test_distance_that_does_not_fall_is_said_to():
    widths = np.array([32.0, 64.0, 128.0])
    with pytest.raises(
        nnft.UnavailableError, match=r"no width is enough: .*does not fall"
    ):
        WidthLaw.sampled(widths, [0.30, 0.29, 0.295], [0.003] * 3)


def test_distance_lost_in_noise_is_said_to_be():
    with pytest.raises(nnft.UnavailableError, match="lost in the sampling error"):
        WidthLaw.sampled([32, 64, 128], [0.04, 0.02, 0.01], [0.005] * 3)


def test_total_variation_at_one_input_is_the_integral_of_hermite_polynomials():
    measures = GPDistance.at(np.array([[4.0]]), 1e-6)

    def half_mean(bracket):
        value, _ = integrate.quad(
            lambda z: abs(bracket(z)) * stats.norm.pdf(z), -12, 12, limit=400
        )
        return value / 2

    quartic = measures.total_variation(np.zeros(1), np.array([0.24 * 16])).value
    expected = half_mean(lambda z: 0.01 * (z**4 - 6 * z**2 + 3))
    assert quartic == pytest.approx(expected, rel=0.01)
    quadratic = measures.total_variation(np.array([0.02 * 4]), np.zeros(1)).value
    assert quadratic == pytest.approx(half_mean(lambda z: 0.01 * (z**2 - 1)), rel=0.01)
    relative = measures.relative_four_point(np.zeros(1), np.array([0.24 * 16])).value
    assert relative == pytest.approx(0.08)


def test_weights_give_the_distances_back():
    corr = nnft.exact_correlators(ERF, X, orders=(2, 4))
    measures = GPDistance.at(ERF.kernel(X), 1e-4)
    excess = np.full(10, 1e-3)
    both = np.concatenate([excess, corr.connected(4)])
    for measure in (measures.relative_four_point, measures.total_variation):
        found = measure(excess, corr.connected(4))
        assert found.weight @ both == pytest.approx(found.value, rel=1e-9)


@pytest.mark.slow
def test_total_variation_is_that_of_the_sampled_densities():
    """Given K̂ the outputs are normal: the density is a mixture, its distance a sum."""
    x, num_kernels = X[:2], 40_000
    net, generator = ERF.with_width(60), np.random.default_rng(1)
    kernel = net.kernel(x)
    weights = generator.normal(size=(num_kernels, 60, 2)) / np.sqrt(2)
    biases = generator.normal(size=(num_kernels, 60, 1))
    features = jax.scipy.special.erf(weights @ x.T + biases)
    features = np.asarray(features, np.float64)
    kernels = 1 + np.einsum("dja,djb->dab", features, features) / 60
    root = np.linalg.cholesky(kernel)
    fields = generator.normal(size=(4000, 2)) @ root.T
    inverse, determinant = np.linalg.inv(kernels), np.linalg.det(kernels)
    density = np.zeros(len(fields))
    for start in range(0, num_kernels, 1000):
        part = slice(start, start + 1000)
        form = np.einsum("fa,dab,fb->df", fields, inverse[part], fields)
        density += np.sum(
            np.exp(-form / 2) / np.sqrt(determinant[part])[:, None], axis=0
        )
    gaussian = np.einsum("fa,ab,fb->f", fields, np.linalg.inv(kernel), fields)
    ratio = (
        density / num_kernels * np.sqrt(np.linalg.det(kernel)) * np.exp(gaussian / 2)
    )
    gap = np.abs(ratio - 1) / 2
    corr = nnft.exact_correlators(net, x, orders=(2, 4))
    found = GPDistance.at(kernel, 1e-4).total_variation(np.zeros(3), corr.connected(4))
    error = gap.std() / np.sqrt(len(gap))
    # The next order of the Edgeworth series is of relative size 1/√N at most.
    assert abs(found.value - gap.mean()) < 4 * error + 0.15 * found.value


def test_rectified_chain_needs_five_over_the_tolerance():
    net = nnft.network("relu-net", width=20, input_dim=1)
    found = required_width(net, [0.2, 0.4, 1.0], 0.01)
    assert found.method == "exact"
    assert found.width == 500
    assert "from width 500 on" in found.message


def test_sampled_widths_agree_with_exact_cumulants():
    exact = required_width(ERF, X, 0.01)
    found = required_width(
        without_knowledge(ERF), X, 0.01, key=jax.random.key(1), num_draws=10_000
    )
    assert (exact.method, found.method) == ("exact", "sampled")
    for measure in exact.table.index:
        truth, row = exact.table.loc[measure], found.table.loc[measure]
        off = truth["width"] - row["width"]
        # On the side of the truth: widths go no lower than some, and there is no error.
        side = row["high"] - row["width"] if off > 0 else row["width"] - row["low"]
        assert abs(off) <= 4 * side / 1.645 + 1  # 90 % of a normal distribution


def test_a_data_set_is_judged_by_the_worst_of_its_groups():
    x = np.random.default_rng(2).normal(size=(12, 2))
    told = []
    found = required_width(
        ERF, x, 0.05, num_groups=3, group_size=2, progress=told.append
    )
    assert [len(group) for group in found.groups] == [2, 2, 2]
    assert [moment.num_draws for moment in told] == [1, 2, 3]
    assert {(moment.total, moment.unit) for moment in told} == {(3, "groups")}
    points = np.unique(x, axis=0)
    widths = [
        required_width(ERF, points[group], 0.05).table["width"].to_numpy()
        for group in found.groups
    ]
    np.testing.assert_array_equal(found.table["width"], np.max(widths, axis=0))


def shared_scale(declared: bool) -> nnft.Network:
    """All output weights share one random size: the 4-pt function does not fall."""
    base = ERF.architecture

    def prior(hp):
        scale = numpyro.sample("scale", dist.Gamma(4.0, 4.0))
        return base.prior(hp) | {"scale": scale}

    readout = base.readout(ERF.hyperparameters)
    architecture = replace(
        base,
        name="shared",
        prior=prior,
        apply=lambda hp, p, x: p["scale"] ** 0.5 * base.apply(hp, p, x),
        kernel=None,
        neuron=None,
        readout=lambda hp: replace(
            readout,
            bias_std=0.0,
            features=lambda p, x: p["scale"] ** 0.5 * readout.features(p, x),
        ),
        no_gp_limit=(lambda hp: "all output weights share a scale")
        if declared
        else None,
    )
    return nnft.Network.build(architecture, width=20, input_dim=2)


@pytest.mark.slow
def test_ensemble_without_gaussian_limit_is_noticed():
    with pytest.raises(nnft.UnavailableError, match="output weights share a scale"):
        required_width(shared_scale(declared=True), X, 0.01)
    with pytest.raises(nnft.UnavailableError, match="there is no Gaussian limit"):
        required_width(shared_scale(declared=False), X[:2], 0.01)


def test_bounds_hold_the_error_of_the_average_over_fields():
    """One input, one rectified layer: ½·(15/24)·E|He₄|/tolerance, by quadrature."""
    mean, _ = integrate.quad(
        lambda z: abs(z**4 - 6 * z**2 + 3) * stats.norm.pdf(z), -12, 12, limit=400
    )
    net = nnft.network("relu-net", width=20, input_dim=1)
    row = required_width(net, [0.7], 0.001).table.loc["total variation distance"]
    assert row["low"] <= 0.5 * 15 / 24 * mean / 0.001 <= row["high"]
    assert row["high"] - row["low"] < 0.03 * row["width"]


def test_infinite_four_point_function_is_refused():
    net = nnft.network(
        "mlp", width=20, input_dim=1, weight_law="student-t", degrees_of_freedom=3.0
    )
    with pytest.raises(nnft.UnavailableError, match="infinite at every width"):
        required_width(net, [0.5, 1.0], 0.01)


def test_input_where_the_field_is_zero_is_named():
    net = nnft.network("relu-net", width=20, input_dim=1)
    with pytest.raises(nnft.SpecError, match="the field is 0 there"):
        required_width(net, [0.0, 1.0], 0.01)


def test_several_outputs_are_refused():
    net = nnft.network("relu-net", width=20, input_dim=1, output_dim=2)
    with pytest.raises(nnft.SpecError, match="build the network with output_dim=1"):
        required_width(net, [0.5, 1.0], 0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tolerance": 0.0}, "`tolerance` is 0.0; expected a number between 0 and 1"),
        ({"tolerance": "1 %"}, "`tolerance` is '1 %'"),
        ({"group_size": 0}, "`group_size` is 0; expected a whole number"),
        ({"group_size": 9}, "`group_size` is 9; expected at most 8"),
        ({"num_groups": 1.5}, "`num_groups` is 1.5"),
        ({"widths": (8, 16, 8)}, "expected at least three different ones"),
        ({"num_draws": 10}, "`num_draws` is 10"),
    ],
    ids=str,
)
def test_unusable_arguments_are_refused(changes, message):
    arguments = {"tolerance": 0.01} | changes
    with pytest.raises(nnft.SpecError, match=message):
        required_width(ERF, X, **arguments)


@pytest.mark.slow_but("tanh-255")
@pytest.mark.parametrize(
    ("activation", "x", "width"),
    [
        ("tanh", 10 * np.array([[1.0, 0.2], [0.6, 0.9]]), 11),
        ("tanh", 255 * np.array([[1.0, 0.2], [0.6, 0.9]]), 11),
        (jnp.sign, np.array([[1.0, 0.2], [0.6, 0.9]]), 11),
        (jnp.abs, np.array([[1.0, 0.2], [0.6, 0.9]]), 40),
        (lambda z: jnp.where(z > 0, 1.0, 0.0), np.array([[0.8, 0.1], [0.3, -0.9]]), 15),
    ],
    ids=["tanh-10", "tanh-255", "sign", "abs", "step"],
)
def test_what_a_kernel_misses_is_no_distance(activation, x, width):
    """Widths of the same networks sampled, or of a closed form."""
    if not isinstance(activation, str):
        activation = nnft.Activation(name="own", function=activation)
    bias_std = 0.3 if width == 15 else 0.0
    net = nnft.network(
        "mlp", width=1, input_dim=2, depth=1, activation=activation, bias_std=bias_std
    )
    assert required_width(net, x, 0.05).width == width


@pytest.mark.slow
def test_a_deep_step_has_a_gaussian_limit():
    def step(z):
        return jnp.where(z > 0, 1.0, 0.0)

    net = nnft.network(
        "mlp", width=1, input_dim=2, depth=3, activation=step, bias_std=0.3
    )
    found_at = np.array([[0.8, 0.1], [0.3, -0.9]])
    found = required_width(net, found_at, 0.05)
    # 20 (18 to 22) by a kernel that was off by 0.3 %: E f² is 0.59 at every width.
    np.testing.assert_allclose(np.diag(net.kernel(found_at)), 0.59, rtol=1e-12)
    assert 16 <= found.width <= 20


def test_a_kernel_that_is_hardly_known_is_not_compared_with():
    def doubtful(hp, x, y):
        return 0.05 * jnp.ones(())

    def wrong(hp, x, y):
        return 1.05 * ERF.architecture.kernel(hp, x, y)

    known = replace(ERF.architecture, neuron=None)
    unsure = replace(known, kernel=wrong, kernel_error=doubtful)
    x, key = X[:2], jax.random.key(3)
    found = required_width(
        nnft.Network(unsure, ERF.hyperparameters), x, 0.05, key=key, num_draws=4000
    )
    expected = required_width(ERF, x, 0.05).width
    low, high = found.interval
    assert 0.8 * low <= expected <= 1.2 * high
