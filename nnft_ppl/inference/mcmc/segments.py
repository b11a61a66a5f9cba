"""A long MCMC run in segments: answered when interrupted, saved as it goes.

In: a state and a compiled function that takes any number of steps. Out: the state after
the last one. How the steps are divided does not change the
numbers, so that the clock may decide it; and a run that was killed and goes on from its
checkpoint ends with the same bits as one that was not.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nnft_ppl._checkpoint import load_checkpoint, save_checkpoint, warn_unsaved
from nnft_ppl.ensemble.progress import Monitor, Pace, watching
from nnft_ppl.inference.mcmc.sampling import Sampling

_SEGMENT_SECONDS = 1.0
"""What a segment should take: how long Ctrl-C may wait."""
_FIRST_STEPS = 4
"""Steps of the first segment, before it is known how long one takes."""
_GROWTH = 4
"""A segment has at most so many times the steps of the one before: the first steps of a
warm-up say little about later ones."""
_WRITING_SHARE = 0.05
"""Most of the time that may go into writing checkpoints."""


def run_in_segments[T](
    start: T,
    advance: Callable[[T, int, int], T],
    *,
    sampling: Sampling,
    checkpoint: Path | None,
    whose: Mapping[str, Any],
    progress: bool | Monitor,
) -> T:
    """Take all steps of a run, a second's worth at a time.

    Args:
        start: The state before the first step, a pytree of arrays and threefry keys.
        advance: (state, steps taken before, steps to take) -> state.
        sampling: How many steps adapt and how many draw.
        checkpoint: Where the state is kept, and read from if it is there; the file
            stays when the run is done, and then gives the result at once.
        whose: JSON values that say what is run.
        progress: Show a bar, or a function that is told after every segment.

    Raises:
        SpecError: The checkpoint is of another run.
        KeyboardInterrupt: Interrupted; says how far it came and whether that is saved.

    Warns:
        CheckpointWarning: The state could not be saved; the run goes on.
    """
    total = sampling.num_steps
    # State and steps taken, assigned together: an interruption finds both of one time.
    reached = (start, 0)
    if checkpoint is not None:
        reached = _load(checkpoint, whose, start)
    saved = reached[1]
    last_saving, saving_took = time.monotonic(), 0.0
    steps = _FIRST_STEPS
    try:
        with watching(progress, "NUTS") as monitor:
            if saved < total:
                advance(*reached, 0)  # compiles, which is not to count as a step
            pace = Pace(saved, "steps")
            while reached[1] < total:
                state, done = reached
                count = min(steps, total - done)
                begun = time.monotonic()
                reached = (
                    jax.block_until_ready(advance(state, done, count)),
                    done + count,
                )
                now = time.monotonic()
                growth = _SEGMENT_SECONDS / max(now - begun, 1e-9)
                steps = max(1, int(count * min(growth, _GROWTH)))
                due = now - last_saving > saving_took / _WRITING_SHARE
                if checkpoint is not None and (due or reached[1] == total):
                    if _save(checkpoint, whose, *reached):
                        saved = reached[1]
                    last_saving = time.monotonic()
                    saving_took = last_saving - now
                if monitor is not None:
                    monitor(pace.at(reached[1], total))
    except KeyboardInterrupt:
        how_far = _how_far(reached[1], sampling)
        if checkpoint is not None:
            kept = saved == reached[1] or _save(checkpoint, whose, *reached)
            how_far += f", {'kept' if kept else 'not kept'} in `{checkpoint}`"
        raise KeyboardInterrupt(how_far) from None
    return reached[0]


def _how_far(done: int, sampling: Sampling) -> str:
    warmup, draws = sampling.num_warmup, sampling.num_samples
    if done <= warmup:
        return f"NUTS stopped after {done} of {warmup} steps of its warm-up"
    return f"NUTS stopped after {done - warmup} of {draws} draws per chain"


def _save[T](path: Path, whose: Mapping[str, Any], state: T, done: int) -> bool:
    """Whether the state could be saved; if not, that is said, and the run goes on."""
    arrays = {
        _name(where): np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)
        for where, leaf in jax.tree_util.tree_leaves_with_path(state)
    }
    try:
        save_checkpoint(path, {**whose, "done": done}, arrays)
    except (OSError, MemoryError) as failure:
        warn_unsaved("the state of NUTS", path, failure)
        return False
    return True


def _load[T](path: Path, whose: Mapping[str, Any], start: T) -> tuple[T, int]:
    """The state kept at `path` and how many steps it took; else `start` and 0."""
    found = load_checkpoint(path, whose)
    if found is None:
        return start, 0

    def restored(where: Any, like: jax.Array) -> jax.Array:
        array = jnp.asarray(found.arrays[_name(where)])
        if _is_key(like):
            return jax.random.wrap_key_data(array, impl="threefry2x32")
        return array

    state: T = jax.tree_util.tree_map_with_path(restored, start)
    return state, int(found.record["done"])


def _name(where: Any) -> str:
    """Where in the state an array is, such as `0.adapt_state.step_size`."""
    return jax.tree_util.keystr(where, simple=True, separator=".")


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))
