import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from oracles import deep_networks as oracle

import nnft_ppl as nnft
from nnft_ppl import (
    Activation,
    Architecture,
    Correlators,
    HiddenLayers,
    Network,
    Readout,
    SpecError,
    UnavailableError,
    exact_correlators,
    network,
)
from nnft_ppl.correlators.deep.layer_recursion import LayerStep
from nnft_ppl.correlators.deep.pair_second_order import pair_second_order
from nnft_ppl.correlators.deep.recursion import (
    pair_recursion,
    recursion_correlators,
    recursion_error,
)
from nnft_ppl.correlators.deep.second_order import second_order
from nnft_ppl.correlators.symmetric import entries, positions

ACTIVATIONS = {
    "tanh": Activation(name="tanh", function=jnp.tanh),
    "erf": Activation(name="erf", function=jax.scipy.special.erf),
    "relu": Activation(
        name="relu", function=lambda z: jnp.maximum(z, 0.0), homogeneity=1, kinks=(0.0,)
    ),
    "linear": Activation(name="linear", function=lambda z: z, homogeneity=1),
    "step": Activation(
        name="step", function=lambda z: jnp.where(z > 0, 1.0, 0.0), homogeneity=0
    ),
}
NUMPY = {
    "tanh": np.tanh,
    "erf": scipy.special.erf,
    "relu": lambda z: np.maximum(z, 0.0),
    "linear": lambda z: z,
}
PLANE = np.array([[0.8, -0.3], [-0.5, 0.6], [0.2, 0.9]])
HMS_RELU = 0.2 * np.arange(1, 7)[:, None]


def deep_net(
    name,
    widths,
    *,
    input_dim=2,
    weight_std=1.3,
    bias_std=0.4,
    output_dim=1,
    moment=None,
):
    def covariance(hp):
        return lambda x, y: (
            hp.bias_std**2 + hp.weight_std**2 * jnp.dot(x, y) / hp.input_dim
        )

    architecture = Architecture(
        name="deep",
        description="a fully connected net that is never drawn",
        prior=lambda hp: {},
        apply=lambda hp, params, x: x,
        readout=lambda hp: Readout(
            features=lambda params, x: x,
            weight_std=hp.weight_std,
            bias_std=hp.bias_std,
            weight_moment=moment,
        ),
        hidden_layers=lambda hp: HiddenLayers(
            covariance=covariance(hp),
            widths=widths,
            activation=ACTIVATIONS[name],
            weight_std=hp.weight_std,
            bias_std=hp.bias_std,
        ),
    )
    return Network.build(
        architecture,
        width=widths[-1],
        input_dim=input_dim,
        weight_std=weight_std,
        bias_std=bias_std,
        output_dim=output_dim,
    )


def first_kernel(x, weight_std=1.3, bias_std=0.4):
    return bias_std**2 + weight_std**2 * x @ x.T / x.shape[1]


def unpacked(correlators, order):
    size = len(correlators.x)
    every = np.indices((size,) * order).reshape(order, -1).T
    values = correlators.connected(order)[positions(size, every)]
    return values.reshape((size,) * order)


@pytest.mark.slow_but("0.0-relu", "1.0-erf", "1.0-relu")
@pytest.mark.parametrize("name", ["erf", "relu"])
@pytest.mark.parametrize("bias_std", [0.0, 1.0])
def test_depth_one_is_exact(name, bias_std):
    x = HMS_RELU if name == "relu" else HMS_RELU - 0.7
    shallow = network(f"{name}-net", width=7, input_dim=1, bias_std=bias_std)
    exact = exact_correlators(shallow, x, (2, 4))
    deep = deep_net(name, (7,), input_dim=1, weight_std=1.0, bias_std=bias_std)
    found = recursion_correlators(deep, x)
    for order in (2, 4):
        off = np.abs(found.connected(order) - exact.connected(order))
        allowed = found.numerical_error[order] + exact.numerical_error[order]
        assert (off <= allowed).all()
        assert off.max() < 1e-5 * exact.connected(order).max()
    assert not any(values.any() for values in recursion_error(found).values())


@pytest.mark.parametrize(("name", "per_layer"), [("linear", 2), ("relu", 5)])
@pytest.mark.parametrize("widths", [(10, 30), (7, 20, 11, 50)])
def test_chain_without_biases_has_the_kurtosis_of_leading_order(
    name, per_layer, widths
):
    # All inputs on one side of 0 see the same unit of each chain: G4c ∝ Π x.
    net = deep_net(name, widths, input_dim=1, bias_std=0.0)
    found = recursion_correlators(net, HMS_RELU)
    gain = 1.3**2 * (0.5 if name == "relu" else 1.0)
    variance = 1.3**2 * gain ** len(widths)
    leading = 3 * variance**2 * sum(per_layer / width for width in widths)
    legs = found.entries(4)
    expected = leading * HMS_RELU[legs, 0].prod(axis=1)
    assert found.connected(4) == pytest.approx(expected, rel=1e-12)
    expected = variance * HMS_RELU[found.entries(2), 0].prod(axis=1)
    assert found.connected(2) == pytest.approx(expected, rel=1e-12)

    # All orders of Π(1 + c/n) beyond the first, which the estimate must hold.
    left_out = (oracle.chain_kurtosis(widths, per_layer) - 3) * variance**2 - leading
    estimate = recursion_error(found)[4] / HMS_RELU[legs, 0].prod(axis=1)
    assert (estimate > (1 - 1e-10) * left_out).all()
    assert (estimate < 1.05 * left_out).all()
    if len(widths) == 2:
        assert estimate == pytest.approx(left_out, rel=1e-10)


@pytest.mark.slow_but("tanh")
@pytest.mark.parametrize("name", ["tanh", "erf"])
def test_agrees_with_the_tensor_formulas_by_gauss_hermite(name):
    widths = (20, 35, 50)
    found = recursion_correlators(deep_net(name, widths), PLANE)
    fine, coarse = (
        oracle.expansion(NUMPY[name], first_kernel(PLANE), widths, 1.3, 0.4, nodes)
        for nodes in (28, 24)
    )
    kernel, shift, spread = fine
    four = oracle.connected_four(spread)
    slack = 1e-7 + np.abs(shift - coarse[1]).max()
    assert np.abs(shift).max() > 100 * slack
    assert np.abs(unpacked(found, 2) - kernel - shift).max() < slack
    slack = 1e-5 * four.max() + np.abs(four - oracle.connected_four(coarse[2])).max()
    assert slack < 1e-4 * four.max()
    assert np.abs(unpacked(found, 4) - four).max() < slack


def test_inputs_on_a_line_agree_with_the_tensor_formulas():
    # The first kernel has rank one; it does not fluctuate, so nothing inverts it.
    x = np.array([[0.7], [1.4], [-1.0]])
    net = deep_net("erf", (20, 35), input_dim=1, bias_std=0.0)
    found = recursion_correlators(net, x)
    kernel, shift, spread = oracle.expansion(
        scipy.special.erf,
        first_kernel(x, bias_std=0.0)[:2, :2],
        (20, 35),
        1.3,
        0.0,
        160,
    )
    four = oracle.connected_four(spread)
    assert unpacked(found, 2)[:2, :2] == pytest.approx(kernel + shift, abs=1e-6)
    assert unpacked(found, 4)[(slice(2),) * 4] == pytest.approx(four, rel=1e-4)


@pytest.mark.slow_but("2-tanh", "3-relu")
@pytest.mark.parametrize("name", ["tanh", "relu", "erf"])
@pytest.mark.parametrize("depth", [2, 3])
def test_agrees_with_networks_drawn_weight_by_weight(name, depth):
    # n G4c(n) = G + R/n + O(1/n²): two widths give G, and 4 standard errors decide.
    narrow = (12, 18, 15)[:depth]
    wide = tuple(2 * width for width in narrow)
    samples = [
        oracle.sampled_functions(
            oracle.random_kernels(NUMPY[name], PLANE, widths, 1.3, 0.4, 8000, seed)
        )
        for seed, widths in enumerate((narrow, wide), 10 * depth)
    ]
    found = [recursion_correlators(deep_net(name, w), PLANE) for w in (narrow, wide)]
    (_, four), (two_wide, four_wide) = samples
    limit = 4 * four_wide[0] - four[0]
    error = np.hypot(4 * four_wide[1], four[1])
    pull = (limit - unpacked(found[0], 4)) / error
    assert np.abs(pull).max() < 4
    size = np.abs(unpacked(found[0], 4)).max()
    assert error.max() < 0.2 * size
    # What is left out at the narrow width is about as large as said.
    remainder = np.abs(four[0] - unpacked(found[0], 4))
    said = recursion_error(found[0])[4].max()
    assert (remainder < 2 * said + 4 * four[1]).all()
    pull = (two_wide[0] - unpacked(found[1], 2)) / two_wide[1]
    assert np.abs(pull).max() < 4


@pytest.mark.parametrize(("name", "depth"), [("erf", 3), ("relu", 5)])
def test_what_is_left_out_at_different_inputs_is_within_the_estimate(name, depth):
    """Each input by itself is nearly fixed here for erf, the correlation is not."""
    net = deep_net(name, depth * (10,), weight_std=2.0, bias_std=1.0)
    found = recursion_correlators(net, PLANE)
    kernels = oracle.random_kernels(
        NUMPY[name], PLANE, depth * (10,), 2.0, 1.0, 20_000, 5
    )
    _, (four, error) = oracle.sampled_functions(kernels)
    said = recursion_error(found)[4][
        positions(3, np.indices((3,) * 4).reshape(4, -1).T)
    ].reshape((3,) * 4)
    remainder = np.abs(four - unpacked(found, 4))
    assert (remainder < said + 4 * error).all()
    assert (remainder > 4 * error).any()


def test_pairs_of_one_input_have_its_own_second_order():
    steps = [LayerStep(ACTIVATIONS["erf"], width, 2.0, 0.3) for width in (8, 11, 9)]
    variance = np.array([0.4, 1.7])
    one = second_order(steps, variance)
    mean, spread = pair_second_order(steps, np.stack(3 * [variance], axis=1))
    for entry in range(3):
        assert mean[:, entry] == pytest.approx(one.mean_terms, rel=1e-6)
        assert spread[:, entry] == pytest.approx(one.variance_terms, rel=1e-6)


def test_correction_of_the_two_point_function_is_seen_in_samples():
    widths = (8, 8, 8)
    found = recursion_correlators(deep_net("tanh", widths), PLANE)
    limit = recursion_correlators(deep_net("tanh", (10**9,) * 3), PLANE)
    kernels = oracle.random_kernels(np.tanh, PLANE, widths, 1.3, 0.4, 40_000, 3)
    (mean, error), _ = oracle.sampled_functions(kernels)
    left_out = recursion_error(found)[2].max()
    assert (np.abs(mean - unpacked(found, 2)) < 4 * error + left_out).all()
    # Half the correction, or twice, would be seen.
    shift = np.abs(unpacked(found, 2) - unpacked(limit, 2))
    assert (shift > 8 * error).any()
    assert (shift > left_out).any()


def test_proportional_and_opposite_inputs_of_a_kinked_activation():
    # K̂ stays of rank one between x and 2x, and x and −x share no active unit.
    x = np.array([[0.5, 0.2], [1.0, 0.4], [-0.5, -0.2]])
    net = deep_net("relu", (12, 18), bias_std=0.0)
    found = recursion_correlators(net, x)
    two, four = unpacked(found, 2), unpacked(found, 4)
    assert two[0, 1] == pytest.approx(2 * two[0, 0], rel=1e-10)
    assert four[0, 1, 2, 2] == pytest.approx(2 * four[0, 0, 2, 2], rel=1e-5)
    assert four[1, 1, 1, 0] == pytest.approx(8 * four[0, 0, 0, 0], rel=1e-5)
    kernels = oracle.random_kernels(NUMPY["relu"], x, (12, 18), 1.3, 0.0, 20_000, 7)
    (mean, error), (sampled, four_error) = oracle.sampled_functions(kernels)
    assert (np.abs(mean - two) < 4 * error + recursion_error(found)[2].max()).all()
    slack = 4 * four_error + 1.5 * recursion_error(found)[4].max()
    assert (np.abs(sampled - four) < slack).all()


def test_an_input_of_no_variance_does_not_fluctuate():
    x = np.array([[0.0, 0.0], [0.4, 0.9]])
    found = recursion_correlators(deep_net("tanh", (9, 14), bias_std=0.0), x)
    kept = recursion_correlators(deep_net("tanh", (9, 14), bias_std=0.0), x[1:])
    assert unpacked(found, 4)[1, 1, 1, 1] == pytest.approx(kept.connected(4)[0])
    for order in (2, 4):
        with_zero = (found.entries(order) == 0).any(axis=1)
        assert not found.connected(order)[with_zero].any()


@pytest.mark.slow_but("relu")
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_pairs_alone_are_the_same_numbers(name):
    x = np.random.default_rng(0).normal(size=(5, 2))
    net = deep_net(name, (15, 25))
    found = recursion_correlators(net, x)
    pairs = np.array([[0, 1], [3, 2], [4, 4], [1, 4]])
    alone = pair_recursion(net, x, pairs)
    for order, values, errors in (
        (2, alone.two_point, alone.two_point_error),
        (4, alone.four_point, alone.four_point_error),
    ):
        for choice in range(order + 1):
            # aa, ab, bb; aaaa, aaab, aabb, abbb, bbbb
            legs = pairs[:, [0] * (order - choice) + [1] * choice]
            at = positions(5, legs)
            off = np.abs(values[:, choice] - found.connected(order)[at])
            allowed = errors[:, choice] + found.numerical_error[order][at]
            assert (off <= allowed + 1e-12).all()
            assert off.max() < 1e-5 * values.max()


def test_outputs_are_independent_given_the_kernel():
    one = recursion_correlators(deep_net("tanh", (9, 14)), PLANE[:2])
    two = recursion_correlators(deep_net("tanh", (9, 14), output_dim=2), PLANE[:2])
    kernel, four = unpacked(one, 2), unpacked(one, 4)
    legs = entries(4, 2)
    same = legs[:, 0] % 2 == legs[:, 1] % 2
    points = legs // 2
    expected = np.where(same, kernel[points[:, 0], points[:, 1]], 0.0)
    assert two.connected(2) == pytest.approx(expected, rel=1e-12)
    for entry, row in enumerate(entries(4, 4)):
        outputs = sorted(row % 2)
        value = two.connected(4)[entry]
        if sum(outputs) % 2:
            assert value == 0
        elif len(set(outputs)) == 1:
            assert value == pytest.approx(four[tuple(row // 2)], rel=1e-12)
        elif len(set(row // 2)) == 1:
            # One pairing of three, at one point.
            assert value == pytest.approx(four[tuple(row // 2)] / 3, rel=1e-12)
    allowed = recursion_error(two)[4] > 0
    assert (allowed == (two.connected(4) != 0)).all()


def test_standard_deep_net_saved_and_read_back():
    net = network(
        "mlp",
        width=10,
        input_dim=2,
        activation="tanh",
        depth=2,
        width_factors="0.9,1.4",
    )
    found = recursion_correlators(net, PLANE)
    own = deep_net("tanh", (9, 14), weight_std=1.0, bias_std=0.0)
    expected = recursion_correlators(own, PLANE).connected(4)
    assert found.connected(4) == pytest.approx(expected, rel=1e-12)
    assert "recursion" in repr(found)
    back = Correlators.from_data(found.data)
    assert back.is_exact
    assert back.estimator == "recursion"
    assert (back.connected(4) == found.connected(4)).all()
    assert not back.covariance(4).any()
    assert (back.connected_error(4) == found.numerical_error[4]).all()


def test_what_has_no_expansion_is_refused():
    shallow = network("erf-net", width=3, input_dim=1)
    with pytest.raises(UnavailableError, match=r"no fully connected hidden layers"):
        recursion_correlators(shallow, [[1.0]])
    heavy = deep_net("tanh", (4, 4), moment=lambda k: 2.0)
    with pytest.raises(UnavailableError, match=r"normal output layer"):
        recursion_correlators(heavy, PLANE)
    with pytest.raises(UnavailableError, match=r"'step' jumps"):
        pair_recursion(deep_net("step", (4, 4)), PLANE, [[0, 1]])


@pytest.mark.parametrize("kinks", [(), (0.0,)])
def test_a_jump_that_is_not_declared_is_refused(monkeypatch, kinks):
    sign = Activation(name="mysign", function=jnp.sign, kinks=kinks)
    monkeypatch.setitem(ACTIVATIONS, "mysign", sign)
    net = deep_net("mysign", (40, 40))
    with pytest.raises(UnavailableError, match=r"'mysign' jumps.*`homogeneity`"):
        recursion_correlators(net, PLANE)
    with pytest.raises(UnavailableError, match=r"'mysign' jumps"):
        pair_recursion(net, PLANE, [[0, 1]])


def test_a_kink_that_is_not_declared_is_no_jump(monkeypatch):
    bare = Activation(name="bare", function=lambda z: jnp.maximum(z, 0.0))
    monkeypatch.setitem(ACTIVATIONS, "bare", bare)
    pairs = [[0, 1], [1, 1]]
    found = pair_recursion(deep_net("bare", (12, 18)), PLANE, pairs)
    known = pair_recursion(deep_net("relu", (12, 18)), PLANE, pairs)
    off = np.abs(found.four_point - known.four_point)
    assert (off < 1e-2 * known.four_point).all()


def test_unusable_arguments_are_refused():
    net = deep_net("tanh", (4, 4))
    with pytest.raises(SpecError, match=r"order 6 is beyond the first order"):
        recursion_correlators(net, PLANE, (2, 6))
    with pytest.raises(SpecError, match=r"more than once"):
        recursion_correlators(net, PLANE[[0, 0]])
    for pairs in ([0, 1], [[0, 3]], [[-1, 0]], [[0.0, 1.0]]):
        with pytest.raises(SpecError, match=r"indices of the 3 inputs"):
            pair_recursion(net, PLANE, pairs)
    exact = exact_correlators(network("erf-net", width=3, input_dim=1), [[1.0]])
    with pytest.raises(SpecError, match=r"estimator .* is 'exact'; only"):
        recursion_error(exact)


@pytest.mark.parametrize(("depth", "weight_std"), [(2, 1e18), (2, 1e-18), (4, 1e12)])
def test_layers_beyond_the_range_of_numbers_are_refused(depth, weight_std):
    net = nnft.network("mlp", width=20, input_dim=1, depth=depth, weight_std=weight_std)
    sizes = r"preactivations of layer \d are of size .* can be had from 1e-37 to 1e37"
    with pytest.raises(nnft.SpecError, match=sizes):
        nnft.recursion_correlators(net, [0.5, 1.0])
    with pytest.raises(nnft.SpecError, match=sizes):
        nnft.pair_recursion(net, [0.5, 1.0], [[0, 1]])


@pytest.mark.parametrize("weight_std", [1e-6, 1e6])
def test_the_expansion_of_relu_scales_with_the_weights(weight_std):
    """Without biases outputs grow as weight_std to the power depth + 1."""
    base, scaled = (
        nnft.recursion_correlators(
            nnft.network(
                "mlp", width=20, input_dim=1, depth=4, weight_std=std, bias_std=0.0
            ),
            [0.5, 1.0],
        )
        for std in (1.0, weight_std)
    )
    for k in (2, 4):
        size = weight_std ** (5 * k)
        np.testing.assert_allclose(scaled.connected(k) / size, base.connected(k), 1e-6)
    relative = scaled.connected_error(4) / scaled.connected(4)
    expected = base.connected_error(4) / base.connected(4)
    np.testing.assert_allclose(relative, expected, rtol=1e-6)
    assert (scaled.connected_error(2) < 1e-11 * scaled.connected(2)).all()
