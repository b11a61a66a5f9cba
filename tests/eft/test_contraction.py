import numpy as np
import pytest

from nnft_ppl import Operator, PluginError, UnavailableError
from nnft_ppl.eft import contraction
from nnft_ppl.eft.contraction import Shell, joined, shell_cross_sum, shell_sum


def random_shells(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Shell(rng.normal(size=(7, 1)), rng.uniform(size=7), rng.normal(size=(3, 7)))
        for _ in range(count)
    ]


def skewed(y, z):
    return y[..., 0] - 2 * z[..., 0] ** 2


OPERATORS = [
    Operator(name="local", symbol="a", fields=(0,) * 4),
    Operator(name="split", symbol="b", fields=(0, 1, 0, 1)),
    Operator(name="skewed", symbol="c", fields=(0, 1, 1, 1), weight=skewed),
]


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: o.name)
def test_shell_by_shell_equals_all_at_once(operator):
    shells = random_shells(3)
    parts = [shell_sum(operator, shells[:i], shell) for i, shell in enumerate(shells)]
    np.testing.assert_allclose(
        sum(parts), shell_sum(operator, [], joined(shells)), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda o: o.name)
def test_the_cross_sum_is_what_is_linear_in_a_thin_shell(operator):
    box, shell = random_shells(2)
    thin = Shell(shell.nodes, 1e-6 * shell.weights, shell.propagator)
    linear = shell_cross_sum(operator, [box], shell)
    np.testing.assert_allclose(
        shell_sum(operator, [box], thin) / 1e-6, linear, rtol=1e-4, atol=1e-4
    )


def test_the_unit_weight_shortcut_equals_the_double_sum():
    shortcut = OPERATORS[1]
    full = Operator(
        name="full",
        symbol="f",
        fields=shortcut.fields,
        weight=lambda y, z: np.ones(y.shape[:-1]),
    )
    shells = random_shells(2)
    np.testing.assert_allclose(
        shell_sum(shortcut, shells[:1], shells[1]),
        shell_sum(full, shells[:1], shells[1]),
        rtol=1e-12,
    )


def test_the_node_product_is_walked_in_blocks(monkeypatch):
    operator, shells = OPERATORS[2], random_shells(2)
    whole = shell_sum(operator, shells[:1], shells[1])
    monkeypatch.setattr(contraction, "_BLOCK", 10)
    np.testing.assert_allclose(
        shell_sum(operator, shells[:1], shells[1]), whole, rtol=1e-12, atol=1e-12
    )


def test_three_integration_points_are_unavailable():
    operator = Operator(name="three", symbol="t", fields=(0, 0, 1, 1, 2, 2))
    with pytest.raises(UnavailableError, match="'three' has 3 integration points"):
        contraction.require_supported(operator)


def test_a_weight_of_the_wrong_shape_is_refused():
    operator = Operator(name="bad", symbol="b", fields=(0, 0), weight=lambda y: y**2)
    with pytest.raises(PluginError, match=r"'bad': its weight has shape \(7, 1\)"):
        shell_sum(operator, [], random_shells(1)[0])
