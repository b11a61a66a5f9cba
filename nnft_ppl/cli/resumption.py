"""A measurement's files: its output, its sums beside it, and what existing ones mean.

OUTPUT.nc is there when the measurement is finished. OUTPUT.nc.sums holds sums over
whole blocks of networks: while there is no output, of a run to go on with; afterwards
what `--extend` adds to.
"""

import json
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnft_ppl._errors import SpecError
from nnft_ppl.cli.options import check_folder
from nnft_ppl.cli.units import Extension

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nnft_ppl._network import Network
    from nnft_ppl._typing import Points
    from nnft_ppl.correlators.correlators import Correlators


@dataclass(frozen=True)
class Files:
    """The files of one measurement.

    Attributes:
        output: The result.
    """

    output: Path

    @property
    def sums(self) -> Path:
        """What the run goes on from, and what is added to."""
        return self.output.with_name(f"{self.output.name}.sums")

    @property
    def partial(self) -> Path:
        """Correlators of a run that was interrupted."""
        return self.output.with_name(
            f"{self.output.stem}.partial{self.output.suffix or '.nc'}"
        )

    @contextmanager
    def held(self) -> "Iterator[None]":
        """Within, they are this process's; what a killed one left is put in order."""
        from nnft_ppl._files import one_writer, remove_half_written

        check_folder(self.output)
        with one_writer(self.output):
            for file in (self.output, self.sums, self.partial):
                remove_half_written(file)
            self._settle()
            yield

    def check(self, *, force: bool, extension: Extension | None) -> None:
        """Raise SpecError where what exists is not to be replaced or added to."""
        if force and extension is not None:
            raise SpecError(
                "`--force` begins anew and `--extend` adds to what there is; expected "
                "one of them"
            )
        if extension is not None and not self.output.exists():
            raise SpecError(
                f"`--extend {extension.text}`: there is no `{self.output}` to add to; "
                "give --num-draws"
                + (f", and it goes on from `{self.sums}`" if self.sums.exists() else "")
            )
        if extension is None and self.output.exists() and not force:
            raise SpecError(
                f"`{self.output}` exists; give --force to replace it or --extend to "
                "add networks to it"
            )

    def saved(self) -> dict[str, Any] | None:
        """The record of the sums, or `None` where there are none to go on from."""
        from nnft_ppl._checkpoint import saved_record

        return saved_record(self.sums)

    @contextmanager
    def begun_anew(self) -> "Iterator[Callable[[], None]]":
        """Within, sums there were are out of the way.

        At a call, once there are new ones, they and the output are removed. Without new
        ones, as when the work is refused, they are back at the end.
        """
        for file, place in self._aside().items():
            if file.exists():
                file.replace(place)
        try:
            yield self._remove_old
        except BaseException:
            self._remove_old()
            self._settle()
            raise
        self._discard()

    def _aside(self) -> dict[Path, Path]:
        """Where sums are while the work is begun anew; not a name of leftovers."""
        from nnft_ppl._checkpoint import previous

        files = (self.sums, previous(self.sums))
        return {file: file.with_name(f".{file.name}.before") for file in files}

    def _remove_old(self) -> None:
        """Remove the output and its sums where new sums have been saved."""
        if self.sums.exists():
            self.output.unlink(missing_ok=True)
            self._discard()

    def _discard(self) -> None:
        """Remove sums that were put aside; what is no sums of ours is kept."""
        from nnft_ppl._checkpoint import aside_of, holds_state

        for file, place in self._aside().items():
            if place.exists() and not holds_state(place):
                place.replace(aside_of(file))
            place.unlink(missing_ok=True)

    def _settle(self) -> None:
        """End what was begun anew: with the new sums, or with the old state."""
        aside = {f: place for f, place in self._aside().items() if place.exists()}
        if aside:
            self._remove_old()
        for file, place in aside.items():
            if place.exists():
                place.replace(file)

    def save_partial(self, found: "Correlators") -> Path | None:
        """Save what an interrupted run has, unless other work has that place."""
        if self.partial.exists() and not self._is_partial(found):
            return None
        found.save(self.partial)
        return self.partial

    def finish(self, found: "Correlators") -> None:
        """Remove what only an unfinished run needs, and what killed ones left."""
        from nnft_ppl._checkpoint import remove_leftovers

        if self.partial.exists() and self._is_partial(found):
            self.partial.unlink()
        remove_leftovers(self.sums)

    def _is_partial(self, found: "Correlators") -> bool:
        """Whether at the place of partial correlators there are some of this work."""
        from nnft_ppl._errors import NnftError
        from nnft_ppl._load import load
        from nnft_ppl.correlators.correlators import Correlators

        try:
            there = load(self.partial)
        except NnftError:
            return False
        return isinstance(there, Correlators) and _work(there) == _work(found)


def check_same_work(
    files: Files,
    network: "Network",
    points: "Points",
    orders: tuple[int, ...],
    *,
    estimator: str,
    generator: str | None,
    seed: int,
) -> "Correlators":
    """The output, once it is clear that this command may add to it.

    Raises:
        SpecError: It is of other work, or its sums are gone.
    """
    import jax
    import numpy as np

    from nnft_ppl._load import load
    from nnft_ppl._seed import seed_key
    from nnft_ppl.correlators.correlators import Correlators
    from nnft_ppl.correlators.orders import check_orders

    found = load(files.output)
    if not isinstance(found, Correlators) or found.is_exact:
        raise SpecError(
            f"cannot extend `{files.output}`: it holds no measured correlators"
        )
    saved = files.saved()
    if saved is None:
        raise SpecError(
            f"cannot extend `{files.output}`: the sums over its {found.num_draws:,} "
            f"networks, `{files.sums}`, are missing or damaged; measure anew with "
            "--num-draws and --force"
        )
    ours = {
        **_flat(json.loads(network.to_json())),
        "inputs": points.tolist(),
        "orders": list(check_orders(orders, len(points))),
        "estimator": found.estimator if estimator == "auto" else estimator,
    }
    theirs = _work(found)
    theirs["generator"] = saved.get("generator")
    ours["generator"] = theirs["generator"] if generator is None else generator
    ours["seed"] = np.asarray(jax.random.key_data(seed_key(seed))).tolist()
    theirs["seed"] = saved.get("key")
    for name, value in theirs.items():
        if ours.get(name) != value:
            raise SpecError(
                f"cannot extend `{files.output}`: its {name} is {_shown(name, value)}, "
                f"that of this command {_shown(name, ours.get(name))}; give the "
                "command that made it"
            )
    return found


def _work(found: "Correlators") -> dict[str, Any]:
    """What correlators are of."""
    return {
        **_flat(json.loads(found.network.to_json())),
        "inputs": found.x.tolist(),
        "orders": list(found.orders),
        "estimator": found.estimator,
    }


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Nested names joined, so that a message can say which value differs."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        found |= _flat(value) if isinstance(value, dict) else {name: value}
    return found


def _shown(name: str, value: Any) -> str:
    """A value for a message; a seed from its key's two words."""
    if name == "seed" and isinstance(value, list):
        return str(value[-1])
    return repr(value)
