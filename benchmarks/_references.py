"""The same mean products, written without the package: what `engine_speed.py` measures.

A reference is a function (number of networks, seed) -> (networks drawn, mean products);
it may draw more than asked, to fill its blocks, or fewer where they are dear. Mean
products are concatenated, order 2, then 4, then 6, each over the sorted index tuples of
the inputs. Networks have one hidden layer and one input dimension; numbers are float32,
sums over blocks float64. All but `loop` keep two threads busy, for a machine of two
cores.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations_with_replacement

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import erf
from threadpoolctl import threadpool_limits

from nnft_ppl.ensemble.generator import normal_pairs
from nnft_ppl.ensemble.generator_names import DEFAULT_GENERATOR, ROUNDS

try:
    import torch
except ModuleNotFoundError:
    torch = None

type Reference = Callable[[int, int], tuple[int, np.ndarray]]
type Options = dict[str, int] | None
"""Of the compiler; `None` for what everybody has who does not ask."""
WIDE: Options = {"xla_cpu_prefer_vector_width": 512}
"""Vectors of 512 bits, as the package asks for, where the processor has them."""
X = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 1.0], np.float32)
ORDERS = (2, 4, 6)
THREADS = 2
MOST_LOOPS = 1 << 14
"""Networks that `loop` builds in a run: enough to tell the time of one."""
LOOP_LIBRARY = "NumPy" if torch is None else "PyTorch"


def _in_threads(
    block: Callable[[int, int], np.ndarray], size: int, num_draws: int, seed: int
) -> tuple[int, np.ndarray]:
    """Mean over networks of the sums that block(seed, start) gives, two at a time."""
    num_blocks = THREADS * math.ceil(num_draws / (THREADS * size))
    starts = range(0, num_blocks * size, size)
    with threadpool_limits(1), ThreadPoolExecutor(THREADS) as pool:
        total = np.sum(list(pool.map(partial(block, seed), starts)), axis=0)
    return num_blocks * size, total / (num_blocks * size)


# --- products: Σ P Pᵀ over networks holds every product of 4 and of 6 fields ----------


def _tuples(num_points: int, order: int) -> list[tuple[int, ...]]:
    return list(combinations_with_replacement(range(num_points), order))


def _monomials[A: (jax.Array, np.ndarray)](fields: A) -> tuple[A, A]:
    """Of degrees 2 and 3, (entry, network), from fields (point, network)."""
    pairs, triples = (np.array(_tuples(len(fields), k)).T for k in (2, 3))
    row = {pair: i for i, pair in enumerate(zip(*pairs.tolist(), strict=True))}
    start = [row[pair] for pair in zip(*triples[:2].tolist(), strict=True)]
    squares = fields[pairs[0]] * fields[pairs[1]]
    return squares, squares[np.array(start)] * fields[triples[2]]


def _unpacked(sums: tuple[jax.Array, ...] | tuple[np.ndarray, ...]) -> np.ndarray:
    """(Σ P₂, Σ P₂P₂ᵀ, Σ P₃P₃ᵀ) -> one number for each product."""
    found = [np.asarray(sums[0], np.float64)]
    num_points = math.isqrt(2 * len(sums[0]))
    for order, table in zip((4, 6), sums[1:], strict=True):
        half = order // 2
        row = {t: i for i, t in enumerate(_tuples(num_points, half))}
        parts = [(row[t[:half]], row[t[half:]]) for t in _tuples(num_points, order)]
        found.append(np.asarray(table, np.float64)[tuple(np.array(parts).T)])
    return np.concatenate(found)


# --- (a) the normals alone ------------------------------------------------------------


def bare_generator(width: int, vectors: Options = None) -> Reference:
    """The 3·width + 1 normals of a network, two from each call, multiplied and summed.

    So no compiler leaves them out; the mean products that come back are not numbers.
    """
    lanes, per_step = 2048, 4  # the loop's own cost is then out of sight
    rounds = ROUNDS[DEFAULT_GENERATOR]
    steps = math.ceil((3 * width + 1) / (2 * per_step))
    groups = max(1, 2**22 // (lanes * width))

    @partial(jax.jit, compiler_options=vectors)
    def block(stream: tuple[jax.Array, jax.Array], start: jax.Array) -> jax.Array:
        def step(i: jax.Array, total: jax.Array) -> jax.Array:
            group, number = jnp.divmod(i, jnp.uint32(steps))
            networks = start + group * lanes + jnp.arange(lanes, dtype=jnp.uint32)
            for j in range(per_step):
                x, y = normal_pairs(
                    stream, networks, per_step * number + j, rounds=rounds
                )
                total = total + x * y
            return total

        end = jnp.uint32(steps * groups)
        return jax.lax.fori_loop(jnp.uint32(0), end, step, jnp.zeros(lanes)).sum()

    def run(seed: int, start: int) -> np.ndarray:
        stream = jnp.uint32(seed), jnp.uint32(1)
        return np.full(1, np.nan) * block(stream, jnp.uint32(start))

    return partial(_in_threads, run, lanes * groups)


# --- (b) jax.random -------------------------------------------------------------------


def best_layout(
    width: int, *, partitionable: bool, vectors: Options = None
) -> Reference:
    """Arrays of normals (hidden unit, network), one key for each, summed over units.

    With `jax.threefry_partitionable(False)` each call of threefry gives two words, not
    one: a quarter faster, and draws then depend on the shape of the array. Tried at
    widths 20, 100 and 1000 and slower or the same: one array for all weights (+20 %),
    128, 512, 2048 or 4096 networks side by side, 1 to 50 hidden units at a time (+20 %
    at one unit), products one by one instead of PPᵀ (+65 % at width 20), PPᵀ as one
    matrix or of degrees 2 × 4 (the same), the lower optimisation level of XLA (+15 %),
    the key implementation unsafe_rbg (+60 %).
    """
    lanes = 1024 if width < 100 else 256
    units = max(u for u in range(1, min(width, 100) + 1) if width % u == 0)

    def fields(key: jax.Array, x: np.ndarray) -> jax.Array:
        def some_units(i: jax.Array, total: jax.Array) -> jax.Array:
            keys = jax.random.split(jax.random.fold_in(key, i), 3)
            w0, b0, w1 = (jax.random.normal(k, (units, lanes)) for k in keys)
            return total + jnp.stack(
                [(w1 * jax.lax.erf(p * w0 + b0)).sum(0) for p in x]
            )

        zeros = jnp.zeros((len(x), lanes))
        hidden = jax.lax.fori_loop(1, width // units + 1, some_units, zeros)
        bias = jax.random.normal(jax.random.fold_in(key, 0), (lanes,))
        return hidden / width**0.5 + bias

    return _jax(fields, lanes, width, partitionable=partitionable, vectors=vectors)


def one_key_per_network(width: int) -> Reference:
    """The function of one network under vmap."""
    lanes = 512

    def network(key: jax.Array, x: np.ndarray) -> jax.Array:
        k1, k2, k3, k4 = jax.random.split(key, 4)
        w0 = jax.random.normal(k1, (1, width))
        b0 = jax.random.normal(k2, (width,))
        w1 = jax.random.normal(k3, (width, 1)) / width**0.5
        return (jax.lax.erf(x[:, None] @ w0 + b0) @ w1)[:, 0] + jax.random.normal(k4)

    def fields(key: jax.Array, x: np.ndarray) -> jax.Array:
        return jax.vmap(network, (0, None), -1)(jax.random.split(key, lanes), x)

    return _jax(fields, lanes, width, partitionable=True)


def _jax(
    fields: Callable[[jax.Array, np.ndarray], jax.Array],
    lanes: int,
    width: int,
    *,
    partitionable: bool,
    vectors: Options = None,
) -> Reference:
    """Sum products of fields(key, x), (point, lane), over the chunks of a block."""
    chunks = max(1, 2**21 // (lanes * width))

    def chunk(key: jax.Array) -> tuple[jax.Array, ...]:
        squares, cubes = _monomials(fields(key, X))
        return squares.sum(-1), squares @ squares.T, cubes @ cubes.T

    @partial(jax.jit, compiler_options=vectors)
    def block(key: jax.Array, start: jax.Array) -> tuple[jax.Array, ...]:
        def add(i: jax.Array, total: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            return jax.tree.map(jnp.add, total, chunk(jax.random.fold_in(key, i)))

        zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(chunk, key))
        first = start // lanes
        return jax.lax.fori_loop(first, first + chunks, add, zeros)

    def run(seed: int, start: int) -> np.ndarray:
        with jax.threefry_partitionable(partitionable):
            return _unpacked(block(jax.random.key(seed), start))

    return partial(_in_threads, run, lanes * chunks)


# --- (c) NumPy, vectorised, in threads ------------------------------------------------


def vectorised_numpy(width: int) -> Reference:
    """Arrays (network, hidden unit) filled in place, within a core's cache.

    More than half of the time goes into SciPy's error function, a fifth into normals.
    The bit generators Philox and PCG64 are slower (+30 % and +11 % for normals).
    """
    size = max(8, 2**15 // width)
    chunks = max(1, 2**21 // (size * width))

    def run(seed: int, start: int) -> np.ndarray:
        random = np.random.Generator(np.random.SFC64([seed, start]))
        weights = np.empty((3, size, width), np.float32)
        w0, b0, w1 = weights
        h = np.empty((size, width), np.float32)
        fields = np.empty((len(X), size), np.float32)
        total = None
        for _ in range(chunks):
            random.standard_normal(dtype=np.float32, out=weights)
            bias = random.standard_normal(size, dtype=np.float32)
            for x, field in zip(X, fields, strict=True):
                np.multiply(w0, x, out=h)
                np.add(h, b0, out=h)
                erf(h, out=h)
                np.einsum("ij,ij->i", h, w1, out=field)
            fields *= np.float32(width**-0.5)
            fields += bias
            squares, cubes = _monomials(fields)
            sums = squares.sum(-1), squares @ squares.T, cubes @ cubes.T
            if total is None:
                total = [np.zeros(s.shape) for s in sums]
            for accumulated, new in zip(total, sums, strict=True):
                accumulated += new
        return _unpacked(tuple(total))

    return partial(_in_threads, run, size * chunks)


# --- (d) one network after another ----------------------------------------------------


def loop(width: int, activation: str, x: np.ndarray, bias_std: float) -> Reference:
    """Build each network and evaluate it, then multiply outputs to full tensors.

    In PyTorch where that is installed, else the same steps in NumPy. The structure is
    that of the source paper's code: a new model for every network, and the products of
    a batch of outputs one factor at a time. Cheaper than there: no gradients, no copies
    of what was collected, erf of the library itself, batches that fit into memory.

    Args:
        width: Of the hidden layer.
        activation: `erf`, `relu` or `gauss`, which is exp(z) over its root mean square.
        x: Inputs (point,).
        bias_std: Of both layers.
    """
    network, collect = _numpy_network, np.stack
    if torch is not None:
        network, collect = _torch_network, torch.stack
    batch, cases = 512, {k: tuple(np.array(_tuples(len(x), k)).T) for k in ORDERS}

    def run(num_draws: int, seed: int) -> tuple[int, np.ndarray]:
        forward = network(width, activation, x.astype(np.float32), bias_std, seed)
        batches = math.ceil(min(num_draws, MOST_LOOPS) / batch)
        total = np.zeros(sum(len(case[0]) for case in cases.values()))
        for _ in range(batches):
            products = fields = collect([forward() for _ in range(batch)])
            means = []
            for order in range(2, max(ORDERS) + 1):
                last = fields.reshape(batch, *(order - 1) * (1,), -1)
                products = products[..., None] * last
                if order in cases:
                    means.append(np.asarray(products.mean(0))[cases[order]])
            total += np.concatenate(means)
        return batches * batch, total / batches

    return run


def _numpy_network(
    width: int, activation: str, x: np.ndarray, bias_std: float, seed: int
) -> Callable[[], np.ndarray]:
    random = np.random.default_rng(seed)
    norm = np.exp(bias_std**2 + x[:, None] ** 2)
    act = {
        "erf": erf,
        "relu": lambda z: np.maximum(z, 0),
        "gauss": lambda z: np.exp(z) / norm,
    }[activation]

    def normal(std: float, *shape: int) -> np.ndarray:
        return np.float32(std) * random.standard_normal(shape, dtype=np.float32)

    def forward() -> np.ndarray:
        w0, b0 = normal(1.0, 1, width), normal(bias_std, width)
        w1, b1 = normal(width**-0.5, width, 1), normal(bias_std, 1)
        return (act(x[:, None] @ w0 + b0) @ w1 + b1)[:, 0]

    return forward


def _torch_network(
    width: int, activation: str, x: np.ndarray, bias_std: float, seed: int
) -> Callable[[], object]:
    torch.manual_seed(seed)
    inputs = torch.from_numpy(x)[:, None]
    norm = torch.exp(bias_std**2 + inputs**2)
    act = {
        "erf": torch.erf,
        "relu": torch.relu,
        "gauss": lambda z: torch.exp(z) / norm,
    }[activation]

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = torch.nn.Linear(1, width)
            self.output = torch.nn.Linear(width, 1)
            for layer in (self.hidden, self.output):
                torch.nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
                torch.nn.init.normal_(layer.bias, std=bias_std)

        def forward(self, points: object) -> object:
            return self.output(act(self.hidden(points)))[:, 0]

    def forward() -> object:
        with torch.no_grad():
            return Net()(inputs)

    return forward
