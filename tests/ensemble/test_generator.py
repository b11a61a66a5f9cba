"""The fused generator against a second implementation, closed forms and a battery.

Everything is deterministic. Statistical tests are on fixed streams, at p-values between
10⁻⁵ and 1 − 10⁻⁵ (the whole file computes some 10³ of them) or 5 standard errors.
"""

import math
from functools import cache, partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import random_numbers as oracle
from scipy import stats

from nnft_ppl.ensemble import generator
from nnft_ppl.ensemble.generator import stream_words, threefry
from nnft_ppl.ensemble.generator_names import DEFAULT_GENERATOR, ROUNDS

KEY = jax.random.key(20)
LEAST, MOST = 1e-5, 1 - 1e-5
EPSILON = 2.0**-24
"""Half a unit in the last place of float32 numbers near 1."""
EDGES = (0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
DEFAULT = ROUNDS[DEFAULT_GENERATOR]
"""Rounds, as everything below has them unless it says otherwise."""
normal_pairs = partial(generator.normal_pairs, rounds=DEFAULT)
pairs_of = jax.jit(normal_pairs)


def words_of(*numbers):
    return np.array(numbers, np.uint32)


def grid(num_networks, num_elements, network=0, element=0):
    """Counters (network, element)."""
    networks = network + np.arange(num_networks, dtype=np.uint32)[:, None]
    elements = element + np.arange(num_elements, dtype=np.uint32)[None]
    return tuple(map(np.ascontiguousarray, np.broadcast_arrays(networks, elements)))


@cache
def sample(seed=20, high=0, network=0, element=0, shape=(2048, 512)):
    """Pairs (2, network, element), float64."""
    stream = stream_words(jax.random.key(seed), high)
    return np.array(pairs_of(stream, *grid(*shape, network, element)), np.float64)


# The cipher.


ZEROS, ONES = ((0, 0), (0, 0)), ((2**32 - 1,) * 2, (2**32 - 1,) * 2)
PI = ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344))
"""Counters and keys; the last are digits of π."""


@pytest.mark.parametrize(
    ("rounds", "given", "expected"),
    [
        (13, ZEROS, (0x9D1C5EC6, 0x8BD50731)),
        (13, ONES, (0xFD36D048, 0x2D17272C)),
        (13, PI, (0xBA3E4725, 0xF27D669E)),
        (20, ZEROS, (0x6B200159, 0x99BA4EFE)),
        (20, ONES, (0x1CB996FC, 0xBB002BE7)),
        (20, PI, (0xC4923A9C, 0x483DF7A0)),
    ],
)
@pytest.mark.parametrize("of", [np.uint32, words_of, jnp.uint32])
def test_known_answers_of_random123(rounds, given, expected, of):
    """`threefry2x32 13` and `… 20` of the file kat_vectors of Salmon et al."""
    counters, key = given
    words = threefry(tuple(map(of, key)), *map(of, counters), rounds=rounds)
    assert [int(np.squeeze(word)) for word in words] == list(expected)


def test_the_rounds_of_a_name_never_change():
    """Files say by name how their networks were drawn."""
    assert (ROUNDS["fused13"], ROUNDS["fused"]) == (13, 20)


def test_words_are_those_of_the_keys_that_jax_folds():
    numbers = words_of(0, 1, 2, 12345, 2**31, 2**32 - 1)
    key = jax.random.key_data(KEY)
    expected = jax.vmap(lambda j: jax.random.key_data(jax.random.fold_in(KEY, j)))(
        numbers
    )
    words = threefry((key[:1], key[1:]), np.zeros_like(numbers), numbers, rounds=20)
    assert (np.stack(words, axis=1) == np.asarray(expected)).all()


@pytest.mark.parametrize("rounds", ROUNDS.values())
def test_words_are_those_of_a_second_implementation(rounds):
    rng = np.random.default_rng(0)
    for _ in range(50):
        key = rng.integers(0, 2**32, 2, np.uint32)
        counters = rng.integers(0, 2**32, (2, 200), np.uint32)
        ours = threefry((key[:1], key[1:]), *counters, rounds=rounds)
        assert (np.array(ours) == oracle.threefry(key, counters, rounds)).all()


def test_streams_never_meet_each_other_or_a_folded_key():
    """The cipher permutes counters, and counters of streams begin where others do not.

    Keys folded or split from a key have the first counter word 0.
    """
    key = np.asarray(jax.random.key_data(KEY))
    highs = [0, 1, 2, 1000, 2**21 - 1, 2**31, 2**31 + 1, 2**32 - 2]
    counters = {oracle.counters_giving(key, stream_words(KEY, high)) for high in highs}
    assert len(counters) == len(highs)
    assert all(first != 0 for first, _ in counters)


# The transform.


@pytest.mark.parametrize("rounds", ROUNDS.values())
def test_normals_are_box_and_mullers_of_the_words_to_float32(rounds):
    """Rounding: of u, ε/r in the radius r; of all that follows, a few ε r."""
    stream, counters = stream_words(KEY, 0), grid(1024, 256)
    words = oracle.threefry(stream, counters, rounds)
    radius, sine, cosine = oracle.box_muller(*words)
    pairs = jax.jit(partial(generator.normal_pairs, rounds=rounds))(stream, *counters)
    for ours, angle in zip(pairs, (sine, cosine), strict=True):
        ours = np.asarray(ours, np.float64)
        assert (
            np.abs(ours - radius * angle) < EPSILON * (4 * radius + 2 / radius)
        ).all()


@pytest.mark.parametrize(("first", "second"), [*product(EDGES, EDGES)])
def test_extreme_words_give_finite_numbers_where_they_belong(first, second):
    """Counters found by running the cipher backwards."""
    stream = stream_words(KEY, 0)
    counters = oracle.counters_giving(stream, (first, second), DEFAULT)
    assert oracle.threefry(stream, counters, DEFAULT) == (first, second)
    ours = pairs_of(stream, *(words_of(counter) for counter in counters))
    radius, *angles = oracle.box_muller(*words_of(first, second)[:, None])
    for number, angle in zip(ours, angles, strict=True):
        # At most √(2ε) from 0 where u is rounded to 1.
        error = np.abs(np.asarray(number, np.float64) - radius * angle)
        assert error[0] <= EPSILON * (4 * radius[0] + 2 / max(radius[0], EPSILON**0.5))


def test_the_largest_number_is_that_of_the_smallest_u():
    assert oracle.box_muller(words_of(0), words_of(0))[0] == pytest.approx(
        6.5556, abs=1e-4
    )


# Batching.


def test_numbers_do_not_depend_on_the_shape_they_are_computed_in():
    """To the bit, wherever compiled: rows, columns, parts, other loops and users."""
    stream = stream_words(KEY, 0)
    whole = np.array(pairs_of(stream, *grid(300, 37)))

    def same(part, rows, columns):
        return (np.array(part) == whole[:, rows, columns]).all()

    for rows, columns in [(1, 1), (1, 37), (300, 1), (7, 5), (13, 36), (299, 37)]:
        part = pairs_of(stream, *grid(rows, columns, 300 - rows, 37 - columns))
        assert same(part, slice(300 - rows, None), slice(37 - columns, None))
    networks, elements = grid(300, 37)
    turned = pairs_of(stream, networks.T, elements.T)
    assert same([number.T for number in turned], slice(None), slice(None))
    mapped = jax.jit(jax.vmap(normal_pairs, (None, 0, 0)))(stream, networks, elements)
    assert same(mapped, slice(None), slice(None))
    flat = jax.lax.map(lambda c: normal_pairs(stream, *c), (networks, elements))
    assert same(flat, slice(None), slice(None))
    # A user that wants one number of a pair, or their sum, fused with what makes them.
    use = jax.jit(
        lambda n, e: (normal_pairs(stream, n, e)[1], sum(normal_pairs(stream, n, e)))
    )
    one, total = use(networks, elements)
    assert (np.asarray(one) == whole[1]).all()
    assert (np.asarray(total) == whole[0] + whole[1]).all()


def test_numbers_do_not_depend_on_the_precision_of_the_host():
    stream = stream_words(KEY, 0)
    plain = pairs_of(stream, *grid(64, 64))
    with jax.enable_x64(True):
        wide = jax.jit(normal_pairs)(stream, *grid(64, 64))
    for a, b in zip(plain, wide, strict=True):
        assert b.dtype == np.float32
        assert (np.asarray(a) == np.asarray(b)).all()


def test_uncompiled_calls_agree_to_rounding():
    stream = stream_words(KEY, 0)
    for a, b in zip(
        normal_pairs(stream, *grid(64, 64)),
        pairs_of(stream, *grid(64, 64)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=0, atol=40 * EPSILON)


# The law.


def test_moments_one_to_eight():
    numbers = sample().ravel()
    power = np.ones_like(numbers)
    for k in range(1, 9):
        power *= numbers
        mean = 0 if k % 2 else math.prod(range(1, k, 2))
        error = math.sqrt((math.prod(range(1, 2 * k, 2)) - mean**2) / len(numbers))
        assert abs(power.mean() - mean) < 5 * error, k


@pytest.mark.parametrize("half", [0, 1])
def test_distribution(half):
    numbers = sample()[half].ravel()
    uniform = stats.norm.cdf(numbers)
    assert LEAST < stats.kstest(uniform, "uniform").pvalue < MOST
    assert LEAST < stats.cramervonmises(uniform[::4], "uniform").pvalue < MOST
    counts = np.histogram(uniform, 4096, (0, 1))[0]
    assert LEAST < stats.chisquare(counts).pvalue < MOST


@pytest.mark.parametrize("half", [0, 1])
@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("edge", [3.0, 4.0, 4.5, 5.0])
def test_tails(half, side, edge):
    numbers = side * sample()[half]
    mean = numbers.size * stats.norm.sf(edge)
    count = np.count_nonzero(numbers > edge)
    assert stats.poisson.sf(count - 1, mean) > LEAST
    assert stats.poisson.cdf(count, mean) > LEAST
    # Within the tail, where there is enough to look at.
    if mean > 20:
        beyond = stats.norm.sf(numbers[numbers > edge]) / stats.norm.sf(edge)
        assert LEAST < stats.kstest(beyond, "uniform").pvalue < MOST


@pytest.mark.slow
def test_the_far_tail_where_a_stream_was_searched_for_it():
    """The mean of Σ over |x| > 5.2 is 2·10⁻⁷ a number: 3·10⁷ of them, in the bulk."""
    stream = stream_words(KEY, 0)

    @jax.jit
    def beyond(first):
        networks = first + jnp.arange(1 << 14, dtype=jnp.uint32)[:, None]
        elements = jnp.arange(1 << 7, dtype=jnp.uint32)[None]
        pair = jnp.stack(normal_pairs(stream, networks, elements))
        return jnp.sum(jnp.abs(pair) > 5.2), jnp.sum(jnp.abs(pair) > 5.7)

    counts = np.sum([beyond(np.uint32(k << 14)) for k in range(16)], axis=0)
    for count, edge in zip(counts, (5.2, 5.7), strict=True):
        mean = 16 * 2**22 * 2 * stats.norm.sf(edge)
        assert stats.poisson.sf(count - 1, mean) > LEAST
        assert stats.poisson.cdf(count, mean) > LEAST


def test_radius_and_angle_are_independent_and_uniform():
    sine, cosine = sample().reshape(2, -1)
    turn = np.arctan2(sine, cosine) / (2 * np.pi) + 0.5
    chance = np.exp(-(sine**2 + cosine**2) / 2)
    assert LEAST < stats.kstest(turn, "uniform").pvalue < MOST
    assert LEAST < stats.kstest(chance, "uniform").pvalue < MOST
    counts = np.histogram2d(turn, chance, 64, ((0, 1), (0, 1)))[0]
    assert LEAST < stats.chisquare(counts.ravel()).pvalue < MOST


# Independence.

SHAPES = {
    "x": lambda x: x,
    "x²": lambda x: (x**2 - 1) / math.sqrt(2),
    "x³": lambda x: (x**3 - 3 * x) / math.sqrt(6),
    "|x|": lambda x: (np.abs(x) - math.sqrt(2 / math.pi)) / math.sqrt(1 - 2 / math.pi),
}
"""Functions of mean 0 and variance 1 of a normal number."""


def shaped(numbers):
    """(function, number)."""
    return np.stack([f(numbers.ravel()) for f in SHAPES.values()])


def dependences(one, other):
    """Correlations of functions of two sets of numbers, in standard errors."""
    table = shaped(one) @ shaped(other).T / math.sqrt(one.size)
    names = product(SHAPES, SHAPES)
    return dict(zip(names, table.ravel().tolist(), strict=True))


def neighbours():
    """Two arrays of numbers that should have nothing to do with each other."""
    numbers = sample()
    yield "of a pair", *numbers
    for lag in (1, 2, 32):
        yield f"elements {lag} apart", numbers[:, :, lag:], numbers[:, :, :-lag]
        yield f"networks {lag} apart", numbers[:, lag:], numbers[:, :-lag]
        yield f"crosswise, {lag} apart", numbers[0, lag:], numbers[1, :-lag]
    yield "transposed", numbers[:, :512], numbers[:, :512].swapaxes(1, 2)
    yield "of neighbouring keys", numbers, sample(seed=21)
    yield "of the streams 0 and 1", numbers, sample(high=1)
    yield "of the streams 0 and 2³¹", numbers, sample(high=2**31)
    yield "half the networks away", numbers, sample(network=2**31)
    yield "half the elements away", numbers, sample(element=2**31)


@pytest.mark.slow
def test_neighbours_are_independent():
    found = {
        (name, *functions): z
        for name, one, other in neighbours()
        for functions, z in dependences(one, other).items()
    }
    assert len(found) == 16 * 16
    assert max(map(abs, found.values())) < 5
    # As a whole they are normal, too: x with x of neighbours and so on.
    distinct = [z for (_, a, b), z in found.items() if {a, b} != {"x²", "|x|"}]
    assert LEAST < stats.kstest(distinct, "norm").pvalue < MOST


@pytest.mark.slow
def test_keys_that_differ_in_one_bit_give_independent_numbers():
    data = np.asarray(jax.random.key_data(KEY))
    reference = sample(shape=(128, 512))
    scores = []
    for bit in range(64):
        flipped = data.copy()
        flipped[bit // 32] ^= np.uint32(1 << (bit % 32))
        stream = stream_words(jax.random.wrap_key_data(flipped), 0)
        other = np.array(pairs_of(stream, *grid(128, 512)), np.float64)
        scores += dependences(reference, other).values()
    assert np.abs(scores).max() < 5


def avalanche(rounds):
    """How far from every other time a bit of the words changes, in standard errors.

    (bit of key and counter that was flipped, bit of the words). The key is 0 and
    counters are small: neither the tag of a stream nor `jax.random.key` stands between.
    """

    def words(inputs):
        return np.array(threefry(tuple(inputs[:2]), *inputs[2:], rounds=rounds))

    inputs = np.zeros((4, 64 * 64), np.uint32)
    inputs[2:] = np.reshape(grid(64, 64), (2, -1))
    scores = []
    for bit in range(128):
        word, flip = bit // 32, np.uint32(1 << bit % 32)
        some = inputs[:, inputs[word] & flip == 0]  # each two counters once
        other = some.copy()
        other[word] ^= flip
        changed = (words(some) ^ words(other))[:, None] >> np.arange(32)[:, None] & 1
        number = changed.shape[-1]
        scores.append((changed.sum(axis=-1) - number / 2) / math.sqrt(number / 4))
    return np.reshape(scores, (128, 64))


def avalanche_p_values(rounds):
    """Of the largest score, of all, and of the worst sum over a word."""
    scores = avalanche(rounds)
    over_words = scores.reshape(-1, 32).sum(axis=1) / math.sqrt(32)
    largest, worst = (2 * stats.norm.sf(np.abs(s).max()) for s in (scores, over_words))
    return {
        "a bit": min(1, scores.size * largest),
        "a word": min(1, over_words.size * worst),
        "all": stats.chi2.sf((scores**2).sum(), scores.size),
    }


@pytest.mark.parametrize("rounds", ROUNDS.values())
def test_a_bit_of_key_or_counter_changes_half_of_all_bits(rounds):
    found = avalanche_p_values(rounds)
    assert min(found.values()) > LEAST, found


@pytest.mark.parametrize("rounds", [5, 9])
def test_too_few_rounds_leave_bits_as_they_were(rounds):
    found = avalanche_p_values(rounds)
    assert min(found.values()) < 1e-30, found


# The battery.


def words_in_orders(cipher):
    """Sequences of words as a user meets them: (key, counters) -> two words."""
    key = np.asarray(stream_words(KEY, 0))
    rows, columns = grid(1024, 512)
    x, y = cipher(key, (rows, columns))
    yield "elements first", np.stack([x, y], axis=-1)
    yield "networks first", np.stack([x.T, y.T], axis=-1)
    yield "first words", x
    yield "second words, networks first", np.ascontiguousarray(y.T)
    far = cipher(key, (rows * np.uint32(2**22), columns * np.uint32(2**23)))
    yield "counters far apart", np.stack(far, axis=-1)


def ours(key, counters, rounds=DEFAULT):
    return threefry(tuple(key[:, None, None]), *counters, rounds=rounds)


def p_values(cipher):
    return {
        (order, test): p
        for order, words in words_in_orders(cipher)
        for test, p in oracle.battery(words.ravel()).items()
    }


@pytest.mark.parametrize("rounds", ROUNDS.values())
def test_words_pass_the_battery(rounds):
    found = p_values(partial(ours, rounds=rounds))
    assert len(found) == 55
    assert all(LEAST < p < MOST for p in found.values()), found


def test_keys_of_streams_and_of_networks_pass_the_battery():
    """Streams of neighbouring keys, as `jax.random.key(seed)` gives them."""
    seeds = np.arange(1 << 17, dtype=np.uint32)
    keys = oracle.threefry((0, 0), (np.zeros_like(seeds), seeds))  # of fold_in(key(0))
    tag = words_of(*oracle.counters_giving((0, 0), stream_words(jax.random.key(0), 0)))
    for first in (np.zeros_like(seeds), keys[0]):
        words = threefry((first, seeds), tag[:1], tag[1:], rounds=20)
        for test, p in oracle.battery(np.stack(words, axis=-1).ravel()).items():
            assert LEAST < p < MOST, test


def shared_word(key, counters):
    x, _ = ours(key, counters)
    return x, x


def shared_bits(key, counters):
    """The lowest two bits of the words are the same."""
    x, y = ours(key, counters)
    return x, (y & ~np.uint32(3)) | (x & np.uint32(3))


@pytest.mark.slow_but("4 rounds", "shared word")
@pytest.mark.parametrize(
    "broken",
    [
        lambda key, counters: oracle.threefry(key, counters, rounds=4),
        lambda key, counters: oracle.threefry(key, counters, rounds=6),
        lambda key, counters: oracle.threefry(key, (counters[0], counters[1] // 2)),
        shared_word,
        shared_bits,
    ],
    ids=[
        "4 rounds",
        "6 rounds",
        "elements in equal pairs",
        "shared word",
        "shared bits",
    ],
)
def test_the_battery_finds_what_is_broken(broken):
    found = p_values(broken)
    assert any(not 1e-8 < p < 1 - 1e-8 for p in found.values())


def test_dependence_is_found_where_angle_and_radius_share_bits():
    x, y = (np.asarray(w, np.uint32) for w in ours(words_of(1, 2), grid(512, 512)))
    radius, sine, cosine = oracle.box_muller(x, (y >> 3) | (x & np.uint32(7 << 29)))
    scores = dependences(radius * sine, radius * cosine)
    assert max(map(abs, scores.values())) > 10
