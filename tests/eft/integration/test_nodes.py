import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.special import erf as jax_erf

import nnft_ppl as nnft
from nnft_ppl._errors import SpecError
from nnft_ppl.eft.integration.nodes import KernelTables, Nodes


def nodes_of(network, x, y):
    y = np.asarray(y, dtype=float)
    return Nodes(KernelTables(network, np.asarray(x), 8), y, np.ones(len(y)))


def net(name, dim, bias_std=1.0):
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


X = np.array([[0.4, -1.0], [0.2, 0.3]])
Y = np.array([[0.7, 0.1], [-2.0, 1.0], [0.2, 0.3]])  # the last one is an input


@pytest.mark.parametrize("name", ["relu-net", "erf-net", "gauss-net"])
@pytest.mark.parametrize("bias_std", [0.0, 1.0])
def test_the_gradient_agrees_with_a_difference(name, bias_std):
    network = net(name, 2, bias_std)
    nodes = nodes_of(network, X, Y)
    for axis in range(2):
        h = np.zeros(2)
        h[axis] = 1e-5
        difference = network.kernel(X, Y + h) - network.kernel(X, Y - h)
        np.testing.assert_allclose(
            nodes.gradient[:, axis], difference / 2e-5, atol=1e-9
        )


@pytest.mark.parametrize("name", ["relu-net", "erf-net", "gauss-net"])
def test_tadpoles_agree_with_differences(name):
    network = net(name, 2)
    nodes = nodes_of(network, X, Y)
    h = 1e-3 * np.eye(2)
    variance = network.kernel(Y).diagonal() - 1.0
    np.testing.assert_allclose(nodes.variance, variance, rtol=1e-14)
    for a in range(2):
        half = network.kernel(Y + h[a]).diagonal() - network.kernel(Y - h[a]).diagonal()
        np.testing.assert_allclose(nodes.mixed[a], half / 4e-3, atol=1e-6)
        for b in range(2):
            ends = [
                sign * other * network.kernel(Y + sign * h[a], Y + other * h[b])
                for sign in (1, -1)
                for other in (1, -1)
            ]
            # The rectifier's kernel is |y − y'|³ there: the difference errs by O(h).
            difference = sum(table.diagonal() for table in ends) / 4e-6
            np.testing.assert_allclose(
                nodes.gradient_covariance[a, b], difference, atol=2e-3
            )


def test_derivatives_of_a_rectifier_are_known():
    """E[f ∂f] = y/(2d), E[∂_a f ∂_b f] = δ_ab/(2d) at σ_W = 1: half of all neurons."""
    nodes = nodes_of(net("relu-net", 2), X, Y)
    np.testing.assert_allclose(nodes.mixed, Y.T / 4, rtol=1e-12)
    expected = np.broadcast_to(np.eye(2)[..., None] / 4, (2, 2, 3))
    np.testing.assert_allclose(nodes.gradient_covariance, expected, atol=1e-12)


def test_derivatives_of_a_rectifier_on_a_line_without_biases():
    """K = max(x y, 0)/2 on one line: √0 at every node, yet the slope is x/2."""
    nodes = nodes_of(net("relu-net", 1, 0.0), [[0.3], [-2.0]], [[0.7], [1e4], [-3.0]])
    np.testing.assert_allclose(
        nodes.gradient[:, 0], [[0.15, 0.15, 0.0], [0.0, 0.0, -1.0]], atol=1e-15
    )
    np.testing.assert_allclose(nodes.gradient_covariance[0, 0], 0.5, rtol=1e-12)


@pytest.mark.parametrize(
    "kernel",
    [
        lambda x, y: jnp.exp(-jnp.sum(jnp.abs(x - y))),
        # E[θ(z) θ(z')] of a step, with and without biases
        lambda x, y: 0.5 - jnp.abs(jnp.arctan(x[0]) - jnp.arctan(y[0])) / (2 * jnp.pi),
        lambda x, y: jnp.where(x[0] * y[0] > 0, 0.5, 0.0),
    ],
    ids=["exponential", "step", "step without biases"],
)
def test_a_field_without_derivatives_is_refused(kernel):
    network = with_kernel(kernel)
    nodes = nodes_of(network, [[0.5]], [[0.3]])
    assert nodes.propagator.shape == (1, 1)
    for table in ("gradient", "mixed", "gradient_covariance"):
        with pytest.raises(
            SpecError, match=r"field of Network\('toy'.*needs a differentiable kernel"
        ):
            getattr(nodes, table)


def test_a_smooth_field_on_a_short_length_is_not_refused():
    network = with_kernel(lambda x, y: jnp.exp(-jnp.sum((x - y) ** 2) * 1e8))
    assert np.isfinite(nodes_of(network, [[0.5]], [[0.3]]).gradient).all()
    rough = with_kernel(lambda x, y: 2.0 + jax_erf(x[0]) * jax_erf(y[0]))
    assert np.isfinite(nodes_of(rough, [[0.5]], [[0.3]]).gradient).all()


def test_a_derivative_that_is_no_number_is_refused():
    network = with_kernel(
        lambda x, y: jnp.exp(-(jnp.sqrt((x[0] ** 2 - y[0] ** 2) ** 2) ** 2))
    )
    with pytest.raises(SpecError, match=r"or its derivative is not finite at \[0.5\]"):
        _ = nodes_of(network, [[0.5]], [[0.5]]).gradient
