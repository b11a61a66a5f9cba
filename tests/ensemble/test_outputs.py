"""What an architecture's functions return is looked at before anything is drawn."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import nnft_ppl as nnft
from nnft_ppl.ensemble.outputs import check_outputs

X = [[0.5, 1.0], [1.0, -0.3], [2.0, 0.1]]


def linear(apply, output_dim=1, **knowledge):
    """A network of two weights, of whatever is made of them."""
    architecture = nnft.Architecture(
        name="any",
        description="",
        prior=lambda hp: numpyro.sample("w", dist.Normal().expand((2,))),
        apply=lambda hp, w, x: apply(w @ x),
        symmetries=frozenset({"sign"}),
        **knowledge,
    )
    return nnft.Network.build(architecture, width=4, input_dim=2, output_dim=output_dim)


def erf_net_with(part, **changed):
    """The erf-net with something changed in what it tells of itself."""
    net = nnft.network("erf-net", width=4, input_dim=2)
    told = replace(getattr(net, part)(), **changed)
    architecture = replace(net.architecture, name="any", **{part: lambda hp: told})
    return nnft.Network(architecture, net.hyperparameters)


WRONG = {
    "complex": (lambda f: f[None] * (1 + 1j), r"outputs .* are complex64; .* real num"),
    "complex of no imaginary part": (lambda f: f[None] + 0j, "are complex64"),
    "no axis": (lambda f: f, r"shape \(2,\); expected \(point, output\), \(2, 1\)"),
    "an axis more": (lambda f: f[None, None], r"outputs .* have shape \(2, 1, 1\)"),
    "another number": (lambda f: jnp.stack([f, f]), r"outputs .* have shape \(2, 2\)"),
    "no array": (lambda f: (f, f), r"outputs .* have type \(ShapeDtypeStruct"),
    "error": (lambda f: f @ jnp.ones(3), r"outputs .* cannot be computed: \w+Error"),
}
NETWORKS = {
    name: (linear(apply), message) for name, (apply, message) in WRONG.items()
} | {
    "complex activation": (
        erf_net_with("neuron", activation=lambda z, variance: jnp.exp(1j * z)),
        "the neuron's features of architecture 'any' are complex64",
    ),
    "activation of another shape": (
        erf_net_with("neuron", activation=lambda z, variance: z.sum()),
        r"the neuron's features .* have shape \(\); expected \(2, 2\)",
    ),
    "covariance of another shape": (
        erf_net_with("neuron", covariance=lambda x, y: x * y),
        r"covariances of the neuron .* have shape \(2,\); expected \(\)",
    ),
    "complex features": (
        erf_net_with("readout", features=lambda params, x: jnp.ones(4) * 1j),
        "the readout's features .* are complex64",
    ),
    "features of two axes": (
        erf_net_with("readout", features=lambda params, x: jnp.ones((2, 2))),
        r"readout's features .* have shape \(2, 2\); expected \(feature,\)",
    ),
}


KEY = jax.random.key(0)
DRAWING = {
    "measure": lambda net: nnft.measure_correlators(net, X, 2, num_draws=100, key=KEY),
    "sample": lambda net: nnft.sample_ensemble(net, X, 10, key=KEY),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("how", DRAWING)
def test_what_breaks_the_contract_is_refused_before_a_draw(name, how, monkeypatch):
    def draw(*_):
        raise AssertionError("networks were drawn")

    monkeypatch.setattr("nnft_ppl.correlators.sampled.job.draw_piece", draw)
    monkeypatch.setattr("nnft_ppl.ensemble.sample._values", draw)
    net, message = NETWORKS[name]
    with pytest.raises(nnft.PluginError, match=message):
        DRAWING[how](net)


@pytest.mark.parametrize(
    "apply",
    [
        lambda f: jnp.stack([f, -f]),
        lambda f: jnp.stack([f, -f]).astype(jnp.bfloat16),
        lambda f: jnp.sign(jnp.stack([f, -f])).astype(jnp.int8),
        lambda f: jnp.stack([f, -f]) > 0,
    ],
    ids=["float32", "bfloat16", "int8", "bool"],
)
def test_real_outputs_of_any_type_pass(apply):
    net = linear(apply, output_dim=2)
    check_outputs(net)
    values = nnft.sample_ensemble(net, X, 4, key=KEY).values
    assert (values.dtype, values.shape) == (np.float32, (4, 3, 2))


def test_a_complex_activation_is_refused_where_correlators_are_exact():
    with pytest.raises(nnft.PluginError, match="activation gives complex128 of shape"):
        nnft.exact_correlators(NETWORKS["complex activation"][0], X)
    phase = nnft.Activation(name="phase", function=lambda z: jnp.exp(1j * z))
    with pytest.raises(nnft.SpecError, match="makes complex numbers of real ones"):
        nnft.network("mlp", width=4, input_dim=2, activation=phase)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (lambda hp, x, y: jnp.vdot(x, y) * 1j, "gives complex128 of shape"),
        (lambda hp, x, y: x * y, r"shape \(3, 3, 2\); .* real numbers, shape \(3, 3\)"),
    ],
)
def test_a_kernel_gives_one_real_number_for_a_pair(kernel, message):
    net = linear(lambda f: f[None], kernel=kernel)
    with pytest.raises(nnft.PluginError, match=f"kernel of architecture .*{message}"):
        net.kernel(X)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((5, 3)), r"have shape \(5, 3\); .* = \(draws, 3, 1\), of 3 inputs"),
        (np.ones((5, 1, 3)), r"have shape \(5, 1, 3\); .* and output_dim 1"),
        (np.ones((5, 3, 1)) * 1j, "their type is complex128"),
        (np.ma.masked_values(np.ones((5, 3, 1)), 1.0), r"masked entry, at \[0, 0, 0\]"),
    ],
)
def test_an_ensemble_of_given_outputs_is_checked(values, message):
    with pytest.raises(nnft.SpecError, match=f"`values` .*{message}"):
        nnft.Ensemble(linear(lambda f: f[None]), X, values)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"connected_values": np.ones(5)}, r"connected_values\[2\]` has shape \(5,\)"),
        ({"connected_values": np.ones(6) * 1j}, "their type is complex128"),
        ({"connected_values": np.full(6, np.nan)}, "are nan at entry 0"),
        ({"numerical_error": np.ones(7)}, r"has shape \(7,\); expected \(6,\)"),
        ({"joint_covariance": np.eye(5)}, r"shape \(5, 5\); expected \(6, 6\)"),
    ],
)
def test_correlators_of_given_arrays_are_checked(changed, message):
    net = nnft.network("erf-net", width=4, input_dim=2)
    found = nnft.measure_correlators(net, X, 2, num_draws=100, key=KEY)
    ((name, values),) = changed.items()
    if name != "joint_covariance":
        changed = {name: {2: values}}
    with pytest.raises(nnft.SpecError, match=message):
        replace(found, **changed)
