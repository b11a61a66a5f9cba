import numpy as np
import pytest

from nnft_ppl.eft.mesh.panels import graded_edges, panel_nodes


@pytest.mark.parametrize(
    "marks",
    [[1.0], [0.002, 1e5], [0.2, 0.4, 1.2, 7.0, 1e5], [1.0, 1.0 + 1e-15], [3, 1, 3]],
)
def test_marks_are_edges_and_neighbours_differ_by_two_at_most(marks):
    edges = graded_edges(np.array(marks))
    assert edges[0] == 0
    assert set(marks) <= set(edges)
    lengths = np.diff(edges)
    assert (lengths > 0).all()
    # a panel one rounding step long may have a neighbour of two or three
    ratio = lengths[1:] / lengths[:-1]
    assert (np.maximum(ratio, 1 / ratio) <= (2.01 if min(lengths) > 1e-14 else 3)).all()


def test_the_number_of_panels_grows_with_the_logarithm_of_the_range():
    few, many = (len(graded_edges(np.array([0.002, top]))) for top in (1e5, 1e10))
    assert few < 60
    assert many - few < 20


def test_nodes_integrate_polynomials_exactly_up_to_their_degree():
    edges = np.array([0.5, 0.75, 2.0])
    for bisections in (0, 2):
        nodes, weights = panel_nodes(edges, 16, bisections)
        for power in (0, 1, 2, 31):
            exact = (2.0 ** (power + 1) - 0.5 ** (power + 1)) / (power + 1)
            scale = 2.0 ** (power + 1)
            assert weights @ nodes**power == pytest.approx(exact, abs=1e-13 * scale)


def test_each_level_bisects_every_panel():
    edges = np.array([0.0, 1.0, 3.0])
    once = panel_nodes(np.array([0.0, 0.5, 1.0, 2.0, 3.0]), 16, 0)
    np.testing.assert_allclose(panel_nodes(edges, 16, 1), once, rtol=1e-15)
