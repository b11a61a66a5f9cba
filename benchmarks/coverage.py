"""Do posterior intervals cover? Replicated ensembles of networks with known couplings.

Question: of the central 50, 80 and 95 % intervals of λ_0, how many hold the truth, and
are they as narrow as the scatter of the estimates allows? Every replica is measured and
fitted as a user would, by `measure_correlators` and the closed form, with a key of its
own. The truth is the coupling fitted to the exact
correlators; for `relu-net` without bias it is −12.5/(N Λ⁵). In the rows `quartic` of
`relu-net` with a bias, on both signs of x, the one operator predicts exactly the true
correlators: an action that is right with a covariance of full rank and condition 10⁹.

Columns: share of replicas covered (one standard error of it at 300 replicas: 2.9, 2.3,
1.3 %), mean width of the interval over the scatter of the estimates, bias in units of
that scatter, relative scatter, scatter over that of naive weights (the inverse of the
sample covariance), χ² of the truth per resolved mode, median discrepancy s, and the
share of replicas flagged as heavy-tailed, which a user is told not to trust.

    python benchmarks/coverage.py [--replicas 300] [--cases relu erf] [--draws 10000]
"""

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import jax
import numpy as np
from scipy import stats

import nnft_ppl as nnft
from nnft_ppl._rms import rms
from nnft_ppl.inference.couplings.conjugate import solve
from nnft_ppl.inference.covariance import gaussian_models, noise_modes
from nnft_ppl.inference.likelihood import Likelihood, build_likelihood
from nnft_ppl.inference.priors import Prior

POINTS = np.linspace(0.2, 1.2, 6)
LEVELS = (0.5, 0.8, 0.95)


@dataclass(frozen=True)
class Case:
    """A network on inputs, a cutoff, and the ensembles to try."""

    label: str
    architecture: str
    bias_std: float
    points: np.ndarray
    cutoff: float
    sizes: Sequence[tuple[int, int]]
    exact_design: bool = False

    def network(self, width: int) -> nnft.Network:
        """The network at one width."""
        return nnft.network(
            self.architecture, width=width, input_dim=1, bias_std=self.bias_std
        )


SMALL, LARGE = 10_000, 100_000
CASES = {
    "relu": Case(
        "ReLU",
        "relu-net",
        0.0,
        POINTS,
        100.0,
        [*((w, SMALL) for w in (5, 10, 20, 100)), *((w, LARGE) for w in (5, 20, 100))],
    ),
    "erf": Case(
        "Erf",
        "erf-net",
        1.0,
        0.01 * POINTS,
        100.0,
        [*((w, SMALL) for w in (5, 20, 100)), *((w, LARGE) for w in (5, 100))],
    ),
    "gauss": Case(
        "Gauss",
        "gauss-net",
        1.0,
        0.01 * POINTS,
        math.inf,
        [(100, SMALL), (200, SMALL), (1000, SMALL)],
    ),
    "quartic": Case(
        "ReLU, quartic",
        "relu-net",
        1.0,
        np.linspace(-1, 1, 6),
        100.0,
        [(10, 2 * SMALL), (10, LARGE)],
        exact_design=True,
    ),
}


class Truth:
    """The action's design and the coupling that the exact correlators have."""

    def __init__(self, case: Case, width: int) -> None:
        """Integrals and exact correlators, once for all replicas."""
        self.network = case.network(width)
        self.exact = nnft.exact_correlators(self.network, case.points, (2, 4))
        action = nnft.Action(["lambda_0"])
        problem = build_likelihood(self.exact, action, (case.cutoff,))
        # Packed design, from which each replica's natural units are taken afresh.
        self.design = problem.to_entries(problem.design[0].T).T
        self.size = problem.size
        if case.exact_design:
            gaussian = np.abs(self.exact.gaussian_moment(4)).mean()
            self.design = self.exact.connected(4)[:, None] / gaussian
        self.prior = Prior().coupling_scales(width, action)
        solved = np.linalg.lstsq(
            self.design / self.size[:, None],
            self.exact.connected(4) / self.size,
            rcond=None,
        )
        self.coupling = float(solved[0][0])

    @cached_property
    def propagator(self) -> np.ndarray:
        """K_W at the inputs."""
        return self.network.propagator(self.exact.x)

    def likelihood(self, data: nnft.Correlators) -> Likelihood:
        """As `build_likelihood` makes it, without doing the integrals again."""
        values = data.connected(4)
        size = self.size * rms(values) / rms(self.exact.connected(4))
        design = self.design / size[:, None]
        covariance = data.covariance(4) / np.outer(size, size)
        models = gaussian_models(self.propagator, {4: size})
        modes = noise_modes(covariance, data.num_batches, models, design)
        floor = modes.rounding + float(np.max(data.numerical_error[4] / size)) ** 2
        return Likelihood(
            orders=(4,),
            num_entries=(len(values),),
            size=size,
            rotation=modes.rotation,
            amplitudes=modes.rotation.T @ (values / size),
            variance=modes.variance + floor,
            relative_noise=modes.relative_noise,
            resolved=modes.variance > floor,
            design=(modes.rotation.T @ design)[None],
            quadratic=None,
            scale=np.ones((1, 1)),
        )


def naive(likelihood: Likelihood, covariance: np.ndarray) -> Likelihood:
    """The same data with weights from the inverse of the sample covariance."""
    units = np.outer(likelihood.size, likelihood.size)
    variance, rotation = np.linalg.eigh(covariance / units)
    change = rotation.T @ likelihood.rotation
    return replace(
        likelihood,
        rotation=rotation,
        amplitudes=change @ likelihood.amplitudes,
        design=(change @ likelihood.design[0])[None],
        variance=np.maximum(variance, 0) + 1e-7 * variance[-1],
    )


@dataclass(frozen=True)
class Replica:
    """What one ensemble gave, without and with an inferred discrepancy."""

    mean: tuple[float, float]
    sd: tuple[float, float]
    rank: tuple[float, float]
    discrepancy: float
    chi_squared: float
    naive_mean: float
    naive_rank: float
    is_flagged: bool


def measure(truth: Truth, case: Case, num_draws: int, key: jax.Array) -> Replica:
    """Draw, measure, fit."""
    data = nnft.measure_correlators(
        truth.network, case.points, (2, 4), num_draws=num_draws, key=key
    )
    problem = truth.likelihood(data)
    means, sds, ranks = [], [], []
    for scale in (None, 1.0):
        form = solve(problem, 0, truth.prior, scale)
        mean, sd = form.moments()
        means.append(float(mean[0]))
        sds.append(float(sd[0]))
        ranks.append(_rank(form, truth))
    cumulative = np.cumsum(form.weight)
    left = problem.amplitudes - problem.design[0][:, 0] * truth.coupling
    seen = problem.resolved
    plain = solve(naive(problem, data.covariance(4)), 0, truth.prior, None)
    return Replica(
        (means[0], means[1]),
        (sds[0], sds[1]),
        (ranks[0], ranks[1]),
        float(form.discrepancy[np.searchsorted(cumulative, 0.5)]),
        float(np.sum(left[seen] ** 2 / problem.variance[seen]) / seen.sum()),
        float(plain.mean[0, 0]),
        _rank(plain, truth),
        bool(data.heavy_tailed(4).any()),
    )


def _rank(form: "nnft.inference.conjugate.ClosedForm", truth: Truth) -> float:
    """Posterior probability below the truth."""
    z = (truth.coupling - form.mean[:, 0]) / form.factor[:, 0, 0]
    return float(form.weight @ stats.norm.cdf(z))


def _covered(ranks: np.ndarray) -> str:
    inside = [np.mean(np.abs(ranks - 0.5) < level / 2) for level in LEVELS]
    return " / ".join(f"{100 * share:.0f}" for share in inside)


def row(case: Case, width: int, num_draws: int, replicas: int, seed: int) -> str:
    """One line of the table."""
    truth = Truth(case, width)
    # Rows share no networks, so that they are independent tests.
    root = jax.random.key(seed)
    for number in (width, num_draws):
        root = jax.random.fold_in(root, number)
    found = [
        measure(truth, case, num_draws, jax.random.fold_in(root, number))
        for number in range(replicas)
    ]
    mean, sd, rank = (np.array([getattr(r, n) for r in found]) for n in _FIELDS)
    scatter = mean.std(axis=0, ddof=1)
    plain = np.array([r.naive_mean for r in found])
    cells = [
        case.label,
        str(width),
        f"{num_draws:,}",
        _covered(rank[:, 0]),
        _covered(rank[:, 1]),
        _covered(np.array([r.naive_rank for r in found])),
        f"{sd[:, 1].mean() / scatter[1]:.2f}",
        f"{(mean[:, 1].mean() - truth.coupling) / scatter[1]:+.2f}",
        f"{(plain.mean() - truth.coupling) / plain.std(ddof=1):+.2f}",
        f"{100 * scatter[1] / abs(truth.coupling):.2f} %",
        f"{scatter[1] / plain.std(ddof=1):.2f}",
        f"{np.mean([r.chi_squared for r in found]):.2f}",
        f"{100 * np.median([r.discrepancy for r in found]):.1g} %",
        f"{100 * np.mean([r.is_flagged for r in found]):.0f} %",
    ]
    return "| " + " | ".join(cells) + " |"


_FIELDS = ("mean", "sd", "rank")
_HEADINGS = (
    "network",
    "width",
    "networks",
    "covered, s = 0",
    "covered, s inferred",
    "covered, naive",
    "width/scatter",
    "bias",
    "bias, naive",
    "scatter",
    "scatter/naive",
    "χ²/mode",
    "s",
    "flagged",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--replicas", type=int, default=300)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--draws", type=int, help="only rows with as many networks")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    start = time.perf_counter()
    print("| " + " | ".join(_HEADINGS) + " |")
    print("|" + "---|" * len(_HEADINGS))
    for name in given.cases:
        case = CASES[name]
        for width, num_draws in case.sizes:
            if given.draws in (None, num_draws):
                line = row(case, width, num_draws, given.replicas, given.seed)
                print(line, flush=True)
    print(f"\n{given.replicas} replicas; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
