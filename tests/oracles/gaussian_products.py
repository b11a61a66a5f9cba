"""E[f(u) g(v)] of two centred Gaussians, by conditioning v on u.

NumPy alone; nothing here imports the package under test. Gauss's rule on panels that
are cut at the kinks of f and g; of high order, one pair at a time.
"""

import numpy as np

_RULE, _WEIGHTS = np.polynomial.legendre.leggauss(60)
_REACH = 9.0


def _panels(cuts):
    ends = np.concatenate([np.linspace(-_REACH, _REACH, 25), cuts])
    ends = np.unique(np.clip(ends, -_REACH, _REACH))
    middle, half = (ends[1:] + ends[:-1]) / 2, (ends[1:] - ends[:-1]) / 2
    points = (middle[:, None] + half[:, None] * _RULE).ravel()
    density = np.exp(-(points**2) / 2) / np.sqrt(2 * np.pi)
    return points, (half[:, None] * _WEIGHTS).ravel() * density


def mean_product(f, g, variance_u, variance_v, correlation, kinks=()):
    """E[f(u) g(v)]; |correlation| ≤ 1."""
    r_u, r_v = np.sqrt(variance_u), np.sqrt(variance_v)
    spread = np.sqrt(1 - correlation**2)
    kinks = np.asarray(kinks, dtype=float)
    cuts = [*(kinks / r_u)]
    if correlation != 0:
        steps = spread * np.array([-8, -4, -2, -1, 0, 1, 2, 4, 8]) / abs(correlation)
        cuts += [p + s for p in kinks / (r_v * correlation) for s in steps]
    points, weights = _panels(cuts)

    def given(point):
        if spread == 0:
            return g(r_v * correlation * point)
        inner, inner_weights = _panels((kinks / r_v - correlation * point) / spread)
        return inner_weights @ g(r_v * (correlation * point + spread * inner))

    if kinks.size == 0:  # the same panels for every point
        inner, inner_weights = _panels([])
        given_all = (
            g(r_v * (correlation * points[:, None] + spread * inner)) @ inner_weights
        )
    else:
        given_all = np.array([given(point) for point in points])
    return float(weights @ (f(r_u * points) * given_all))
