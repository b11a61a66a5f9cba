import math
from itertools import combinations_with_replacement

import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl import SpecError
from nnft_ppl.correlators.symmetric import entries, num_entries, positions
from nnft_ppl.eft.action import Action
from nnft_ppl.eft.expansion import design_matrix
from nnft_ppl.eft.full_functions import around_mean, full_from_connected, full_map
from nnft_ppl.eft.integrals import first_order

NETWORK = nnft.network("erf-net", width=20, input_dim=1, weight_std=1.0, bias_std=1.0)
X = [-0.5, 0.3, 1.0]
CUTOFFS = [5.0, 50.0]


def random_packed(order, num_points=3, batch=(), seed=0):
    rng = np.random.default_rng(seed + order)
    return rng.normal(size=(*batch, num_entries(num_points, order)))


def set_partitions(items):
    """All partitions of a list into non-empty blocks."""
    if not items:
        yield []
        return
    first, rest = items[0], items[1:]
    for partition in set_partitions(rest):
        yield [[first], *partition]
        for i, block in enumerate(partition):
            yield [*partition[:i], [first, *block], *partition[i + 1 :]]


def full_by_hand(parts, order, max_power, num_points=3):
    """Σ over set partitions into blocks of `parts`, of m legs counting m/2 − 1."""
    keys = {
        k: dict(
            zip(combinations_with_replacement(range(num_points), k), v, strict=True)
        )
        for k, v in parts.items()
    }
    values = []
    for index in combinations_with_replacement(range(num_points), order):
        total = 0.0
        for partition in set_partitions(list(range(order))):
            sizes = [len(block) for block in partition]
            counted = sum(s / 2 - 1 for s in sizes if s > 1)
            if any(s not in parts for s in sizes) or counted > max_power:
                continue
            total += np.prod(
                [keys[len(b)][tuple(sorted(index[i] for i in b))] for b in partition]
            )
        values.append(total)
    return np.array(values)


def test_columns_are_the_operators_first_order_terms():
    action = Action(["lambda_0", "kappa", "lambda_nl"])
    for order in (4, 6):
        values, error = design_matrix(action, NETWORK, X, CUTOFFS, order)
        assert values.shape == error.shape == (2, num_entries(3, order), 3)
        for i, operator in enumerate(action.operators):
            if operator.num_fields == order:
                column = first_order(operator, NETWORK, X, CUTOFFS)
                np.testing.assert_array_equal(values[..., i], column.values)
                np.testing.assert_array_equal(error[..., i], column.error)
            else:
                assert not values[..., i].any()
                assert not error[..., i].any()


def test_an_operator_that_does_not_contribute_may_diverge():
    soft = nnft.Operator(
        name="soft",
        symbol="s",
        fields=(0,) * 4,
        weight=lambda y: np.exp(-(y[..., 0] ** 2)),
    )
    action = Action([soft, "kappa"])
    design = design_matrix(action, NETWORK, X, [math.inf], 4)
    assert (design.error[..., 0] > 0).all()
    with pytest.raises(SpecError, match="'kappa' has no limit at cutoff inf"):
        design_matrix(action, NETWORK, X, [math.inf], 6)


@pytest.mark.parametrize("max_power", [0, 1, 2, 3])
@pytest.mark.parametrize("order", [2, 4, 6, 8])
def test_full_correlators_are_the_partition_sum_up_to_a_power(order, max_power):
    parts = {k: random_packed(k, num_points=2) for k in (2, 4, 6, 8)}
    connected = {k: parts[k] for k in (4, 6, 8)}
    np.testing.assert_allclose(
        full_from_connected(parts[2], connected, order, max_power),
        full_by_hand(parts, order, max_power, num_points=2),
        rtol=1e-11,
        atol=1e-12,
    )


@pytest.mark.parametrize("order", range(1, 7))
@pytest.mark.parametrize("max_power", [0.5, 1])
def test_with_odd_functions_and_a_mean_it_is_the_sum_over_all_partitions(
    order, max_power
):
    parts = {k: random_packed(k) for k in range(1, 5)}
    central = {
        k: full_map(parts[2], k, max_power, has_odd=True).apply(parts)
        for k in range(1, order + 1)
    }
    np.testing.assert_allclose(
        around_mean(parts[1], central, order),
        full_by_hand(parts, order, max_power),
        rtol=1e-12,
        atol=1e-12,
    )
    del parts[1]
    np.testing.assert_allclose(
        central[order],
        full_by_hand(parts, order, max_power),
        rtol=1e-12,
        atol=1e-12,
    )


def test_powers_of_the_width_are_those_of_an_exact_network():
    """ReLU, x > 0, one input: G8/G8_GP = 1 + 30/N + a/N² + b/N³, each power its own.

    From K = x²/2 and the cumulants of theory.md §2: a = (28·½·82.5 + 35·3.75²)/(105/16)
    and b = 3661.875/(105/16).
    """
    coefficients = [1, 30, (14 * 82.5 + 35 * 3.75**2) / (105 / 16), 558]
    for width in (5, 50):
        net = nnft.network("relu-net", width=width, input_dim=1)
        exact = nnft.exact_correlators(net, [1.0], (8,))
        parts = {k: exact.connected(k) for k in (4, 6, 8)}
        for power in range(4):
            found = full_from_connected(exact.connected(2), parts, 8, power)
            expected = np.polyval(coefficients[power::-1], 1 / width)
            assert found[0] / (105 / 16) == pytest.approx(expected, rel=1e-11)
        assert exact.moment(8)[0] == pytest.approx(found[0], rel=1e-12)


def test_a_missing_order_counts_as_zero():
    kernel, four = random_packed(2), random_packed(4)
    zero = np.zeros(num_entries(3, 6))
    np.testing.assert_array_equal(
        full_from_connected(kernel, {4: four}, 6, 2),
        full_from_connected(kernel, {4: four, 6: zero}, 6, 2),
    )


def test_leading_axes_broadcast_together():
    kernel = random_packed(2)
    four = random_packed(4, batch=(2, 1, 3))
    six = random_packed(6, batch=(5, 1))
    full = full_from_connected(kernel, {4: four, 6: six}, 6, 2)
    assert full.shape == (2, 5, 3, num_entries(3, 6))
    np.testing.assert_allclose(
        full[1, 4, 2],
        full_from_connected(kernel, {4: four[1, 0, 2], 6: six[4, 0]}, 6, 2),
        rtol=1e-12,
    )


def test_the_map_holds_fifteen_terms_a_row():
    mapping = full_map(np.ones(num_entries(3, 2)), 6, 2)
    np.testing.assert_array_equal(mapping.gaussian, 15.0)
    np.testing.assert_array_equal(mapping.linear[4].sum(axis=1), 15.0)
    np.testing.assert_array_equal(mapping.linear[6], np.eye(num_entries(3, 6)))


def test_the_output_bias_is_part_of_the_kernel():
    """f = g + b with b ~ N(0, 1) drawn once: E f⁴ = E g⁴ + 6 E g² + 3."""
    propagator, connected = 0.7, 0.2
    alone = full_from_connected(
        np.array([propagator]), {4: np.array([connected])}, 4, 1
    )
    full = full_from_connected(
        np.array([propagator + 1]), {4: np.array([connected])}, 4, 1
    )
    np.testing.assert_allclose(full, alone + 6 * propagator + 3, rtol=1e-14)


def test_entries_of_the_full_correlator_do_not_depend_on_leg_order():
    kernel, four = random_packed(2), random_packed(4)
    full = full_from_connected(kernel, {4: four}, 6, 1)
    shuffled = entries(3, 6)[:, [3, 0, 5, 1, 4, 2]]
    np.testing.assert_array_equal(full[positions(3, shuffled)], full)


@pytest.mark.parametrize("order", [0, -2])
def test_orders_that_no_correlator_has_are_refused(order):
    with pytest.raises(SpecError, match=f"order {order} is not allowed"):
        design_matrix(Action(["lambda_0"]), NETWORK, X, CUTOFFS, order)


@pytest.mark.parametrize("order", [0, 3, -2])
def test_odd_orders_of_even_connected_functions_are_refused(order):
    with pytest.raises(SpecError, match=f"order {order} is not allowed"):
        full_map(np.ones(6), order, 1)


@pytest.mark.parametrize("kernel", [np.ones(5), np.ones((3, 3)), np.ones(0)])
def test_a_kernel_that_is_not_packed_is_refused(kernel):
    with pytest.raises(SpecError, match="packed entries"):
        full_map(kernel, 4, 1)


def test_connected_correlators_of_another_size_are_refused():
    with pytest.raises(
        SpecError, match="connected 4-pt correlator has 14 entries; exp"
    ):
        full_from_connected(np.ones(6), {4: np.ones(14)}, 4, 1)


@pytest.mark.parametrize(
    ("name", "width", "bias_std", "x", "misfit"),
    # theory.md §4: what λ_0, λ_2 and λ_NL leave on wide inputs at Λ = 100.
    [
        ("gauss-net", 1000, 1.0, [-1.0, -0.6, -0.2, 0.2, 0.6, 1.0], 0.51),
        ("relu-net", 20, 1.0, [-1.2, -0.6, 0.2, 0.6, 1.0, 1.2], 0.18),
        ("erf-net", 5, 1.0, [-1.0, -0.6, -0.2, 0.2, 0.6, 1.0], 0.30),
    ],
)
def test_known_misfits_on_wide_inputs(name, width, bias_std, x, misfit):
    network = nnft.network(name, width=width, input_dim=1, bias_std=bias_std)
    exact = nnft.exact_correlators(network, x, (2, 4)).connected(4)
    action = nnft.Action(["lambda_0", "lambda_2", "lambda_nl"])
    design = design_matrix(action, network, x, [100.0], 4).values[0]
    scaled = design / np.abs(design).max(axis=0)
    left = exact - scaled @ np.linalg.lstsq(scaled, exact)[0]
    relative = np.sqrt(np.mean(left**2) / np.mean(exact**2))
    assert relative == pytest.approx(misfit, abs=0.006)
