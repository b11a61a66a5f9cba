"""How fast the ensemble engine is, beside four references and to a given error.

All through the public API, in one run, as ratios. Three tables:

1. Time per network for the products of orders 2, 4 and 6 at six inputs, of erf-net with
   input_dim=1 and bias_std=1: ours by plain products (`moments`, the same work as the
   references, and the full covariance of the 609 averages besides) and by the random
   kernel (`conditional`); the same network as a third party would write it, once with
   all that is known of it and once as a black box of prior and forward pass
   (`_third_party.py`); (a) the normals alone, by our own generator; (b) the best
   hand-written `jax.random` loop that we found; (c) NumPy in threads; (d) a loop over
   networks in the style of PyTorch. References are in `_references.py`, as JAX compiles
   them unless asked; (a) and (b) also with vectors of 512 bits, for which the package
   asks. The last column is the largest deviation of the mean products from the exact
   ones, in standard errors, over all entries.
2. To equal error of G4c, against (d): the ratio of times per network times that of the
   networks needed, the median over entries of the squared error of plain products over
   that of `conditional`. The source paper subtracts the products of the exact kernel,
   so that the error is that of the 4-pt function itself; the last column is for
   subtracting the measured 2-pt functions, which has less error.
3. The headline: networks and seconds that `conditional` takes to 1 % relative error of
   G4c and of G6c, from its error and rate; start-up, well under a second, not counted.

A star marks errors that rest on a few networks of a heavy tail. For gauss-net they are
no variances: that of `conditional` at width 1000 is dominated by networks which no run
of 10¹⁰ draws (238 per network, of which 0.05 from the rest). The errors of a run of 2¹⁴
said that plain products need 2,100 times the networks (970 to 5,200 in 24 runs), and
mean square deviations from the exact values over those runs 480 times.

    python benchmarks/engine_speed.py [--widths 20 100 1000] [--num-draws auto]
                                      [--repeats 3]
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence

import _references as reference
import _third_party as third_party
import jax
import numpy as np

import nnft_ppl as nnft

ORDERS = reference.ORDERS
SMALLEST_RUN = 1 << 13
SECONDS = 2.0
"""Of a run: the covariance takes some tenths of a second, however long the run."""
TARGETS = {
    20: {"(a)": 0.6, "(b)": 1.0, "(c)": 6.0, "(d)": 300.0},
    100: {"(a)": 0.6, "(b)": 1.5, "(c)": 6.0, "(d)": 300.0},
    1000: {"(a)": 0.6, "(b)": 2.5, "(c)": 6.0, "(d)": 50.0},
}
"""Least time over that of ours by `moments`, on two cores."""
EQUAL_ERROR = {
    ("relu-net", 20): 2e4,
    ("erf-net", 5): 1e6,
    ("gauss-net", 1000): 5e4,
}
"""(architecture, width) -> least gain over (d) at equal error of G4c."""
HEADLINE = ("relu-net", "erf-net", "gauss-net")
HEADLINE_WIDTHS = (5, 20, 100, 1000)

type Run[T] = Callable[[int, int], tuple[int, T]]
"""(number of networks, seed) -> (networks drawn, result)."""


def times[T](
    runs: Mapping[str, Run[T]], num_draws: int | None, repeats: int
) -> dict[str, tuple[float, int, T]]:
    """Least seconds per network of each, networks in a run, and the last result.

    The runs take turns, so that what else the machine does falls on all alike.

    Args:
        runs: By name.
        num_draws: Networks in a run, or None for as many as take `SECONDS`.
        repeats: Timings of each.
    """
    sizes = {name: num_draws or _long_enough(run) for name, run in runs.items()}
    best: dict[str, tuple[float, int, T]] = {}
    for seed in range(repeats):
        for name, run in runs.items():
            if seed == 0:
                run(sizes[name], seed)  # compiles for this number
            start = time.perf_counter()
            drawn, result = run(sizes[name], seed)
            each = (time.perf_counter() - start) / drawn
            least = min(each, best[name][0]) if name in best else each
            best[name] = least, drawn, result
    return best


def _long_enough(run: Run[object]) -> int:
    """Number of networks that takes `SECONDS` or more."""
    num_draws = SMALLEST_RUN
    while True:
        run(num_draws, 0)
        start = time.perf_counter()
        drawn, _ = run(num_draws, 0)
        elapsed = time.perf_counter() - start
        if elapsed >= SECONDS or drawn < num_draws:
            return num_draws
        num_draws = int(min(1.3 * SECONDS / elapsed, 64) * drawn)


def suggested(name: str, width: int) -> tuple[nnft.Network, np.ndarray]:
    """A network as in the source paper, and the inputs suggested for it."""
    bias_std = 0.0 if name == "relu-net" else 1.0
    net = nnft.network(name, width=width, input_dim=1, bias_std=bias_std)
    return net, np.array(net.architecture.suggested_inputs[1])


def ours(net: nnft.Network, x: np.ndarray, estimator: str) -> Run[nnft.Correlators]:
    """The public call."""

    def run(num_draws: int, seed: int) -> tuple[int, nnft.Correlators]:
        key = jax.random.key(seed)
        found = nnft.measure_correlators(
            net, x, ORDERS, num_draws=num_draws, key=key, estimator=estimator
        )
        return num_draws, found

    return run


def deviation(
    drawn: int, result: object, exact: nnft.Correlators, scale: np.ndarray
) -> float:
    """Largest deviation of mean products from exact, in standard errors.

    Args:
        drawn: Networks in the mean.
        result: Mean products of a reference, or our correlators.
        exact: What they should be.
        scale: Standard deviation of the products of one network, (entry,).
    """
    if isinstance(result, nnft.Correlators):
        means = np.concatenate([result.moment(k) for k in ORDERS])
        error = np.concatenate([result.error(k) for k in ORDERS])
    else:
        means, error = np.asarray(result), scale / drawn**0.5
    truth = np.concatenate([exact.moment(k) for k in ORDERS])
    return float(np.abs((means - truth) / error).max())


def speed(widths: Sequence[int], num_draws: int | None, repeats: int) -> None:
    """First table."""
    print("1. ns per network; six inputs, orders 2, 4, 6, erf-net, float32")
    d_name = f"(d) {reference.LOOP_LIBRARY} loop over networks"
    for width in widths:
        net, x = suggested("erf-net", width)
        x32 = reference.X
        theirs, black_box = (
            nnft.Network.build(architecture, width=width, input_dim=1, bias_std=1.0)
            for architecture in (third_party.KNOWN, third_party.UNKNOWN)
        )
        runs: dict[str, Run[object]] = {
            "ours, moments": ours(net, x, "moments"),
            "ours, conditional": ours(net, x, "conditional"),
            "ours, wick": ours(net, x, "wick"),
            "theirs, moments": ours(theirs, x, "moments"),
            "theirs, conditional": ours(theirs, x, "conditional"),
            "their black box, moments": ours(black_box, x, "moments"),
            "(a) the normals alone": reference.bare_generator(width),
            "    (a) with 512-bit vectors": reference.bare_generator(
                width, reference.WIDE
            ),
            "(b) jax.random, best layout": reference.best_layout(
                width, partitionable=False
            ),
            "    (b) with 512-bit vectors": reference.best_layout(
                width, partitionable=False, vectors=reference.WIDE
            ),
            "    default threefry": reference.best_layout(width, partitionable=True),
            "    one key per network, vmap": reference.one_key_per_network(width),
            "(c) NumPy in threads": reference.vectorised_numpy(width),
            d_name: reference.loop(width, "erf", x32, 1.0),
        }
        measured = times(runs, num_draws, repeats)
        exact = nnft.exact_correlators(net, x, ORDERS)
        seconds, drawn, found = measured["ours, moments"]
        assert isinstance(found, nnft.Correlators)
        scale = np.concatenate([found.error(k) for k in ORDERS]) * drawn**0.5
        print(f"\nwidth {width:<28}{'ns':>10}{'/ moments':>12}", end="")
        print(f"{'/ conditional':>15}{'target':>10}{'deviation':>12}")
        for name, (each, drawn, result) in measured.items():
            target = TARGETS.get(width, {}).get(name[:3])
            aim = f">= {target:g}" if target else ""
            off = deviation(drawn, result, exact, scale)
            print(f"{name:34}{each * 1e9:10.0f}{each / seconds:12.2f}", end="")
            print(f"{each / measured['ours, conditional'][0]:15.2f}{aim:>10}", end="")
            print(f"{off:12.1f}" if off == off else f"{'-':>12}")


def _star(heavy: bool) -> str:
    return "*" if heavy else " "


def equal_error(num_draws: int | None, repeats: int) -> None:
    """Second table."""
    print("\n2. To equal error of G4c, against (d)")
    print(f"{'':18}{'(d) ns':>10}{'ours ns':>10}{'networks':>14}", end="")
    print(f"{'gain':>12}{'target':>10}{'gain, own 2-pt':>19}")
    for (name, width), target in EQUAL_ERROR.items():
        net, x = suggested(name, width)
        bias_std = net.hyperparameters.bias_std
        plain = reference.loop(width, name.removesuffix("-net"), x[:, 0], bias_std)
        runs: dict[str, Run[object]] = {
            "(d)": plain,
            "ours": ours(net, x, "conditional"),
        }
        measured = times(runs, num_draws, repeats)
        each, drawn, found = measured["ours"]
        assert isinstance(found, nnft.Correlators)
        _, moments = ours(net, x, "moments")(drawn, 0)
        needed, own = (
            float(np.median((error / found.connected_error(4)) ** 2))
            for error in (moments.error(4), moments.connected_error(4))
        )
        heavy = bool(found.heavy_tailed(4).any() or moments.heavy_tailed(4).any())
        gain = measured["(d)"][0] / each * needed
        print(f"{name:12}{width:5d} {measured['(d)'][0] * 1e9:10.0f}", end="")
        print(f"{each * 1e9:10.0f}{needed:13.3g}{_star(heavy)}", end="")
        print(f"{gain:11.2g}{_star(heavy)}{f'>= {target:.0e}':>10}", end="")
        print(f"{gain * own / needed:18.2g}{_star(heavy)}")


def headline(num_draws: int | None, repeats: int) -> None:
    """Third table."""
    print("\n3. To 1 % relative error, conditional, median over entries")
    print(f"{'':18}{'ns':>8}{'G4c: networks':>16}{'seconds':>11}", end="")
    print(f"{'G6c: networks':>17}{'seconds':>11}")
    for name in HEADLINE:
        for width in HEADLINE_WIDTHS:
            net, x = suggested(name, width)
            exact = nnft.exact_correlators(net, x, ORDERS)
            run = {"ours": ours(net, x, "conditional")}
            each, drawn, found = times(run, num_draws, repeats)["ours"]
            print(f"{name:12}{width:5d} {each * 1e9:8.0f}", end="")
            for k in (4, 6):
                size = np.abs(exact.connected(k))
                relative = float(np.median(found.connected_error(k) / size))
                needed = drawn * (relative / 0.01) ** 2
                star = _star(bool(found.heavy_tailed(k).any()))
                print(f"{needed:16.2g}{star}{needed * each:10.2g}", end="")
            print()


def main(argv: Sequence[str] | None = None) -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[20, 100, 1000])
    parser.add_argument("--num-draws", default="auto", help="a number, or auto")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args(argv)
    num_draws = None if given.num_draws == "auto" else int(given.num_draws)
    speed(given.widths, num_draws, given.repeats)
    equal_error(num_draws, given.repeats)
    headline(num_draws, given.repeats)


if __name__ == "__main__":
    main()
