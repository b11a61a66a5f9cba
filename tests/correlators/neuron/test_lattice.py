import numpy as np
import pytest
import scipy.special

from nnft_ppl.correlators.neuron.lattice import (
    ball_lattice,
    enclosing_radius,
    has_parity,
)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_lattice_integrates_gaussian_moments_and_even_ones_on_half_the_points(rank):
    # At this step a cubic lattice is off by 2e-7: the centres of its cells count.
    counts = []
    for even in (False, True):
        fourth = norm = count = 0
        for nodes, weights in ball_lattice(rank, 1.1, 8.5, even=even):
            fourth += weights @ (nodes[:, 0] ** 2 * nodes[:, -1] ** 2)
            norm += weights.sum()
            count += len(weights)
        assert abs(norm - 1) < 1e-11
        assert abs(fourth - (3 if rank == 1 else 1)) < 1e-9
        counts.append(count)
    assert counts[1] < 0.53 * counts[0]


@pytest.mark.parametrize("rank", [1, 3, 4])
def test_part_outside_the_ball_of_a_constant_is_the_chi_square_tail(rank):
    radius, outside = enclosing_radius(np.ones_like, np.ones(1), rank, (4,), 1e-9)
    exact = scipy.special.gammaincc(rank / 2, radius**2 / 2)
    # The integral over one component is a sum with step 0.01.
    assert outside[4] == pytest.approx(exact, rel=0.05)
    assert outside[4] < 1e-9


def test_parity_is_common_to_all_inputs():
    assert has_parity(np.tanh, np.ones(2))
    assert has_parity(np.cos, np.ones(2))
    assert not has_parity(np.exp, np.ones(2))
    mixed = np.array([[0.0], [1.0]])
    assert not has_parity(lambda z: np.sin(z) ** (1 + mixed), np.ones(2))
