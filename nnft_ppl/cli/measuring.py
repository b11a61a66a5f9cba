"""What `nnft correlators` does: measure, go on, add networks, end cleanly, print."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnft_ppl._errors import SpecError
from nnft_ppl.cli.events import Events
from nnft_ppl.cli.interruption import INTERRUPTED, interruptible
from nnft_ppl.cli.options import emit, table
from nnft_ppl.cli.resumption import Files, check_same_work
from nnft_ppl.cli.units import chosen_devices

if TYPE_CHECKING:
    from collections.abc import Callable

    from nnft_ppl._network import Network
    from nnft_ppl._typing import Packed, Points
    from nnft_ppl.cli.units import Extension
    from nnft_ppl.correlators.correlators import Correlators
    from nnft_ppl.ensemble.progress import Monitor, Progress

NUM_DRAWS = 100_000
"""Networks where nothing is said of their number."""
MANY_DRAWS = 10**9
"""Networks at most where a target error says when to stop."""


def measure(
    network: "Network",
    points: "Points",
    orders: tuple[int, ...],
    files: Files,
    events: Events,
    *,
    num_draws: int | None,
    target_error: float | None,
    couplings: tuple[str, ...],
    cutoff: float | None,
    extension: "Extension | None",
    estimator: str,
    generator: str | None,
    memory: int | None,
    devices: int | tuple[int, ...] | None,
    scheduler: str | None,
    seed: int,
    force: bool,
) -> "Correlators":
    """Measure, going on from the sums that are there; saved as the output."""
    from nnft_ppl._seed import seed_key
    from nnft_ppl.correlators.sampled.measure import (
        SamplingInterrupted,
        measure_correlators,
    )
    from nnft_ppl.correlators.sampled.measurement import relative_error

    there, error_of = 0, _error_of(couplings, cutoff, target_error)
    if extension is not None:
        if num_draws is not None:
            raise SpecError(
                "`--num-draws` and `--extend` both say how many networks; expected one"
            )
        there = check_same_work(
            files,
            network,
            points,
            orders,
            estimator=estimator,
            generator=generator,
            seed=seed,
        ).num_draws
        num_draws = extension.total(there)
        events.tell(
            "extending",
            f"extending {files.output} from {there:,} to {num_draws:,} networks",
            num_draws=there,
            total=num_draws,
        )
    elif num_draws is None:
        num_draws = NUM_DRAWS if target_error is None else MANY_DRAWS
    saved = None if force else files.saved()
    if saved is not None and saved["num_draws"] > there:
        events.tell(
            "resumed",
            f"going on from {files.sums}, which holds {saved['num_draws']:,} networks",
            num_draws=saved["num_draws"],
            checkpoint=files.sums,
        )
    label = estimator if estimator != "auto" else network.name
    try:
        with (
            interruptible(),
            events.watching(
                label, target_error, "coupling" if couplings else "G4c"
            ) as monitor,
            files.begun_anew() if force else nullcontext() as remove_old,
        ):
            found = measure_correlators(
                network,
                points,
                orders,
                num_draws=num_draws,
                key=seed_key(seed),
                estimator=estimator,
                generator=generator,
                target_error=target_error,
                error_of=error_of,
                checkpoint=files.sums,
                devices=chosen_devices(devices),
                scheduler=scheduler,
                memory=memory,
                progress=monitor
                if remove_old is None
                else _replacing(remove_old, monitor),
            )
            found.save(files.output)
    except SamplingInterrupted as interruption:
        _tell_interruption(interruption, files, events)
        raise SystemExit(INTERRUPTED) from None
    files.finish(found)
    if target_error is not None:
        _tell_target(found, error_of or relative_error, target_error, couplings, events)
    return found


def correlators_of_file(
    path: Path,
    network: "Network | int",
    points: "Points",
    orders: tuple[int, ...],
    *,
    chains: bool,
) -> "Correlators":
    """Of draws in a file, beside the kernel of a network, or with a width alone."""
    from nnft_ppl.correlators.drawn.files import open_draws
    from nnft_ppl.correlators.drawn.from_draws import correlators_from_draws

    kernel = None if isinstance(network, int) or not network.has_kernel else network
    width = network if isinstance(network, int) else network.width
    with open_draws(path, "--from-draws") as values:
        return correlators_from_draws(
            values, points, orders, kernel, chains=chains, width=width
        )


def _tell_target(
    found: "Correlators",
    error_of: "Callable[[Correlators], float | None]",
    target_error: float,
    couplings: tuple[str, ...],
    events: Events,
) -> None:
    """Say how well what was aimed at is known now."""
    error = error_of(found)
    if error is None:
        return
    what = "G4c" if not couplings else f"the coupling of {' and '.join(couplings)}"
    missed = " (missed)" if error > target_error else ""
    events.tell(
        "target",
        f"relative error of {what}: {100 * error:.2g} %, target "
        f"{100 * target_error:.2g} %{missed}",
        relative_error=error,
        target_error=target_error,
    )


def _error_of(
    couplings: tuple[str, ...], cutoff: float | None, target_error: float | None
) -> "Callable[[Correlators], float | None] | None":
    """What the target error is of; `None` for G4c."""
    if not couplings and cutoff is None:
        return None
    if not couplings or cutoff is None or target_error is None:
        raise SpecError(
            "`--coupling`, `--cutoff` and `--target-error` belong together; give all "
            "three, or --target-error alone for the error of G4c"
        )
    from nnft_ppl.eft.action import Action
    from nnft_ppl.inference.couplings.target_error import coupling_error

    return coupling_error(Action(list(couplings)), cutoff)


def _replacing(
    remove_old: "Callable[[], None]", monitor: "Monitor | None"
) -> "Monitor":
    """Remove the old output once there are new sums.

    From then on no output and some sums mean, as always, a run to go on with.
    """

    def watch(progress: "Progress") -> None:
        remove_old()
        if monitor is not None:
            monitor(progress)

    return watch


def _tell_interruption(interruption: Any, files: Files, events: Events) -> None:
    """Save the correlators there are and say how to go on."""
    partial = None
    message = f"interrupted after {interruption.num_draws:,} networks"
    if interruption.correlators is not None:
        partial = files.save_partial(interruption.correlators)
        if partial is None:
            message += f" ({files.partial} is of other work, and is kept)"
        else:
            message += f", their correlators in {partial}"
    saved = files.saved()
    forced = click.get_current_context().params["force"]
    if forced and files.output.exists():  # nothing of it had been replaced yet
        message += "; what there was before is kept"
    elif saved is None:
        message += "; the same command begins anew"
    elif forced:
        message += f"; the same command without --force goes on from {files.sums}"
    else:
        message += f"; the same command goes on from {files.sums}"
    events.tell(
        "interrupted",
        message,
        num_draws=interruption.num_draws,
        partial=partial,
        checkpoint=None if saved is None else files.sums,
    )


def print_correlators(found: "Correlators", output: Path, events: Events) -> None:
    """Every order in a line, and what is to be known of the numbers."""
    from nnft_ppl._drawn_network import called
    from nnft_ppl.correlators.deviation import mean_deviation
    from nnft_ppl.correlators.origin import DRAWN

    rows, document = [["ORDER", "ENTRIES", "DEVIATION FROM THE GP", "ERROR"]], []
    for order in found.orders:
        deviation = mean_deviation(found, order)
        told = [f"{deviation.value:.3g}", f"{deviation.error:.2g}"]
        if order == 1 or (order == 2 and not found.network.has_kernel):
            told = ["the same", "-"]  # the Gaussian process of the other orders has it
        rows.append([str(order), str(len(found.entries(order))), *told])
        document.append(
            {
                "order": order,
                "entries": found.entries(order),
                "moment": found.moment(order),
                "error": found.error(order),
                "connected": found.connected(order),
                "connected_error": found.connected_error(order),
                "deviation": deviation.value,
                "deviation_error": deviation.error,
            }
        )
    network, members = found.network, found.origin.members
    if 1 in found.orders and not found.is_exact:
        events.tell("note", _mean_told(found))
    if network.no_gp_limit is not None:
        events.tell("note", f"no Gaussian limit: {network.no_gp_limit}")
    for order in found.orders:
        heavy = found.heavy_tailed(order)
        if heavy.any():
            events.tell(
                "warning",
                f"too few {members}, or a few of a heavy tail, dominate "
                f"{int(heavy.sum())} of {len(heavy)} entries of the {order}-pt "
                "function; neither they nor their errors can be trusted",
            )
    how = f"{found.estimator} correlators of {network!r}"
    if found.origin is DRAWN:
        how = f"correlators of {found.num_draws:,} {called(network)}"
    elif found.num_draws:
        how += f" from {found.num_draws:,} {members}"
    emit(
        {
            "output": output,
            "estimator": found.estimator,
            "num_draws": found.num_draws,
            "legs": found.legs,
            "correlators": document,
        },
        f"{table(rows)}\n{how} in {output}",
        as_json=events.as_json,
    )


def _mean_told(found: "Correlators") -> str:
    """The mean that is furthest from zero in its standard errors.

    Where it is larger than the standard deviation it makes most of every full moment,
    whose deviations then hide what is not Gaussian: the connected ones are told.
    """
    import numpy as np

    from nnft_ppl._numbers import with_error

    mean, error = found.connected(1), found.connected_error(1)
    ratio = np.divide(np.abs(mean), error, out=np.zeros_like(mean), where=error > 0)
    most = int(ratio.argmax() if ratio.any() else np.abs(mean).argmax())
    text = f"the mean at input {most // found.num_outputs} is "
    if error[most] > 0:
        value = with_error(float(mean[most]), float(error[most]))
        text += f"{value}, {ratio[most]:.1f} standard errors from zero"
    else:
        text += f"{mean[most]:g}, as the architecture says"
    same = "the Gaussian process that other orders are compared with has the same mean"
    told = f"{text}; {same}" if mean.any() else text
    if 2 not in found.orders:
        return told
    first, second = found.entries(2).T
    variance = found.connected(2)[first == second]
    if not (np.abs(mean) > np.sqrt(np.maximum(variance, 0.0))).any():
        return told
    sizes = [
        f"{_relative_size(found, order, variance):.2g} for the {order}-pt function"
        for order in found.orders
        if order > 2
    ]
    if not sizes:
        return told
    return (
        f"{told}; it is larger than the standard deviation and makes most of the full "
        "moments, so that their deviations are small whatever the law: the largest "
        f"connected entry in units of standard deviations is {', '.join(sizes)}"
    )


def _relative_size(found: "Correlators", order: int, variance: "Packed") -> float:
    """The largest |G_c(x_1 … x_k)| / Π_i σ(x_i)."""
    import numpy as np

    from nnft_ppl.correlators.symmetric import entry_size

    size = entry_size(np.maximum(variance, 0.0), order)
    ratio = np.divide(
        found.connected(order), size, out=np.zeros_like(size), where=size > 0
    )
    return float(np.abs(ratio).max())
