"""A network: validated hyperparameters, kernels, forward pass."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers
from oracles import kernels

import nnft_ppl as nnft
from nnft_ppl.option import Option

CLOSED_FORMS = {
    "erf-net": kernels.erf_kernel,
    "gauss-net": kernels.gauss_kernel,
    "relu-net": kernels.relu_kernel,
}
SCALES = [(1.0, 0.0), (1.0, 1.0), (1.7, 0.3)]
NAMES = sorted(CLOSED_FORMS)


def points(input_dim: int, seed: int = 0) -> np.ndarray:
    """Inputs of both signs, two of them opposite and two parallel."""
    x = np.random.default_rng(seed).normal(size=(4, input_dim))
    return np.concatenate([x, -x[:1], 1.5 * x[:1]])


def build(name: str = "relu-net", **changes) -> nnft.Network:
    return nnft.network(name, **({"width": 5, "input_dim": 1} | changes))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("input_dim", [1, 3])
@pytest.mark.parametrize(("weight_std", "bias_std"), SCALES)
def test_kernel_is_the_published_one(name, input_dim, weight_std, bias_std):
    net = build(name, input_dim=input_dim, weight_std=weight_std, bias_std=bias_std)
    x, y = points(input_dim), points(input_dim, seed=1)[:3]
    expected = [[CLOSED_FORMS[name](a, b, weight_std, bias_std) for b in y] for a in x]
    kernel = net.kernel(x, y)
    assert kernel.dtype == np.float64
    np.testing.assert_allclose(kernel, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        net.propagator(x, y), np.subtract(expected, bias_std**2), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("weight_std", "bias_std"), SCALES)
def test_kernel_is_the_mean_over_one_neuron(name, weight_std, bias_std):
    net = build(name, input_dim=2, weight_std=weight_std, bias_std=bias_std)
    x = 0.5 * points(2, seed=2)

    def quadrature(a, b):
        if name == "relu-net":
            return kernels.relu_quadrature_kernel(a, b, weight_std, bias_std)
        activation = {
            "erf-net": kernels.erf_activation,
            "gauss-net": kernels.gauss_activation,
        }[name]
        return kernels.hermite_kernel(activation, a, b, weight_std, bias_std)

    expected = [[quadrature(a, b) for b in x] for a in x]
    np.testing.assert_allclose(net.kernel(x), expected, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_kernel_does_not_depend_on_width(name):
    x = points(1)
    assert (build(name, width=2).kernel(x) == build(name, width=900).kernel(x)).all()


def test_relu_kernel_without_biases_is_rank_one_on_one_side():
    kernel = build("relu-net").kernel([0.2, 0.6, 1.2])
    np.testing.assert_allclose(kernel, np.outer([0.2, 0.6, 1.2], [0.1, 0.3, 0.6]))


@pytest.mark.parametrize("name", NAMES)
def test_kernel_leaves_the_precision_of_the_host_program_alone(name):
    build(name).kernel([0.1, 0.2])
    assert jnp.ones(1).dtype == jnp.float32


@pytest.mark.parametrize("name", NAMES)
def test_apply_is_the_forward_pass_written_by_hand(name):
    net = build(name, width=7, input_dim=2, output_dim=3, bias_std=0.4)
    params = handlers.seed(net.prior, jax.random.key(1))()
    assert {k: v.shape for k, v in params.items()} == {
        "W0": (2, 7), "b0": (7,), "W1": (7, 3), "b1": (3,)
    }  # fmt: skip
    p = {k: np.asarray(v, np.float64) for k, v in params.items()}
    x = 0.3 * points(2)
    z = x @ p["W0"] + p["b0"]
    variance = 0.4**2 + (x**2).sum(axis=1, keepdims=True) / 2
    hidden = {
        "erf-net": kernels.erf_activation,
        "gauss-net": kernels.gauss_activation,
        "relu-net": lambda z, _: np.maximum(z, 0),
    }[name](z, variance)
    np.testing.assert_allclose(
        net.apply(params, x), hidden @ p["W1"] + p["b1"], rtol=2e-5, atol=2e-6
    )


def test_one_dimensional_inputs_may_be_flat():
    net = build()
    params = handlers.seed(net.prior, jax.random.key(0))()
    flat, column = [0.1, 0.2], [[0.1], [0.2]]
    assert net.check_inputs(flat).shape == (2, 1)
    assert (net.apply(params, flat) == net.apply(params, column)).all()


def test_network_at_another_width_keeps_everything_else():
    net = build("erf-net", weight_std=2.0, bias_std=0.5, output_dim=3)
    wide = net.with_width(64)
    assert json.loads(wide.to_json()) == json.loads(net.to_json()) | {"width": 64}
    assert wide.width == 64


def test_repr_shows_the_hyperparameters():
    assert repr(build()) == (
        "Network('relu-net', width=5, input_dim=1, output_dim=1, weight_std=1.0, "
        "bias_std=0.0)"
    )


def test_architecture_without_kernel_says_what_to_do_instead():
    bare = nnft.Architecture(
        name="bare", description="", prior=lambda hp: {}, apply=lambda hp, p, x: x
    )
    net = nnft.Network.build(bare, width=1, input_dim=1)
    assert not net.has_kernel
    assert net.readout() is None
    assert net.neuron() is None
    with pytest.raises(
        nnft.UnavailableError, match=r"'bare' gives no GP kernel; measure the 2-pt"
    ):
        net.kernel([0.1])


WHOLE = r"expected a whole number ≥ 1"
FINITE = r"expected a finite number ≥ 0"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 0}, rf"`width` is 0; {WHOLE}"),
        ({"width": -3}, rf"`width` is -3; {WHOLE}"),
        ({"width": 2.0}, rf"`width` is 2\.0; {WHOLE}"),
        ({"width": True}, rf"`width` is True; {WHOLE}"),
        ({"width": "5"}, rf"`width` is '5'; {WHOLE}"),
        ({"input_dim": 0}, rf"`input_dim` is 0; {WHOLE}"),
        ({"input_dim": 1.5}, rf"`input_dim` is 1\.5; {WHOLE}"),
        ({"output_dim": 0}, rf"`output_dim` is 0; {WHOLE}"),
        ({"weight_std": -1.0}, rf"`weight_std` is -1\.0; {FINITE}"),
        ({"weight_std": math.nan}, rf"`weight_std` is nan; {FINITE}"),
        ({"weight_std": math.inf}, rf"`weight_std` is inf; {FINITE}"),
        ({"weight_std": "1"}, rf"`weight_std` is '1'; {FINITE}"),
        ({"weight_std": 0}, r"`weight_std` is 0; the output would be its bias alone"),
        ({"bias_std": -0.1}, rf"`bias_std` is -0\.1; {FINITE}"),
        ({"bias_std": math.nan}, rf"`bias_std` is nan; {FINITE}"),
        ({"bias_std": None}, rf"`bias_std` is None; {FINITE}"),
        ({"depth": 3}, r"'relu-net' has no option \['depth'\]; it has none"),
    ],
    ids=str,
)
def test_bad_hyperparameter_is_refused(changes, message):
    with pytest.raises(nnft.SpecError, match=message):
        build(**changes)


def test_numpy_numbers_are_numbers():
    net = build(width=np.int64(4), weight_std=np.float32(0.5))
    assert net.to_json() == build(width=4, weight_std=0.5).to_json()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[0.1, 0.2], [0.3, 0.4]], r"shape \(2, 2\); expected \(number of points, 1\)"),
        ([[[0.1]]], r"shape \(1, 1, 1\); expected \(number of points, 1\)"),
        (0.1, r"shape \(\); expected \(number of points, 1\)"),
        ([0.1, math.nan], r"input 1 is \[nan\]; inputs must be finite"),
        ([math.inf, 0.1], r"input 0 is \[inf\]; inputs must be finite"),
        ([], r"inputs hold no points; give at least one"),
        (["a", "b"], r"no array of real numbers \(their type is <U1\)"),
        ([[0.1], [0.2, 0.3]], r"no array of real numbers \(.*inhomogeneous"),
        ([0.1 + 1j], r"their type is complex128\); .* two real numbers"),
    ],
    ids=str,
)
def test_bad_inputs_are_refused(x, message):
    with pytest.raises(nnft.SpecError, match=message):
        build().check_inputs(x)


def test_kernel_checks_both_sets_of_inputs():
    with pytest.raises(nnft.SpecError, match=r"input 0 is \[nan\]"):
        build().kernel([0.1], [math.nan])


def test_duplicate_inputs_are_refused_where_they_must_differ():
    net = build(input_dim=2)
    twice = [[1.0, 2.0], [0.0, 1.0], [1.0, 2.0]]
    assert net.check_inputs(twice).shape == (3, 2)
    with pytest.raises(
        nnft.SpecError, match=r"input \[1\.0, 2\.0\] is given more than once"
    ):
        net.check_inputs(twice, distinct=True)


def test_two_dimensional_inputs_are_not_guessed_from_a_flat_list():
    with pytest.raises(
        nnft.SpecError, match=r"shape \(2,\); .* because input_dim is 2"
    ):
        build(input_dim=2).check_inputs([0.1, 0.2])


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (
            Option(default=2, help="depth"),
            2.0,
            r"is 2\.0; expected an int \(default 2\)",
        ),
        (Option(default=2, help="depth"), True, r"is True; expected an int"),
        (Option(default=True, help="h"), 1, r"is 1; expected a bool"),
        (
            Option(default="a", help="h", choices=("a", "b")),
            "c",
            r"one of \['a', 'b'\]",
        ),
        (Option(default=2, help="h", minimum=1), 0, r"is 0; .* between 1 and inf"),
        (Option(default=0.5, help="h", maximum=1), 2, r"is 2\.0; .* -inf and 1"),
        (
            Option(default=0.5, help="h", minimum=0),
            math.nan,
            r"is nan; expected a number",
        ),
        (Option(default=0.5, help="h"), math.nan, r"is nan; expected a number"),
    ],
    ids=str,
)
def test_bad_option_is_refused(option, value, message):
    with pytest.raises(nnft.SpecError, match=rf"option `o` .*{message}"):
        option.validate("o", value)


def test_whole_number_is_taken_for_a_real_option():
    value = Option(default=0.5, help="h", minimum=0).validate("o", 2)
    assert value == 2.0
    assert type(value) is float


def test_own_activation_may_not_pass_for_a_standard_one():
    """Files know an activation by its name alone."""

    def relu(z):
        return z**3

    for mine in (relu, nnft.Activation(name="tanh", function=relu)):
        with pytest.raises(nnft.SpecError, match="give yours another name"):
            nnft.network("mlp", width=5, input_dim=1, activation=mine)
    with pytest.raises(nnft.SpecError, match="takes no function"):
        nnft.network("mlp", width=5, input_dim=1, weight_law=relu)


def test_number_is_taken_for_the_text_that_an_option_expects():
    net = nnft.network("mlp", width=5, input_dim=1, depth=1, width_factors=2)
    assert net.hyperparameters.option("width_factors", str) == "2"
    with pytest.raises(nnft.PluginError, match="does it declare such a default"):
        net.hyperparameters.option("depth", str)
    with pytest.raises(nnft.PluginError, match=r"'dept' \(did you mean 'depth'\?\)"):
        net.hyperparameters.option("dept", int)
