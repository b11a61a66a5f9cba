"""What figures of several things are given: one, a list of them, or label -> one."""

from collections.abc import Iterable, Mapping, Sequence

from nnft_ppl._errors import SpecError, shown
from nnft_ppl.inference.couplings.result import CouplingFit
from nnft_ppl.inference.law.result import RunningFit
from nnft_ppl.plots.style import plain


def several[T](name: str, given: T | Iterable[T], kind: type[T]) -> list[T]:
    """What was given as a list.

    Raises:
        SpecError: It is none of `kind`, or there are none.
    """
    if isinstance(given, kind):
        return [given]
    expected = f"nnft_ppl.{kind.__name__}, one or several"
    if not isinstance(given, Iterable):
        raise SpecError(f"`{name}` is {shown(given)}; expected {expected}")
    found = list(given)
    if not found:
        raise SpecError(f"no {name} to plot; give at least one")
    for one in found:
        if not isinstance(one, kind):
            raise SpecError(f"`{name}` holds {shown(one)}; expected {expected}")
    return found


def labelled[T: CouplingFit | RunningFit](
    fits: T | Sequence[T] | Mapping[str, T], kind: type[T]
) -> dict[str, T]:
    """Fits by their labels, which tell apart what differs between them.

    Raises:
        SpecError: They are none of `kind`, or there are none.
    """
    if isinstance(fits, Mapping):
        found = several("fits", fits.values(), kind)
        return {plain(str(name)): fit for name, fit in zip(fits, found, strict=True)}
    found = several("fits", fits, kind)
    words = [_words(fit) for fit in found]
    always, told_apart = 2, 4
    differs = [
        i for i in range(always, told_apart) if len({row[i] for row in words}) > 1
    ]
    labels = [", ".join([*row[:always], *(row[i] for i in differs)]) for row in words]
    return {
        label if labels.count(label) == 1 else f"{label} ({i + 1})": fit
        for i, (label, fit) in enumerate(zip(labels, found, strict=True))
    }


def _words(fit: CouplingFit | RunningFit) -> tuple[str, str, str, str]:
    """Name and dimension of the network, its width, the action."""
    network = fit.correlators.network
    return (
        plain(network.name),
        f"$d={network.hyperparameters.input_dim}$",
        f"$N={network.width}$",
        plain(" + ".join(fit.action.names)),
    )
