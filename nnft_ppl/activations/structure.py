"""Where an elementwise function jumps or bends, and on which scale it varies.

In: a function of one real number, of which nothing else is known. Out: `Structure`: its
kinks, ends of panels on which it is a polynomial of moderate degree, and how fine its
features are at each size of the argument. Quadrature rules are chosen by it.

The line is cut in blocks that double in size away from 0, from 10⁻¹² to 10¹⁰. A panel
of a block is bisected until a polynomial through some points predicts the function at
others, to a share of the function's own variation there. What remains at the distance
of adjacent numbers is a kink or a jump; what never ends is an oscillation. A feature
narrower than some 10⁻³ of its distance from 0 may be missed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from nnft_ppl._host import on_host

type Function = Callable[[jax.Array], jax.Array]
type PerPanel = Float[np.ndarray, " panel"]

_FIRST, _LAST = -40, 34
"""Binary exponents of the blocks, up to what a preactivation of 10⁹ reaches."""
_OFFSET = 1.0 + (5**0.5 - 1) / 9
"""No end of a panel falls on a number that a person would choose for a kink."""
_DEGREE = 13
_TOLERANCE = 1e-6
"""Of the variation on a panel; Gauss's rule of as many points squares it."""
_NEGLIGIBLE = 1e-10
"""Of the largest value at arguments as large."""
_FINEST = 64
"""Pieces of a block on each of which the function is tried at a few points at least."""
_MAX_PIECES = 256
"""Unresolved pieces of one block beyond which the function oscillates there."""
_CLOSE = 1e-7
"""Relative size of a panel that only a kink can leave unresolved."""
_NARROW = 1 / 8
"""Of a block: pieces down to this size a rule graded about 0 resolves."""
_MAX_KINKS, _MAX_ENDS = 8, 24
"""The cost of a rule cut at each of them grows with their square."""
_OCTAVES = 6
"""Scales on which a kink at 0 shows."""
_CHUNK = 2048


@dataclass(frozen=True, eq=False)
class Structure:
    """What quadrature needs to know of a function.

    Attributes:
        kinks: Where it or its slope jumps, in order; empty when there are too many.
        ends: Further ends of panels on which it is smooth on the panel's scale.
        widths: (sign, block) width of the narrowest piece, 0 where it oscillates
            beyond resolution, or has kinks beyond number.
        needs_panels: Whether a rule graded about 0 would miss what panels catch.
    """

    kinks: tuple[float, ...]
    ends: tuple[float, ...]
    widths: Float[np.ndarray, "2 block"]
    needs_panels: bool

    def width_at(self, z: jax.Array) -> jax.Array:
        """Width of the narrowest piece at arguments as large as z, of its shape."""
        size = jnp.abs(z) / _OFFSET
        exponent = jnp.floor(jnp.log2(jnp.where(size > 0, size, 1.0)))
        block = jnp.clip(exponent - _FIRST, 0, _LAST - _FIRST - 1).astype(int)
        table = jnp.asarray(self.widths, z.dtype)
        found = jnp.where(z < 0, table[0][block], table[1][block])
        # Below the smallest block there is nothing but a kink at 0.
        return jnp.where(size < 2.0**_FIRST, jnp.inf, found)


@lru_cache(maxsize=64)  # a rule is chosen anew whenever a program is traced
def structure(function: Function, declared: tuple[float, ...] = ()) -> Structure:
    """Find the structure of a function by trying it; it may be called while tracing.

    Args:
        function: Elementwise, of a JAX array.
        declared: Kinks that are known already.
    """
    with on_host(), jax.ensure_compile_time_eval(), jax.enable_x64(True):
        trial = _Trial(function)
        low, high, kinks, widths = _resolve(trial)
        found = [k for k in kinks if not np.isclose(k, declared, 1e-9, 1e-13).any()]
        kinks = sorted(float(kink) for kink in [*declared, *found])
        blocks = _OFFSET * np.ldexp(1.0, np.arange(_FIRST, _LAST))
        narrow = (widths > 0) & (widths < _NARROW * blocks)
        if len(kinks) > max(_MAX_KINKS, len(declared)):
            for kink in kinks:
                widths[int(kink > 0), _block_of(np.asarray(kink))] = 0.0
            return Structure((), (), widths, needs_panels=False)
        ends = _merged(trial, low, high, kinks)
        local = len(ends) <= _MAX_ENDS
        nearest = sorted(sorted(ends, key=abs)[:_MAX_ENDS])
        return Structure(
            tuple(kinks),
            tuple(nearest),
            widths,
            needs_panels=bool(kinks) or (local and bool(narrow.any())),
        )


def _block_of(z: np.ndarray) -> np.ndarray:
    """Number of the block that holds arguments of this size."""
    exponent = np.floor(np.log2(np.maximum(np.abs(z), 2.0**_FIRST) / _OFFSET))
    return np.asarray(np.clip(exponent - _FIRST, 0, _LAST - _FIRST - 1).astype(int))


class _Trial:
    """A function, tried on panels."""

    def __init__(self, function: Function) -> None:
        """Compile it, for one number of arguments."""
        self._function = jax.jit(lambda z: jnp.asarray(function(z)))
        kind = np.asarray(self._function(jnp.zeros(_CHUNK))).dtype
        self._rounding = 64 * np.finfo(kind if kind.kind == "f" else float).eps
        self._nodes = np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
        self._largest = np.zeros(_LAST - _FIRST)

    def values(self, z: np.ndarray) -> np.ndarray:
        """The function, float64, of the shape of z."""
        flat = z.ravel()
        padded = np.pad(flat, (0, -len(flat) % _CHUNK), mode="edge")
        parts = [
            np.asarray(self._function(jnp.asarray(part)), dtype=np.float64)
            for part in padded.reshape(-1, _CHUNK)
        ]
        return np.concatenate(parts)[: len(flat)].reshape(z.shape)

    def look_around(self) -> None:
        """Note how large the function is at arguments of each size."""
        blocks = _OFFSET * np.ldexp(1.0, np.arange(_FIRST, _LAST))
        z = blocks[:, None] * np.linspace(1.0, 2.0, 2 * _FINEST)
        values = np.abs(self.values(np.concatenate([z, -z], axis=1)))
        sizes = np.where(np.isfinite(values), values, 0.0).max(axis=1)
        self._largest = np.maximum.accumulate(sizes)

    def resolved(
        self, low: PerPanel, high: PerPanel, pieces: int = 1
    ) -> Bool[np.ndarray, " panel"]:
        """Whether the function is a polynomial on each panel, or not finite.

        It is tried on as many pieces of each.
        """
        checks = 0.991 * np.linspace(-1.0, 1.0, (_DEGREE + 4) * pieces)
        middle, half = ((low + high) / 2)[:, None], ((high - low) / 2)[:, None]
        tried = self.values(middle + half * checks)
        return self.agrees(low, high, checks, tried)

    def agrees(
        self, low: PerPanel, high: PerPanel, checks: np.ndarray, tried: np.ndarray
    ) -> Bool[np.ndarray, " panel"]:
        """Whether a polynomial on each panel predicts the values tried.

        They are (panel, check), at checks in [−1, 1]; what is not finite agrees.
        """
        middle, half = ((low + high) / 2)[:, None], ((high - low) / 2)[:, None]
        known = self.values(middle + half * self._nodes)
        finite = np.isfinite(known).all(axis=1) & np.isfinite(tried).all(axis=1)
        known, tried = (np.where(finite[:, None], v, 0.0) for v in (known, tried))
        both = np.concatenate([known, tried], axis=1)
        off = np.abs(tried - known @ self._prediction(checks).T).max(axis=1)
        allowed = (
            _TOLERANCE * np.ptp(both, axis=1)
            + self._rounding * np.abs(both).max(axis=1)
            + _NEGLIGIBLE
            * self._largest[_block_of(np.maximum(np.abs(low), np.abs(high)))]
        )
        return np.asarray((off <= allowed) | ~finite)

    def _prediction(self, checks: np.ndarray) -> np.ndarray:
        """(check, node) Lagrange's polynomials, by the barycentric formula."""
        signs = (-1.0) ** np.arange(_DEGREE + 1)
        terms = signs * np.sqrt(1 - self._nodes**2) / (checks[:, None] - self._nodes)
        return np.asarray(terms / terms.sum(axis=1, keepdims=True))


def _resolve(
    trial: _Trial,
) -> tuple[PerPanel, PerPanel, list[float], Float[np.ndarray, "2 block"]]:
    """Bisect: panels on which the function is a polynomial, kinks, narrowest widths."""
    trial.look_around()
    blocks = _OFFSET * np.ldexp(1.0, np.arange(_FIRST, _LAST))
    low = np.concatenate([-2 * blocks, blocks])
    high = np.concatenate([-blocks, 2 * blocks])
    owner = np.arange(2 * len(blocks))
    smooth, bent = _about_zero(trial, blocks)
    kinks = [0.0] if bent else []
    widths = np.maximum(np.concatenate([blocks, blocks]), smooth)
    done_low, done_high = [-blocks[:1]], [blocks[:1]]
    level = 0
    while len(low):
        good = trial.resolved(low, high, max(1, _FINEST >> level))
        done_low.append(low[good])
        done_high.append(high[good])
        if level > 0:
            np.minimum.at(widths, owner[good], (high - low)[good])
        low, high, owner = low[~good], high[~good], owner[~good]
        counts = np.bincount(owner, minlength=len(widths))
        widths[counts > _MAX_PIECES] = 0.0
        alive = counts[owner] <= _MAX_PIECES
        low, high, owner = low[alive], high[alive], owner[alive]
        size = np.maximum(np.abs(low), np.abs(high))
        final = high - low <= 4 * np.finfo(float).eps * size
        close = ~final & (high - low <= _CLOSE * size)
        if close.any():  # the halves may agree, each with its own polynomial
            centre = (low + high) / 2
            halves = trial.resolved(low, centre) & trial.resolved(centre, high)
            final |= close & halves
        kinks += list((low[final] + high[final]) / 2)
        low, high, owner = low[~final], high[~final], owner[~final]
        centre = (low + high) / 2
        low, high = np.concatenate([low, centre]), np.concatenate([centre, high])
        owner = np.concatenate([owner, owner])
        level += 1
    table = widths.reshape(2, -1)
    return np.concatenate(done_low), np.concatenate(done_high), sorted(kinks), table


def _about_zero(trial: _Trial, blocks: np.ndarray) -> tuple[float, bool]:
    """How far the function is smooth about 0, and whether it has a kink there.

    Then both sides are smooth and do not fit together on any scale.
    """
    zero, fits = np.zeros_like(blocks), trial.resolved(-blocks, blocks)
    sides = trial.resolved(-blocks, zero) & trial.resolved(zero, blocks)
    bent = (sides & ~fits)[blocks < 1.0]
    first = len(blocks) if fits.all() else int(np.argmin(fits))
    return (
        float(blocks[first - 1]) if first else 0.0,
        bool(np.convolve(bent, np.ones(_OCTAVES), "valid").max() > _OCTAVES - 0.5),
    )


def _merged(
    trial: _Trial, low: PerPanel, high: PerPanel, kinks: list[float]
) -> list[float]:
    """Ends of as few panels as hold the function, from 0 outward on both sides."""
    ends: list[float] = []
    for sign in (1.0, -1.0):
        inner, outer = (low, high) if sign > 0 else (-high, -low)
        side = outer > 0
        order = np.argsort(inner[side])
        cuts = sorted(sign * kink for kink in kinks if sign * kink > 0)
        ends += [
            sign * end
            for end in _outward(
                trial, sign, inner[side][order], outer[side][order], cuts
            )
        ]
    return [e for e in ends if not np.isclose(e, kinks, 1e-6, 1e-9).any()]


def _outward(
    trial: _Trial, sign: float, low: PerPanel, high: PerPanel, cuts: list[float]
) -> list[float]:
    """Ends on one side, on which arguments are taken times the sign."""
    half = ((high - low) / 2)[:, None]
    places = (low + high)[:, None] / 2 + half * np.linspace(-0.9, 0.9, _DEGREE)
    values = trial.values(sign * places)
    ends: list[float] = []
    first = 0
    for last in range(1, len(low)):
        begin, end = low[first], high[last]
        if low[last] > high[last - 1] * (1 + 1e-9):
            return [*ends, high[last - 1]]  # beyond, the function oscillates
        cut = any(begin * (1 + 1e-6) < kink < end * (1 - 1e-6) for kink in cuts)
        some = slice(first, last + 1)
        checks = (places[some].ravel() - (begin + end) / 2) / ((end - begin) / 2)
        left, right = sorted((sign * begin, sign * end))
        if cut or not trial.agrees(
            np.array([left]),
            np.array([right]),
            sign * checks,
            values[None, some].ravel()[None],
        ):
            ends.append(float(high[last - 1]))
            first = last
        if len(ends) > _MAX_ENDS:
            break
    return ends
