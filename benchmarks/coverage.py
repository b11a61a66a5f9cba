"""Do posterior intervals cover, and does the verdict say what is true?

Question: of the central 50, 80 and 95 % intervals of λ_0, how many hold the truth, and
are they as narrow as the scatter of the estimates allows? Every replica is an ensemble
of its own, measured and fitted as a user would, by `measure_correlators` and the closed
form. The truth is the least-squares coupling, every entry in its natural units, of the
exact correlators, and the true s is the relative misfit that it leaves. Networks that
have no exact correlators (`tanh, depth 2`) have those of `REFERENCE_DRAWS` networks.
Two actions are exact: `relu without bias`, and `quartic`, one operator whose response
is the network's exact connected 4-pt function.

Columns: covered, percentages of replicas whose central 50 / 80 / 95 % interval holds
the truth (one standard error at 200 replicas: 3.5, 2.8, 1.5); sd/scatter, mean
posterior standard deviation over that of the estimates; bias and scatter of the
estimates, relative to the truth; true s; s, median over replicas of its posterior
median; s covered, percentage of its 90 % intervals that hold a true one that is not
zero; noise, median relative sampling error of the data; percentages of verdicts
"describes" and "does not describe", and of replicas flagged as heavy-tailed, which a
user is told not to trust.

    python benchmarks/coverage.py [--replicas 200] [--networks relu erf]
        [--inputs close tiny wide] [--draws 500 2000 10000 100000]
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

import nnft_ppl as nnft
from nnft_ppl._rms import rms
from nnft_ppl.correlators.symmetric import entry_size
from nnft_ppl.eft.expansion import DesignMatrix, Expansion, expand
from nnft_ppl.inference.couplings.fit import infer_couplings
from nnft_ppl.inference.likelihood import build_likelihood
from nnft_ppl.inference.mcmc.sampling import Sampling
from nnft_ppl.inference.verdict import Verdict

LEVELS = (0.5, 0.8, 0.95)
ORDERS = (2, 4)
DRAWS = (500, 2000, 10_000, 100_000)
REFERENCE_DRAWS = 4_000_000
"""A sixth of the sampling error of the largest ensemble that is fitted."""
REFERENCE_KEY = 7
ACTION = nnft.Action(["lambda_0"])
ROUNDING = 1e-9
"""A relative misfit below this is none."""
SAMPLING = Sampling(1, 1000, 4)
INPUTS = {
    "close": np.linspace(1.0, 1.1, 6),
    "tiny": np.linspace(0.02, 0.12, 6),
    "wide": np.linspace(0.2, 1.2, 6),
    "both signs": np.linspace(-1.0, 1.0, 6),
}


@dataclass(frozen=True)
class Case:
    """A network, a cutoff, and the inputs to try."""

    architecture: str
    width: int
    cutoff: float = 100.0
    options: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ("close", "tiny", "wide")
    has_exact: bool = True
    exact_response: bool = False


CASES = {
    "relu": Case("relu-net", 20, 10.0, {"bias_std": 0.3}),
    "erf": Case("erf-net", 5),
    "gauss": Case("gauss-net", 100),
    "cos": Case("cos-net", 20),
    "tanh, depth 1": Case("mlp", 20, options={"depth": 1, "activation": "tanh"}),
    "tanh, depth 2": Case(
        "mlp", 20, options={"depth": 2, "activation": "tanh"}, has_exact=False
    ),
    "relu without bias": Case("relu-net", 20, 10.0, {"bias_std": 0.0}, ("wide",)),
    "quartic": Case("relu-net", 10, inputs=("both signs",), exact_response=True),
}


class Truth:
    """The network on its inputs, and the coupling that its exact correlators have."""

    def __init__(self, case: Case, x: np.ndarray, reference_draws: int) -> None:
        """Integrals and exact correlators, once for all replicas."""
        self.network = nnft.network(
            case.architecture, width=case.width, input_dim=1, **case.options
        )
        self.x, self.cutoffs = x, (case.cutoff,)
        exact = (
            nnft.exact_correlators(self.network, x, ORDERS)
            if case.has_exact
            else nnft.measure_correlators(
                self.network,
                x,
                ORDERS,
                num_draws=reference_draws,
                key=jax.random.key(REFERENCE_KEY),
            )
        ).connected(4)
        self.expansion = expand(
            ACTION, self.network, x, np.array(self.cutoffs), ACTION.orders
        )
        if case.exact_response:
            response = DesignMatrix(exact[None, :, None], np.zeros((1, len(exact), 1)))
            self.expansion = Expansion({4: response}, {})
        natural = entry_size(np.diag(self.network.propagator(x)), 4)
        data = exact / natural
        response = self.expansion.linear[4].values[0] / natural[:, None]
        solved = np.linalg.lstsq(response, data, rcond=None)[0]
        self.coupling = float(solved[0])
        misfit = rms(data - response @ solved) / rms(exact) * rms(natural)
        self.misfit = misfit if misfit > ROUNDING else 0.0


@dataclass(frozen=True)
class Replica:
    """What one ensemble gave.

    Attributes:
        mean: Posterior mean of λ_0.
        sd: Its posterior standard deviation.
        rank: Posterior probability below the true coupling.
        discrepancy: Median of s, and the ends of its 90 % interval.
        noise: Relative sampling error.
        verdict: In one word.
        is_flagged: Whether a heavy tail was noticed.
    """

    mean: float
    sd: float
    rank: float
    discrepancy: tuple[float, float, float]
    noise: float
    verdict: str
    is_flagged: bool


def measure(truth: Truth, num_draws: int, key: jax.Array) -> Replica:
    """Draw, measure, fit."""
    data_key, fit_key = jax.random.split(key)
    data = nnft.measure_correlators(
        truth.network, truth.x, ORDERS, num_draws=num_draws, key=data_key
    )
    likelihood = build_likelihood(data, ACTION, truth.cutoffs, truth.expansion)
    # `fit_couplings`, without doing the integrals again.
    fit = infer_couplings(
        data,
        ACTION,
        truth.cutoffs,
        likelihood,
        nnft.Prior(),
        key=fit_key,
        sampling=SAMPLING,
        discrepancy=True,
        sampler="conjugate",
    )
    draws = fit.dimensionless[:, :, 0, 0] / likelihood.scale[0, 0]
    said = fit.adequacy().iloc[0]
    return Replica(
        float(draws.mean()),
        float(draws.std()),
        float(np.mean(draws < truth.coupling)),
        (said.discrepancy, said.discrepancy_lower, said.discrepancy_upper),
        likelihood.relative_noise,
        said.verdict,
        bool(data.heavy_tailed(4).any()),
    )


def row(truth: Truth, num_draws: int, found: Sequence[Replica]) -> list[str]:
    """Cells of the table, from the third column on."""
    mean, sd, rank, noise = (
        np.array([getattr(replica, name) for replica in found])
        for name in ("mean", "sd", "rank", "noise")
    )
    s, lower, upper = np.transpose([replica.discrepancy for replica in found])
    scatter, size = mean.std(ddof=1), abs(truth.coupling)
    covered = [_percent(np.abs(rank - 0.5) < level / 2) for level in LEVELS]
    said = np.array([replica.verdict for replica in found])
    return [
        f"{num_draws:,}",
        " / ".join(covered),
        f"{sd.mean() / scatter:.2f}",
        f"{100 * (mean.mean() - truth.coupling) / size:+.2g} %",
        f"{100 * scatter / size:.2g} %",
        f"{100 * truth.misfit:.2g} %",
        f"{100 * np.median(s):.2g} %",
        _percent((lower <= truth.misfit) & (truth.misfit <= upper))
        if truth.misfit
        else "–",
        f"{100 * np.median(noise):.2g} %",
        _percent(said == Verdict.DESCRIBES),
        _percent(said == Verdict.FAILS),
        _percent([replica.is_flagged for replica in found]),
    ]


def _percent(claims: Sequence[bool] | np.ndarray) -> str:
    return f"{100 * np.mean(claims):.0f}"


HEADINGS = (
    "network",
    "inputs",
    "networks",
    "covered",
    "sd/scatter",
    "bias",
    "scatter",
    "true s",
    "s",
    "s covered",
    "noise",
    "describes",
    "does not",
    "flagged",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--replicas", type=int, default=200)
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--inputs", nargs="+", choices=INPUTS, default=list(INPUTS))
    parser.add_argument("--draws", nargs="+", type=int, default=list(DRAWS))
    parser.add_argument("--reference-draws", type=int, default=REFERENCE_DRAWS)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    start = time.perf_counter()
    print("| " + " | ".join(HEADINGS) + " |")
    print("|" + "---|" * len(HEADINGS))
    for name in given.networks:
        case = CASES[name]
        for inputs in case.inputs:
            if inputs not in given.inputs:
                continue
            truth = Truth(case, INPUTS[inputs], given.reference_draws)
            for num_draws in given.draws:
                # Rows share no networks, so that they are independent tests.
                root = jax.random.key(given.seed)
                for number in (list(INPUTS).index(inputs), num_draws):
                    root = jax.random.fold_in(root, number)
                found = [
                    measure(truth, num_draws, jax.random.fold_in(root, number))
                    for number in range(given.replicas)
                ]
                cells = [name, inputs, *row(truth, num_draws, found)]
                print("| " + " | ".join(cells) + " |", flush=True)
    print(f"\n{given.replicas} replicas; {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
