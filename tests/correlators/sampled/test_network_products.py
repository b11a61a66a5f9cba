"""Mean products against sums written out in NumPy, entry by entry, in float64."""

from itertools import combinations, combinations_with_replacement
from math import comb, prod

import jax
import numpy as np
import pytest
from oracles.single_neuron import isserlis

from nnft_ppl.correlators.sampled.network_products import (
    means_over_networks,
    wick_matrix,
)
from nnft_ppl.correlators.sampled.wide_products import wide_means
from nnft_ppl.correlators.wick import pack_kernel, wick_powers

EPSILON = 2.0**-24
mean_of = jax.jit(
    means_over_networks, static_argnums=(1, 2, 3), static_argnames="outputs"
)


def tuples(num_legs, order):
    return list(combinations_with_replacement(range(num_legs), order))


def group_means(rows, group):
    return rows.reshape(len(rows), -1, group).mean(axis=2)


def products(field, order):
    """Every f_1 … f_k, (entry, network)."""
    return np.array(
        [field[list(legs)].prod(axis=0) for legs in tuples(len(field), order)]
    )


def blocks_of(legs):
    """Set partitions of a list of places."""
    if not legs:
        yield []
        return
    first, *others = legs
    for size in range(len(legs)):
        for mates in combinations(others, size):
            rest = [leg for leg in others if leg not in mates]
            for partition in blocks_of(rest):
                yield [(first, *mates), *partition]


def partition_products(cumulants, num_legs, order):
    """Σ over partitions of the legs of Π of the cumulants of the blocks."""
    place = {
        k: {legs: i for i, legs in enumerate(tuples(num_legs, k))} for k in cumulants
    }
    partitions = [
        partition
        for partition in blocks_of(list(range(order)))
        if all(len(block) in cumulants for block in partition)
    ]
    return np.array(
        [
            sum(
                prod(
                    cumulants[len(b)][place[len(b)][tuple(legs[i] for i in b)]]
                    for b in partition
                )
                for partition in partitions
            )
            for legs in tuples(num_legs, order)
        ]
    )


def assert_equal_to_float32(found, expected, sizes, roundings=12):
    """To a few roundings of the mean of what was added, the signs left out."""
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert (np.abs(found - expected) <= roundings * EPSILON * sizes).all()


@pytest.mark.parametrize("num_legs", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("orders", [(2,), (2, 4, 6, 8)])
def test_products_of_outputs(num_legs, orders):
    rng = np.random.default_rng(num_legs)
    field = rng.normal(size=(num_legs, 32)).astype(np.float32)
    exact = np.concatenate([products(field.astype(float), k) for k in orders])
    found = mean_of(field, num_legs, orders, 8, outputs=True)
    assert_equal_to_float32(found, group_means(exact, 8), group_means(np.abs(exact), 8))


@pytest.mark.parametrize("group", [1, 2, 4, 64, 512])
@pytest.mark.parametrize("outputs", [True, False])
def test_groups_are_neighbouring_networks(group, outputs):
    rng = np.random.default_rng(group)
    num_legs, orders = 3, (2, 4, 6)
    rows = num_legs if outputs else comb(num_legs + 1, 2)
    draws = rng.normal(size=(rows, 1024)).astype(np.float32)
    draws[:, 512:] += 2  # groups differ by more than chance
    wide = draws.astype(float)
    exact = np.concatenate(
        [
            products(wide, k) if outputs else partition_products({2: wide}, num_legs, k)
            for k in orders
        ]
    )
    sizes = np.concatenate(
        [
            products(abs(wide), k)
            if outputs
            else partition_products({2: abs(wide)}, num_legs, k)
            for k in orders
        ]
    )
    found = mean_of(draws, num_legs, orders, group, outputs=outputs)
    assert_equal_to_float32(found, group_means(exact, group), group_means(sizes, group))


@pytest.mark.parametrize("num_legs", [1, 2, 4])
@pytest.mark.parametrize(
    ("orders", "drawn"),
    [
        ((2,), (2,)),
        ((2, 4), (2,)),
        ((2, 4, 6), (2,)),
        ((2, 4, 6, 8), (2,)),
        ((2, 4), (2, 4)),
        ((2, 4, 6), (2, 4, 6)),
        ((2, 4, 6, 8), (2, 4, 6, 8)),
        ((1, 2), (1, 2)),
        ((1, 2, 3, 4, 5), (1, 2, 3, 4, 5)),
    ],
)
def test_sums_over_partitions_into_cumulants(num_legs, orders, drawn):
    """Pairings alone where the draws are random kernels."""
    rng = np.random.default_rng(len(orders))
    cumulants = {
        k: rng.normal(size=(len(tuples(num_legs, k)), 4)).astype(np.float32)
        for k in drawn
    }
    wide = {k: v.astype(float) for k, v in cumulants.items()}
    size = {k: np.abs(v) for k, v in wide.items()}
    exact, sizes = (
        np.concatenate([partition_products(c, num_legs, k) for k in orders])
        for c in (wide, size)
    )
    found = mean_of(
        np.concatenate(list(cumulants.values())), num_legs, orders, 2, outputs=False
    )
    terms = 2 ** (orders[-1] - 2) if len(drawn) > 1 else orders[-1]  # of the last sum
    assert_equal_to_float32(
        found, group_means(exact, 2), group_means(sizes, 2), 12 + terms
    )


def random_kernel(num_legs, seed=5):
    root = np.random.default_rng(seed).normal(size=(num_legs, num_legs + 1))
    return root @ root.T


@pytest.mark.parametrize("num_legs", [1, 3, 6])
@pytest.mark.parametrize("orders", [(2,), (2, 4), (2, 4, 6, 8), (1, 2, 3, 4, 5)])
def test_wick_matrix_of_moments_is_the_mean_of_wick_powers(num_legs, orders):
    kernel = random_kernel(num_legs)
    field = np.random.default_rng(1).normal(size=(num_legs, 50))
    matrix, constant = wick_matrix(pack_kernel(kernel), num_legs, orders)
    moments = np.concatenate([products(field, k).mean(axis=1) for k in orders])
    powers = wick_powers(field, pack_kernel(kernel), orders)
    expected = np.concatenate([powers[k].mean(axis=1) for k in orders])
    sizes = np.abs(matrix) @ np.abs(moments) + np.abs(constant)
    assert (np.abs(matrix @ moments + constant - expected) < 1e-13 * sizes).all()


@pytest.mark.parametrize("num_legs", [1, 3, 6])
@pytest.mark.parametrize("orders", [(2,), (2, 4), (2, 4, 6, 8), (1, 2, 3, 4, 5)])
def test_wick_ordered_products_of_a_gaussian_field_average_to_zero(num_legs, orders):
    kernel = random_kernel(num_legs)
    moments = np.array(
        [
            0.0 if k % 2 else isserlis(kernel, list(legs))
            for k in orders
            for legs in tuples(num_legs, k)
        ]
    )
    matrix, constant = wick_matrix(pack_kernel(kernel), num_legs, orders)
    sizes = np.abs(matrix) @ np.abs(moments) + np.abs(constant)
    assert (np.abs(matrix @ moments + constant) <= 1e-13 * sizes).all()


def test_wick_matrix_at_one_input_is_that_of_hermite_polynomials():
    """x² − v, x⁴ − 6vx² + 3v², x⁶ − 15vx⁴ + 45v²x² − 15v³."""
    v = 1.7
    matrix, constant = wick_matrix(np.array([v]), 1, (2, 4, 6))
    expected = [[1, 0, 0], [-6 * v, 1, 0], [45 * v**2, -15 * v, 1]]
    np.testing.assert_allclose(matrix, expected, rtol=1e-14)
    np.testing.assert_allclose(constant, [-v, 3 * v**2, -15 * v**3], rtol=1e-14)


@pytest.mark.parametrize("group", [1, 64])
def test_products_of_odd_orders_are_those_written_out(group):
    field = np.random.default_rng(8).standard_normal((3, 128)).astype(np.float32)
    orders = (1, 2, 3, 4, 5)
    found = np.asarray(mean_of(field, 3, orders, group, outputs=True))
    wide = np.asarray(
        jax.jit(wide_means, static_argnums=(1, 2, 3), static_argnames="outputs")(
            field, 3, orders, group, outputs=True
        )
    )
    expected = np.concatenate(
        [group_means(products(field.astype(float), k), group) for k in orders]
    )
    size = np.concatenate(
        [group_means(abs(products(field.astype(float), k)), group) for k in orders]
    )
    for means in (found, wide):
        assert (abs(means - expected) <= 100 * EPSILON * size).all()
