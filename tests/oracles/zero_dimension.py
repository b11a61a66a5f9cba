"""Moments and cumulants of exp(−φ²/2K − ΔS(φ)) in powers of the coupling, exactly.

Rational arithmetic with polynomials and series; nothing here imports the package under
test, and no diagram is drawn.
"""

from fractions import Fraction
from math import comb, factorial


def gaussian_moment(power, variance):
    """E φ^power, by the recursion of integration by parts."""
    if power % 2:
        return Fraction(0)
    return (
        Fraction(1)
        if power == 0
        else (power - 1) * variance * gaussian_moment(power - 2, variance)
    )


def wick_power(power, variance):
    """Coefficients of :φ^n:, from :φ^{n+1}: = φ :φ^n: − n K :φ^{n−1}:."""
    before, now = [Fraction(0)], [Fraction(1)]
    for n in range(power):
        shifted = [Fraction(0), *now]
        lower = [*before, *[Fraction(0)] * (len(shifted) - len(before))]
        before = now
        now = [a - n * variance * b for a, b in zip(shifted, lower, strict=True)]
    return now


def plain_power(power, variance):
    """Coefficients of φ^n."""
    return [Fraction(0)] * power + [Fraction(1)]


def times(first, second):
    """Product of two polynomials."""
    found = [Fraction(0)] * (len(first) + len(second) - 1)
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            found[i + j] += a * b
    return found


def moment_series(action, num_points, variance, order):
    """E φ^k per power of g up to `order`, for k = 0 … num_points; ΔS = g · action."""
    numerators = []
    for k in range(num_points + 1):
        power = [Fraction(1)]
        series = []
        for n in range(order + 1):
            average = sum(
                c * gaussian_moment(k + i, variance) for i, c in enumerate(power)
            )
            series.append((-1) ** n * average / factorial(n))
            power = times(power, action)
        numerators.append(series)
    norm = numerators[0]
    moments = []
    for series in numerators:
        quotient = []
        for n in range(order + 1):
            known = sum(quotient[j] * norm[n - j] for j in range(n))
            quotient.append((series[n] - known) / norm[0])
        moments.append(quotient)
    return moments


def cumulant_series(action, num_points, variance, order):
    """The same of the cumulants, by m_k = Σ_j C(k−1, j−1) κ_j m_{k−j}."""
    moments = moment_series(action, num_points, variance, order)
    cumulants = [[Fraction(0)] * (order + 1)]
    for k in range(1, num_points + 1):
        found = list(moments[k])
        for j in range(1, k):
            product = times(cumulants[j], moments[k - j])[: order + 1]
            found = [
                a - comb(k - 1, j - 1) * b for a, b in zip(found, product, strict=True)
            ]
        cumulants.append(found)
    return cumulants
