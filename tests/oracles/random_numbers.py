"""Threefry and Box–Muller written a second time, and a battery of randomness tests.

The battery is the standard one in small: Knuth, TAOCP vol. 2 §3.3.2 (frequency, serial,
collision, runs), Marsaglia's Diehard (birthday spacings, matrix rank), L'Ecuyer and
Simard's TestU01 (autocorrelation, Hamming weights). Every p-value is a closed form.
"""

import math

import numpy as np
from scipy import stats

ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA
MASK = 0xFFFFFFFF


def threefry(key, counters, rounds=20):
    """Threefry-2x32 in Python's and NumPy's 64-bit integers.

    Source: Salmon et al. (2011), §2.3 and table 2.
    """
    keys = (int(key[0]), int(key[1]), int(key[0]) ^ int(key[1]) ^ PARITY)
    x, y = (np.asarray(c, np.uint64) for c in counters)
    x, y = (x + np.uint64(keys[0])) & MASK, (y + np.uint64(keys[1])) & MASK
    for number in range(rounds):
        turn = ROTATIONS[number % 8]
        x = (x + y) & MASK
        y = ((y << np.uint64(turn)) | (y >> np.uint64(32 - turn))) & MASK ^ x
        if number % 4 == 3:
            injection = number // 4 + 1
            x = (x + np.uint64(keys[injection % 3])) & MASK
            y = (y + np.uint64((keys[(injection + 1) % 3] + injection) & MASK)) & MASK
    return x.astype(np.uint32), y.astype(np.uint32)


def counters_giving(key, words, rounds=20):
    """The counters of which threefry makes these words."""
    keys = (int(key[0]), int(key[1]), int(key[0]) ^ int(key[1]) ^ PARITY)
    x, y = (int(word) for word in words)
    for number in reversed(range(rounds)):
        if number % 4 == 3:
            injection = number // 4 + 1
            x = (x - keys[injection % 3]) & MASK
            y = (y - keys[(injection + 1) % 3] - injection) & MASK
        turn = ROTATIONS[number % 8]
        y ^= x
        y = ((y >> turn) | (y << (32 - turn))) & MASK
        x = (x - y) & MASK
    return (x - keys[0]) & MASK, (y - keys[1]) & MASK


def box_muller(first, second):
    """Radius, sine and cosine in float64: u = (2⌊w/4⌋ + 1)/2³¹ and 32 bits of angle.

    The lower 31 bits of the second word are an angle of a quarter turn to either side,
    in two's complement, and its top bit adds the mirror image.
    """
    u = (2.0 * (first.astype(np.int64) // 4) + 1) / 2.0**31
    lower = second.astype(np.int64) % 2**31
    quarter = np.where(lower < 2**30, lower, lower - 2**31) / 2.0**30
    side = np.where(second < 2**31, 1.0, -1.0)
    angle = np.pi / 2 * quarter
    return np.sqrt(-2 * np.log(u)), np.sin(angle), side * np.cos(angle)


def battery(words):
    """Name -> p-value of a sequence of uint32 words, 2¹⁸ or more of them."""
    words = np.asarray(words, np.uint32)
    return {
        "bits": _bits(words),
        "bytes": _frequency(words.view(np.uint8), 256),
        "pairs, upper bits": _serial(words >> np.uint32(25), 128),
        "pairs, lower bits": _serial(words & np.uint32(127), 128),
        "runs": _runs(words),
        "autocorrelation": _autocorrelation(words),
        "Hamming weights": _weights(words),
        "collisions, upper bits": _collisions(words >> np.uint32(12)),
        "collisions, lower bits": _collisions(words & np.uint32(0xFFFFF)),
        "birthday spacings": _birthdays(words),
        "matrix rank": _rank(words),
    }


def _chi_squared(statistic, freedom):
    return float(stats.chi2.sf(statistic, freedom))


def _normal(z):
    return float(stats.norm.sf(z))


def _frequency(values, size):
    expected = len(values) / size
    counts = np.bincount(values, minlength=size)
    return _chi_squared(((counts - expected) ** 2).sum() / expected, size - 1)


def _bits(words):
    ones = np.unpackbits(words.view(np.uint8).reshape(-1, 4), axis=1).sum(axis=0)
    z = (2.0 * ones - len(words)) / math.sqrt(len(words))
    return _chi_squared((z**2).sum(), 32)


def _serial(values, size):
    pairs = values.reshape(-1, 2).astype(np.int64)
    return _frequency(pairs[:, 0] * size + pairs[:, 1], size**2)


def _runs(words):
    """Runs above and below the middle: Wald and Wolfowitz."""
    above = words >= 1 << 31
    number, many = len(words), int(above.sum())
    mean = 2.0 * many * (number - many) / number + 1
    variance = (mean - 1) * (mean - 2) / (number - 1)
    runs = 1 + np.count_nonzero(above[1:] != above[:-1])
    return _normal((runs - mean) / math.sqrt(variance))


def _autocorrelation(words, lags=64):
    u = (words.astype(np.float64) + 0.5) / 2.0**32 - 0.5
    z = [
        12 * (u[lag:] * u[:-lag]).sum() / math.sqrt(len(u) - lag)
        for lag in range(1, lags + 1)
    ]
    return _chi_squared(np.square(z).sum(), lags)


def _weights(words):
    """Neighbours' numbers of ones: fewer than 16, 16, more."""
    groups = np.sign(np.bitwise_count(words).astype(np.int64) - 16) + 1
    middle = math.comb(32, 16) / 2.0**32
    chances = np.array([(1 - middle) / 2, middle, (1 - middle) / 2])
    pairs = groups.reshape(-1, 2)
    counts = np.bincount(pairs[:, 0] * 3 + pairs[:, 1], minlength=9)
    expected = len(pairs) * np.outer(chances, chances).ravel()
    return _chi_squared(((counts - expected) ** 2 / expected).sum(), 8)


def _collisions(values, balls=2**11, urns=2**20):
    """Balls that fall into a taken urn: near Poisson, of known mean."""
    throws = np.sort(values.reshape(-1, balls), axis=1)
    collisions = np.count_nonzero(throws[:, 1:] == throws[:, :-1])
    mean = balls - urns * -math.expm1(balls * math.log1p(-1 / urns))
    return _poisson(collisions, len(throws) * mean)


def _birthdays(words, birthdays=2**12):
    """Equal spacings between 2¹² birthdays in a year of 2³² days: Poisson, mean 4."""
    days = np.sort(words.reshape(-1, birthdays).astype(np.int64), axis=1)
    spacings = np.sort(np.diff(days, axis=1), axis=1)
    repeated = np.count_nonzero(spacings[:, 1:] == spacings[:, :-1])
    return _poisson(repeated, len(days) * birthdays**3 / 2.0**34)


def _poisson(count, mean):
    """The probability of more, and half of that of as many."""
    return float(stats.poisson.sf(count, mean) + stats.poisson.pmf(count, mean) / 2)


def _rank(words):
    """Ranks of 32 × 32 matrices of bits: 32, 31 and less."""
    rows = words.reshape(-1, 32).copy()
    every = np.arange(len(rows))
    rank = np.zeros(len(rows), np.int64)
    for bit in range(32):
        has = (rows >> np.uint32(bit)) & np.uint32(1) == 1
        has &= np.arange(32)[None] >= rank[:, None]  # rows above are done
        found, pivot = has.any(axis=1), has.argmax(axis=1)
        place = np.minimum(rank, 31)
        row = np.where(found, rows[every, pivot], 0).astype(np.uint32)
        rows[every[found], pivot[found]] = rows[every[found], place[found]]
        rows[every[found], place[found]] = row[found]
        below = ((rows >> np.uint32(bit)) & np.uint32(1) == 1) & found[:, None]
        below &= np.arange(32)[None] > place[:, None]
        rows ^= np.where(below, row[:, None], np.uint32(0))
        rank += found
    full = np.prod([1 - 2.0**-k for k in range(1, 33)])
    one_less = 2 * full * (1 - 2.0**-32)
    chances = np.array([full, one_less, 1 - full - one_less])
    counts = np.array([(rank == 32).sum(), (rank == 31).sum(), (rank < 31).sum()])
    expected = len(rank) * chances
    return _chi_squared(((counts - expected) ** 2 / expected).sum(), 2)
