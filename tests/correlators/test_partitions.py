from math import comb

from nnft_ppl.correlators.partitions import even_partitions, pairings, partitions


def test_pairings_number_the_odd_double_factorial():
    assert [len(pairings(k)) for k in (2, 4, 6, 8)] == [1, 3, 15, 105]


def test_even_partitions_obey_the_recursion_on_the_first_legs_block():
    counts = {0: 1}
    for k in (2, 4, 6, 8):
        counts[k] = sum(comb(k - 1, b - 1) * counts[k - b] for b in range(2, k + 1, 2))
        assert len(even_partitions(k)) == counts[k]


def test_partitions_cover_every_leg_once():
    for partition in even_partitions(6):
        assert sorted(leg for block in partition for leg in block) == list(range(6))
        assert all(len(block) % 2 == 0 for block in partition)


def test_all_partitions_number_the_bell_numbers():
    counts = [len(partitions(k, range(1, k + 1))) for k in range(1, 8)]
    assert counts == [1, 2, 5, 15, 52, 203, 877]
    assert partitions(3, (1, 3)) == (((0,), (1,), (2,)), ((0, 1, 2),))
