"""Work in child processes that are killed; run as a script by the tests.

One process imports everything and forks a child for each attempt, so that an attempt
costs no import. Nothing is computed by JAX before the forks.
"""

import json
import os
import random
import signal
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from small_problem import small_problem

import nnft_ppl as nnft
from nnft_ppl.ensemble import device_sizes, saving
from nnft_ppl.inference.couplings import nuts
from nnft_ppl.inference.couplings.conjugate import solve
from nnft_ppl.inference.mcmc import segments
from nnft_ppl.inference.mcmc.sampling import Sampling

NUM_STEPS = 800


def slow_walk(checkpoint: Path, result: Path) -> None:
    """A random walk, a step a millisecond, saved after every segment."""
    segments._SEGMENT_SECONDS = 0.01
    segments._WRITING_SHARE = 1e9

    def advance(reached, first, count):
        key, position, drawn = reached
        drawn = np.array(drawn)
        for number in range(first, first + count):
            key, used = jax.random.split(key)
            position = position + jax.random.normal(used, (2,))
            drawn[number] = position
            time.sleep(0.001)
        return key, position, drawn

    _, _, drawn = segments.run_in_segments(
        (jax.random.key(3), np.zeros(2, np.float32), np.zeros((NUM_STEPS, 2), "f4")),
        advance,
        sampling=Sampling(num_warmup=1, num_samples=NUM_STEPS - 1, num_chains=1),
        checkpoint=checkpoint,
        whose={"work": "walk"},
        progress=False,
    )
    np.savez(result, drawn=drawn)


def chains(checkpoint: Path, result: Path) -> None:
    """NUTS on one coupling, two chains, saved after every segment."""
    segments._SEGMENT_SECONDS = 0.01
    segments._WRITING_SHARE = 1e9
    rng = np.random.default_rng(5)
    design = rng.normal(size=(8, 2))
    data = design @ [0.3, -2.0] + 0.1 * rng.normal(size=8)
    likelihood = small_problem(design, data, 0.01)
    action, prior = nnft.Action(["lambda_0", "lambda_2"]), nnft.Prior(spread=0.0)
    form = solve(likelihood, 0, prior.scales_at(30.0, 30, action), 1.0)
    problem = nuts.problem_at(likelihood, 0, prior, 30, action, form)
    drawn = nuts.run_nuts(
        [problem],
        discrepancy=True,
        hierarchical=False,
        key=jax.random.key(1),
        sampling=Sampling(num_warmup=300, num_samples=6000, num_chains=2),
        checkpoint=checkpoint,
    )
    np.savez(result, **drawn)


def measurement(checkpoint: Path, result: Path) -> None:
    """Correlators of many networks, in small blocks, saved after every one."""
    device_sizes.CPU = replace(device_sizes.CPU, block_draws=2048)
    saving.SAVE_SECONDS = 0.0
    saving.SAVING_SHARE = 1e9
    found = nnft.measure_correlators(
        nnft.network("erf-net", width=100, input_dim=1, bias_std=1.0),
        np.linspace(-1.0, 1.0, 4),
        (2, 4),
        num_draws=300 * 2048 + 700,
        key=jax.random.key(8),
        checkpoint=checkpoint,
    )
    np.savez(
        result,
        values=np.concatenate([found.connected(k) for k in (2, 4)]),
        covariance=found.joint_covariance,
    )


def attempt(work: Callable[[Path, Path], None], *paths: Path) -> int:
    """A child that does the work; its process id."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # JAX on forks: it has not computed yet
        child = os.fork()
    if child == 0:
        work(*paths)
        os._exit(0)
    return child


def written(checkpoint: Path) -> int:
    """When the newest state was written, 0 before the first."""
    try:
        return checkpoint.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def kill(child: int, checkpoint: Path, delay: float) -> bool:
    """Kill the child `delay` seconds after it has written; False if it was done."""
    before = written(checkpoint)
    while written(checkpoint) == before:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(name: str, folder: str, num_kills: int, longest: float) -> None:
    """Let one child finish unhurt, kill `num_kills` at random moments, finish."""
    work = {"slow_walk": slow_walk, "chains": chains, "measurement": measurement}[name]
    delay = random.Random(11)
    unhurt, killed = Path(folder) / "unhurt", Path(folder) / "killed"

    def attempt_at(path: Path) -> int:
        return attempt(work, path.with_suffix(".checkpoint"), path.with_suffix(".npz"))

    assert os.waitpid(attempt_at(unhurt), 0)[1] == 0
    kills = sum(
        kill(
            attempt_at(killed),
            killed.with_suffix(".checkpoint"),
            delay.uniform(0, longest),
        )
        for _ in range(num_kills)
    )
    assert os.waitpid(attempt_at(killed), 0)[1] == 0
    sys.stdout.write(json.dumps({"kills": kills}))


if __name__ == "__main__":
    main(*sys.argv[1:3], int(sys.argv[3]), float(sys.argv[4]))
