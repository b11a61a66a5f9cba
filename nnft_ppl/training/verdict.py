"""`TrainingByWidth`: what training did to networks of several widths, in sentences."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from nnft_ppl import store
from nnft_ppl._network import Network
from nnft_ppl._numbers import percent, significant, with_error
from nnft_ppl.correlators.noise_free_square import SEEN
from nnft_ppl.training import measures, trained_couplings
from nnft_ppl.training.by_width_file import fields_of, tree_of
from nnft_ppl.training.measures import CONNECTED, FROM_LIMIT
from nnft_ppl.training.power_of_width import Power, power_of_width
from nnft_ppl.training.result import TrainedEnsemble

_SURE = 3.0
"""Standard errors of a change that is told."""
_UNCLEAR = 0.3
"""Error of an exponent from which on it tells nothing."""
_SLOWEST = -0.5
"""Power that is ruled out where a quantity is said to fall as 1/width, or not to."""
_WORDS = {
    "three_point": "connected 3-point function",
    "four_point": "connected 4-point function",
    "mean": "mean",
    "covariance": "covariance",
}


@dataclass(frozen=True, eq=False)
class TrainingByWidth:
    """Ensembles trained at several widths, and what training did to them.

    Attributes:
        network: Of whatever width.
        method: Of training.
        learning_rate: Of all widths; 0 for gradient flow.
        times: Ascending.
        num_data: Targets.
        num_new: New inputs.
        num_draws: Networks of each width.
        tolerance: Relative size up to which a connected part is small.
        sizes: Rows of quantity, time, width, square, square_error, is_heavy_tailed.
        couplings: Rows of operator, time, width, value, error, natural, natural_error,
            verdict; see `trained_couplings`.
    """

    network: Network
    method: str
    learning_rate: float
    times: tuple[float, ...]
    num_data: int
    num_new: int
    num_draws: int
    tolerance: float
    sizes: pd.DataFrame
    couplings: pd.DataFrame

    @staticmethod
    def of(
        trained: TrainedEnsemble,
        rows: Sequence[measures.Row],
        couplings: Sequence[trained_couplings.Row],
        tolerance: float,
    ) -> "TrainingByWidth":
        """From the rows of all ensembles, `trained` one of them."""
        return TrainingByWidth(
            network=trained.network,
            method=trained.plan.method,
            learning_rate=trained.plan.learning_rate,
            times=tuple(float(t) for t in trained.times),
            num_data=len(trained.x),
            num_new=len(trained.x_new),
            num_draws=trained.num_draws,
            tolerance=tolerance,
            sizes=pd.DataFrame(rows, columns=list(measures.COLUMNS)),
            couplings=pd.DataFrame(couplings, columns=list(trained_couplings.COLUMNS)),
        )

    def __repr__(self) -> str:
        """The exponents and what they say."""
        return f"{self.exponents.to_string(index=False)}\n{self.message}"

    @property
    def widths(self) -> tuple[int, ...]:
        """Ascending."""
        return tuple(int(width) for width in sorted(set(self.sizes["width"])))

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each quantity, time and width.

        Columns: quantity (`three_point` and `four_point`, connected over Gaussian;
        `mean` and `covariance`, distance from infinite width: linearised networks, or
        by Langevin dynamics the Gaussian process given the data), time, width, value
        with noise taken out and 0 where that leaves nothing, error, is_seen (whether it
        is more than noise), is_heavy_tailed (a few networks dominate most entries:
        neither value nor error is to be trusted, and no fit uses it).
        """
        square, off = self.sizes["square"], self.sizes["square_error"]
        value = np.sqrt(square.clip(lower=0))
        seen = (square > SEEN * off) & ~self.sizes["is_heavy_tailed"]
        return pd.DataFrame(
            {
                **{c: self.sizes[c] for c in ("quantity", "time", "width")},
                "value": value,
                "error": np.sqrt(square.clip(lower=0) + off) - value,
                "is_seen": seen,
                "is_heavy_tailed": self.sizes["is_heavy_tailed"],
            }
        )

    @cached_property
    def powers(self) -> dict[tuple[str, float], Power]:
        """(quantity, time) -> its power of the width."""
        keys = self.sizes["quantity"], self.sizes["time"]
        return {
            (name, time): _power(self.sizes[(keys[0] == name) & (keys[1] == time)])
            for name in measures.QUANTITIES
            for time in self.times
        }

    @property
    def exponents(self) -> pd.DataFrame:
        """One row for each quantity and time.

        Columns: quantity, time, exponent p of width^p and its error, from_width (the
        smallest width that the power describes), and note, `zero by symmetry`,
        `within noise` where fewer than two widths are seen, or `no single power`; then
        there is no exponent.
        """
        rows = []
        for name in measures.QUANTITIES:
            for time in self.times:
                power = self.powers[name, time]
                rows.append(
                    (
                        *(name, time, power.exponent, power.error, power.first),
                        self._note(name, time),
                    )
                )
        columns = ["quantity", "time", "exponent", "error", "from_width", "note"]
        return pd.DataFrame(rows, columns=columns)

    def _rows(self, name: str, time: float) -> pd.DataFrame:
        at = (self.table["quantity"] == name) & (self.table["time"] == time)
        return self.table[at].set_index("width").sort_index()

    def _note(self, name: str, time: float) -> str:
        if np.isfinite(self.powers[name, time].exponent):
            return ""
        rows = self._rows(name, time)
        if rows["value"].isna().all():
            return "limit unknown"
        if not rows[["value", "error"]].any(axis=None):
            return "zero by symmetry"
        if rows["is_seen"].sum() < 2:
            heavy = rows["is_heavy_tailed"].mean() > 0.5
            return "heavy tails" if heavy else "within noise"
        return "no single power"

    @property
    def survives(self) -> bool | None:
        """Whether connected parts still fall as 1/width at the last time.

        `True` if the 4-pt function does, or falls faster, and so does the 3-pt function
        or is nowhere more than noise; `False` if one does not fall at all; `None` if
        noise does not tell between 1/width and a half of that power, or one falls more
        slowly than 1/width between the widths, which higher powers of 1/width may do.
        """
        last = self.times[-1]
        found = [self._falls(name, last) for name in CONNECTED]
        if False in found:
            return False
        three = self._rows("three_point", last)["is_seen"].any()
        return True if found[1] and (found[0] or not three) else None

    @property
    def falls(self) -> bool:
        """Whether connected parts surely fall with the width at the last time.

        The 4-pt function does, by two standard errors of its power, and so does the
        3-pt function or is nowhere more than noise.
        """
        last = self.times[-1]
        three, four = (self.powers[name, last] for name in CONNECTED)
        seen = self._rows("three_point", last)["is_seen"].any()
        return all(
            power.error <= _UNCLEAR and power.exponent + 2 * power.error < 0
            for power in ((three, four) if seen else (four,))
        )

    def _falls(self, name: str, time: float) -> bool | None:
        """As 1/width or faster; `False` only where it may well not fall at all.

        A wide error that reaches −1, or 0, says neither: a power of −½ must be ruled
        out.
        """
        power = self.powers[name, time]
        if not power.error <= _UNCLEAR:
            return None
        low, high = (power.exponent + side * 2 * power.error for side in (-1, 1))
        if low <= -1 and high < _SLOWEST:
            return True
        return False if high > 0 and low > _SLOWEST else None

    @cached_property
    def changes(self) -> pd.DataFrame:
        """How couplings changed from the first time to the last, in natural units.

        Columns: operator, growth (mean over widths of |after| − |before|, weighted by
        errors), error, standard_errors, change (`grew`, `shrank` or `undecided`). The
        same networks are seen at both times; errors are added as if they were not,
        which is careful where they are alike.
        """
        rows = []
        for name, found in self.couplings.groupby("operator", sort=False):
            by_time = found.set_index(["time", "width"])
            before, after = (by_time.loc[t] for t in (self.times[0], self.times[-1]))
            growth = after["natural"].abs() - before["natural"].abs()
            error = np.hypot(after["natural_error"], before["natural_error"])
            weight = 1 / error**2
            mean = float((growth * weight).sum() / weight.sum())
            off = float(weight.sum() ** -0.5)
            sure = mean / off
            change = "undecided"
            if abs(sure) > _SURE:
                change = "grew" if sure > 0 else "shrank"
            rows.append((str(name), mean, off, sure, change))
        columns = ["operator", "growth", "error", "standard_errors", "change"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def headline(self) -> str:
        """Whether near-Gaussianity survives, in a line."""
        name = self.network.name
        if self.survives is None and self.falls:
            return (
                f"{name} is the more Gaussian the wider it is after training, too; "
                "whether as 1/width is undecided"
            )
        words = {
            True: f"{name} stays nearly Gaussian in training",
            False: f"{name} does not stay nearly Gaussian in training",
            None: f"Undecided whether {name} stays nearly Gaussian in training",
        }
        return words[self.survives]

    @property
    def sentences(self) -> tuple[str, ...]:
        """The answer, in the order of the questions."""
        return (
            self._survival(),
            *(s for s in (self._how_wide(),) if s),
            *self._couplings(),
            self._from_limit(),
        )

    @property
    def message(self) -> str:
        """All of it."""
        return " ".join(f"{text}." for text in self.sentences)

    def _survival(self) -> str:
        first, last = self.times[0], self.times[-1]
        found = "; ".join(
            f"the {_WORDS[name]} over the Gaussian one {self._goes(name, last)} after "
            f"training, {self._goes(name, first)} before"
            for name in reversed(CONNECTED)
        )
        said = {
            True: "Near-Gaussianity survives this training",
            False: "Near-Gaussianity does not survive this training",
            None: "Connected functions fall with the width after training, too; "
            "whether as 1/width beyond these widths is undecided"
            if self.falls
            else "Undecided whether near-Gaussianity survives this training",
        }[self.survives]
        more = (
            "; train more networks, or wider ones, at which higher powers of 1/width "
            "count less"
            if self.survives is None
            else ""
        )
        return f"{said}: {found}{more}"

    def _goes(self, name: str, time: float) -> str:
        """How a quantity falls, in words."""
        power = self.powers[name, time]
        if not np.isfinite(power.exponent):
            rows, note = self._rows(name, time), self._note(name, time)
            if note == "within noise":
                most = float((rows["value"] + 2 * rows["error"]).iloc[-1])
                number = int(rows["is_seen"].sum())
                where = f"all widths but {number}" if number else "every width"
                note = (
                    f"is within noise at {where} (below {significant(most, 2)} at "
                    f"{self.widths[-1]})"
                )
            return {
                "heavy tails": "is dominated by a few networks",
                "zero by symmetry": "is zero by symmetry",
                "no single power": "follows no single power of the width",
            }.get(note, note)
        start = f" from {power.first} on" if power.first > self.widths[0] else ""
        return f"goes as width^({with_error(power.exponent, power.error)}){start}"

    def _how_wide(self) -> str:
        """From which width on connected parts are small."""
        parts = []
        for name in reversed(CONNECTED):
            power = self.powers[name, self.times[-1]]
            width, error = power.width_below(self.tolerance)
            if power.error <= _UNCLEAR and np.isfinite(width) and error < width:
                beyond = ", beyond those trained" if width > self.widths[-1] else ""
                at = with_error(width, error) if error else f"{width:g}"
                parts.append(f"that of the {_WORDS[name]} from width {at} on{beyond}")
        within = f"Sizes are within {percent(self.tolerance)}: "
        return within + ", ".join(parts) if parts else ""

    def _couplings(self) -> tuple[str, ...]:
        """Which grew."""
        texts = []
        for row in self.changes.to_dict("records"):
            by = with_error(row["growth"], row["error"])
            if row["change"] == "undecided":
                texts.append(
                    f"whether {row['operator']} grew is undecided (by {by} in natural "
                    "units)"
                )
            else:
                texts.append(
                    f"{row['operator']} {row['change']} by {by} in natural units, "
                    f"{abs(row['standard_errors']):.1f} standard errors"
                )
        text = "; ".join(texts)
        return (text[:1].upper() + text[1:],) if text else ()

    def _from_limit(self) -> str:
        last = self.times[-1]
        parts = []
        for name, unit in zip(
            FROM_LIMIT, (" of its standard deviation", ""), strict=True
        ):
            rows = self._rows(name, last)
            if rows["value"].isna().all():
                return "The limit of infinite width is not known"
            value, error = 100 * rows[["value", "error"]].iloc[0]
            parts.append(
                f"the {name} is off by {with_error(value, error)} %{unit} at width "
                f"{self.widths[0]} and {self._goes(name, last)}"
            )
        limit = "linearised networks of infinite width"
        if self.method == "langevin":
            limit = "the Gaussian process given the data, where training ends,"
        return f"From {limit} {', '.join(parts)}"

    def save(self, path: str | Path) -> None:
        """Write as netCDF, in one step: the file is complete or absent."""
        tables = {"sizes": self.sizes, "couplings": self.couplings}
        store.write(tree_of(vars(self), self.network, tables), path)

    @staticmethod
    def from_data(
        tree: xr.DataTree, network: Network | None = None
    ) -> "TrainingByWidth":
        """Rebuild from what `save` wrote, as `nnft_ppl.load` does."""
        return TrainingByWidth(**fields_of(tree, network))


def _power(rows: pd.DataFrame) -> Power:
    """Of one quantity at one time; heavy tails and what is not known left out."""
    used = rows[~rows["is_heavy_tailed"] & (rows["square_error"] > 0)]
    used = used.sort_values("width")
    columns = ("width", "square", "square_error")
    return power_of_width(*(used[c].to_numpy(float) for c in columns))
