"""Products as matrix products are those of `network_products.py`, which has oracles."""

import jax
import numpy as np
import pytest

from nnft_ppl.correlators.sampled.network_products import means_over_networks
from nnft_ppl.correlators.sampled.wide_products import wide_means
from nnft_ppl.correlators.symmetric import num_entries

STATIC = {"static_argnums": (1, 2, 3), "static_argnames": "outputs"}
means_of, wide_of = (
    jax.jit(means_over_networks, **STATIC),
    jax.jit(wide_means, **STATIC),
)


@pytest.mark.parametrize("group", [1, 64])
@pytest.mark.parametrize(
    ("num_legs", "orders", "drawn"),
    [
        (3, (2, 4, 6), None),
        (2, (2, 4, 6, 8), None),
        (3, (2,), None),
        (3, (2, 4, 6), (2,)),
        (2, (2, 4, 6, 8), (2,)),
        (1, (2, 4), (2,)),
        (3, (2,), (2,)),
        (2, (2, 4, 6), (2, 4, 6)),
        (3, (1, 2, 3, 4), (1, 2, 3, 4)),
    ],
)
def test_means_are_those_of_the_loops(num_legs, orders, drawn, group):
    rows = num_legs if drawn is None else sum(num_entries(num_legs, k) for k in drawn)
    draws = np.random.default_rng(5).normal(size=(rows, 256)).astype(np.float32)
    options = {"outputs": drawn is None}
    found = np.asarray(wide_of(draws, num_legs, orders, group, **options))
    expected = np.asarray(means_of(draws, num_legs, orders, group, **options))
    size = np.asarray(means_of(np.abs(draws), num_legs, orders, group, **options))
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    assert (np.abs(found - expected) <= 16 * 2.0**-24 * size).all()


def test_products_are_matrix_products_of_full_precision():
    """In a program for CUDA: one for the highest order, whose factors keep 24 bits."""
    draws = jax.ShapeDtypeStruct((21, 4096), np.float32)
    traced = wide_of.trace(draws, 6, (2, 4, 6), 512, outputs=False)
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    products = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
    assert len(products) == 1
    assert "precision = [HIGHEST, HIGHEST]" in products[0]
    assert "tensor<8x21x126xf32>" in products[0]
    assert "optimization_barrier" not in text
