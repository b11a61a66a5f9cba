"""What exact correlators obey, at inputs of size 1e-8 to 1e6, of any neuron."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from properties.random_cases import (
    HOMOGENEOUS,
    LARGEST,
    NUM_POINTS,
    assert_equal_within_errors,
    exact,
    few,
    inputs,
    networks,
)

from nnft_ppl.correlators.neuron.moments import preactivation_covariance
from nnft_ppl.correlators.symmetric import entries, positions

ORDERS = (2, 4, 6)
LENGTHS = pytest.mark.parametrize(
    "examples", [5, pytest.param(60, marks=pytest.mark.slow)]
)


def run(examples, property_of, *strategies):
    """Try a property on so many examples."""
    few(examples)(given(*strategies)(property_of))()


def at_width(net, width):
    return type(net).build(
        net.architecture,
        width=width,
        input_dim=net.hyperparameters.input_dim,
        weight_std=net.hyperparameters.weight_std,
        bias_std=net.hyperparameters.bias_std,
        **net.hyperparameters.options,
    )


def with_stds(net, weight_std, bias_std):
    return type(net).build(
        net.architecture,
        width=net.width,
        input_dim=net.hyperparameters.input_dim,
        weight_std=weight_std,
        bias_std=bias_std,
        **net.hyperparameters.options,
    )


@LENGTHS
def test_inputs_in_another_order_give_the_same_entries(examples):
    def holds(net, x, order):
        one, other = exact(net, x, ORDERS), exact(net, x[list(order)], ORDERS)
        for k in ORDERS:
            moved = positions(NUM_POINTS, np.array(order)[entries(NUM_POINTS, k)])
            assert_equal_within_errors(one, other, k, at=moved)

    run(examples, holds, networks(), inputs(), st.permutations(range(NUM_POINTS)))


@LENGTHS
def test_connected_functions_fall_as_powers_of_the_width(examples):
    def holds(net, x, ratio):
        one, other = (
            exact(net, x, ORDERS),
            exact(at_width(net, net.width * ratio), x, ORDERS),
        )
        for k in ORDERS:
            assert_equal_within_errors(other, one, k, float(ratio) ** (1 - k / 2))
        # So the wide net is the Gaussian process of its own 2-pt function.
        wide = exact(at_width(net, 2**31 - 1), x, (2, 4))
        two = wide.connected(2)
        pairs = [
            two[positions(NUM_POINTS, entries(NUM_POINTS, 4)[:, list(p)])]
            for p in ((0, 1), (2, 3), (0, 2), (1, 3), (0, 3), (1, 2))
        ]
        process = sum(pairs[i] * pairs[i + 1] for i in (0, 2, 4))
        size = sum(np.abs(pairs[i] * pairs[i + 1]) for i in (0, 2, 4))
        allowed = np.abs(one.connected(4)) + one.connected_error(4)
        gap = np.abs(wide.moment(4) - process)
        assert (gap <= 1.01 * allowed * net.width / (2**31 - 1) + 1e-13 * size).all()

    run(examples, holds, networks(), inputs(), st.integers(2, 1000))


@LENGTHS
def test_the_two_point_function_is_the_kernel(examples):
    def holds(net, x):
        found = exact(net, x, (2,))
        kernel = net.kernel(x)[np.triu_indices(NUM_POINTS)]
        size = np.sqrt(np.outer(*2 * [np.diagonal(net.kernel(x))]))
        size = size[np.triu_indices(NUM_POINTS)]
        off = np.abs(found.connected(2) - kernel)
        error = net.kernel_error(x)[np.triu_indices(NUM_POINTS)]
        assert (off <= found.connected_error(2) + error + 1e-12 * size).all()

    run(examples, holds, networks(), inputs())


@LENGTHS
def test_weights_and_inputs_scale_into_each_other(examples):
    """Where the neuron knows σ_W x alone, f(σ_W/c, c x) is f(σ_W, x)/c + bias."""

    def holds(net, x, power):
        hp, factor = net.hyperparameters, 2.0**power
        other = with_stds(net, hp.weight_std / factor, hp.bias_std)
        s = preactivation_covariance(net.neuron().covariance, x)
        assume(
            np.array_equal(
                s, preactivation_covariance(other.neuron().covariance, factor * x)
            )
        )
        one, scaled = exact(net, x, (4, 6)), exact(other, factor * x, (4, 6))
        for k in (4, 6):
            assert_equal_within_errors(scaled, one, k, factor**-k)

    run(examples, holds, networks(), inputs(largest=LARGEST - 1), st.integers(-3, 3))


@LENGTHS
def test_homogeneous_neurons_scale_with_their_inputs_and_weights(examples):
    def holds(net, x, power):
        degree = net.neuron().homogeneity
        hp, factor = net.hyperparameters, 2.0**power
        one, scaled = exact(net, x, ORDERS), exact(net, factor * x, ORDERS)
        strong = exact(with_stds(net, factor * hp.weight_std, 0.0), x, ORDERS)
        for k in ORDERS:
            assert_equal_within_errors(scaled, one, k, factor ** (k * degree))
            assert_equal_within_errors(strong, one, k, factor ** (k * (degree + 1)))

    run(
        examples,
        holds,
        networks(HOMOGENEOUS, bias=False),
        inputs(),
        st.integers(-9, 9),
    )


@LENGTHS
def test_rotations_and_translations_that_are_declared_leave_the_kernel(examples):
    def holds(net, x, angle, step):
        kernel = net.kernel(x)
        size = np.sqrt(np.outer(*2 * [np.diagonal(kernel)]))
        scale = np.abs(x).max()
        if "rotation" in net.architecture.symmetries:
            turn = np.array(
                [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
            )
            off = np.abs(net.kernel(x @ turn.T) - kernel)
            # A correlation near one feels the rounding of x by its root.
            assert (off <= 1e-7 * size).all()
        if "translation" in net.architecture.symmetries:
            moved = net.kernel(x + step * scale)
            assert (np.abs(moved - kernel) <= 1e-7 * size * (1 + scale**2 * 1e-6)).all()

    run(
        examples,
        holds,
        networks(input_dim=2),
        inputs(input_dim=2),
        st.floats(0, 2 * np.pi),
        st.floats(-2, 2),
    )


@LENGTHS
def test_rotations_leave_the_four_point_function(examples):
    """Where the neuron's covariance is invariant, so is every correlator."""

    def holds(net, x, angle):
        turn = np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        )
        covariance = net.neuron().covariance
        s, turned = (preactivation_covariance(covariance, y) for y in (x, x @ turn.T))
        assume(np.allclose(s, turned, rtol=0, atol=1e-12 * np.abs(s).max()))
        one, other = exact(net, x), exact(net, x @ turn.T)
        size = np.abs(one.connected(4)).max()
        off = np.abs(one.connected(4) - other.connected(4))
        allowed = one.connected_error(4) + other.connected_error(4)
        # What rounding of s does to nearly parallel preactivations comes on top.
        assert (off <= 2 * allowed + 1e-9 * size).all()

    run(
        examples,
        holds,
        networks(input_dim=2, bias=False),
        inputs(input_dim=2, largest=2),
        st.floats(0, 2 * np.pi),
    )
