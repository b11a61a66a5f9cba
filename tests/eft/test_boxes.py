from itertools import pairwise

import jax.numpy as jnp
import numpy as np
import pytest

import nnft_ppl as nnft
from nnft_ppl._network import Network
from nnft_ppl.eft.boxes import NestedBoxes

INPUTS = np.array([[0.2], [-1.0]])
RADII = np.array([0.5, 7.0])


def boxes(radii=RADII, inputs=INPUTS, scale=1.0):
    architecture = nnft.Architecture(
        name="made-up",
        description="for a test",
        prior=lambda hp: {},
        apply=lambda hp, params, x: jnp.zeros(1),
        kernel=lambda hp, x, y: jnp.exp(-(((x - y)[0] / scale) ** 2)),
    )
    network = Network.build(architecture, width=1, input_dim=1)
    return NestedBoxes(network, inputs, np.array(radii))


@pytest.mark.parametrize("level", [0, 1])
def test_shells_fill_the_space_between_neighbouring_boxes(level):
    bounds = [0.0, 0.5, 7.0]
    for i, (low, high) in enumerate(pairwise(bounds)):
        shell = boxes().shell(level, i)
        radius = np.abs(shell.nodes[:, 0])
        assert (radius > low).all()
        assert (radius < high).all()
        assert shell.weights.sum() == pytest.approx(2 * (high - low), rel=1e-14)


def test_a_shell_may_be_empty_and_the_tail_begins_at_the_outermost_mark():
    assert len(boxes().shell(0, 2).weights) == 0
    inside = boxes(radii=[0.5])
    assert np.abs(inside.shell(0, 1).nodes).max() < 1.0
    tail = np.abs(inside.shell(0, 2).nodes)
    assert 1.0 < tail.min() < 1.02
    assert tail.max() < 16.0


def test_propagators_belong_to_their_nodes():
    shell = boxes().shell(1, 1)
    expected = np.exp(-((INPUTS - shell.nodes.T) ** 2))
    np.testing.assert_allclose(shell.propagator, expected, rtol=1e-14)


def test_tail_shells_are_the_same_whatever_is_asked_first():
    for index in (3, 5):
        alone, after = boxes(), boxes()
        after.shell(0, 4)
        np.testing.assert_array_equal(
            alone.shell(0, index).nodes, after.shell(0, index).nodes
        )


def test_the_number_of_nodes_is_known_beforehand():
    grid = boxes()
    for level in (0, 2):
        nodes = sum(len(grid.shell(level, i).weights) for i in range(3))
        assert grid.num_nodes(level, 0) == nodes
        assert grid.num_nodes(level, 1) == nodes + 4 * 32 * 2**level


def test_surfaces_are_the_ends_of_the_boxes_for_a_logarithmic_derivative():
    first, last = boxes().surfaces()
    np.testing.assert_array_equal(first.nodes, [[0.5], [-0.5]])
    np.testing.assert_array_equal(last.weights, [7.0, 7.0])
    np.testing.assert_allclose(
        last.propagator, np.exp(-((INPUTS - [[7.0, -7.0]]) ** 2)), rtol=1e-14
    )


def test_panels_shrink_to_a_kernel_narrower_than_the_gaps():
    inputs = np.array([[-300.0], [0.0]])
    nodes = boxes([1e4], inputs, scale=0.01).shell(0, 0).nodes
    for centre in (-300.0, 0.0):
        assert (np.abs(nodes - centre) < 0.02).sum() > 16
