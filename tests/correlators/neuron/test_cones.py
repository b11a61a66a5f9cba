import numpy as np
import pytest

from nnft_ppl.correlators.neuron.cones import simplicial_cones, sphere_rules


@pytest.mark.parametrize("rank", [1, 2, 3, 4, 5])
def test_cones_fill_the_sphere_and_hyperplanes_miss_their_inside(rank):
    normals = np.random.default_rng(rank).normal(size=(min(rank + 2, 6), rank))
    cones = simplicial_cones(normals)
    side = cones @ (normals / np.linalg.norm(normals, axis=1, keepdims=True)).T
    inside = (side.min(axis=1) > -1e-12) | (side.max(axis=1) < 1e-12)
    assert inside.all()
    second, total = np.zeros((rank, rank)), 0.0
    for nodes, weights in sphere_rules(cones, 14 if rank < 4 else 7):
        second += (nodes.T * weights) @ nodes
        total += weights.sum()
    assert abs(total - 1) < 1e-5
    np.testing.assert_allclose(second, np.eye(rank) / rank, atol=1e-5)


def test_sphere_rule_converges_geometrically():
    cones = simplicial_cones(np.random.default_rng(0).normal(size=(5, 3)))
    errors = [
        abs(sum(weights.sum() for _, weights in sphere_rules(cones, m)) - 1)
        for m in (3, 6, 9)
    ]
    assert errors[1] < 1e-2 * errors[0]
    assert errors[2] < 1e-2 * errors[1]
