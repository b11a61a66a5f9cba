"""The run directory: whose it is, and files that are whole or absent.

- study.toml: the study file as run
- run.json: the study resolved (inputs from files included), versions, seed
- correlators/: one netCDF file per width and estimator, and the data of the fit
- fit.nc: posterior draws
- comparison.json: the comparison of actions, when asked for
- figures/: the figures as PNG
- report.html: the page
"""

import json
import os
from pathlib import Path
from typing import Any

from nnft_ppl import store
from nnft_ppl._errors import SpecError

SCHEMA = 1


class RunDirectory:
    """A directory that holds one study and no other."""

    def __init__(self, path: Path) -> None:
        """Name the directory; nothing is touched yet."""
        self.path = path

    def check(self, record: dict[str, Any]) -> bool:
        """Whether finished results of this very study may be reused.

        Results of another version of nnft_ppl are not reused but written over.

        Raises:
            SpecError: The directory holds another study, or something else.
        """
        if self.path.exists() and not self.path.is_dir():
            raise SpecError(
                f"`output.directory`: {str(self.path)!r} is a file; expected a folder"
            )
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return False
        found = self.read_run()
        if found["study"] != record:
            different = [k for k in record if record[k] != found["study"].get(k)]
            raise SpecError(
                f"`output.directory`: {str(self.path)!r} holds another study (it "
                f"differs in {different or 'its tables'}); choose another directory "
                "or remove that one"
            )
        return bool(found["versions"] == store.versions())

    def claim(self, record: dict[str, Any], text: str, *, keep: bool) -> None:
        """Make the directory this study's; finished results stay only with `keep`."""
        for folder in ("", "correlators", "figures"):
            (self.path / folder).mkdir(parents=True, exist_ok=True)
        if not keep:
            for stale in [*self.path.glob("**/*.nc"), *self.path.glob("*.html")]:
                stale.unlink()
            (self.path / "comparison.json").unlink(missing_ok=True)
        self.write("run.json", _json({**_header(), "study": record}))
        self.write("study.toml", text)

    def read_run(self) -> dict[str, Any]:
        """What `claim` wrote.

        Raises:
            SpecError: There is no readable run.json of this schema.
        """
        path = self.path / "run.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            schema = found["schema"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SpecError(
                f"{str(self.path)!r} holds no study: {path.name} cannot be read "
                f"({type(error).__name__}); choose an empty or new directory, or one "
                "that `nnft study` made"
            ) from error
        if schema != SCHEMA:
            raise SpecError(
                f"{str(path)!r} has schema {schema!r}; this version reads {SCHEMA}"
            )
        return found

    def write(self, name: str, content: str | bytes) -> Path:
        """Write one file under a temporary name and rename it."""
        target = self.path / name
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        data = content.encode() if isinstance(content, str) else content
        try:
            temporary.write_bytes(data)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        return target

    def correlators(self, width: int, estimator: str) -> Path:
        """File of the correlators of one width by one estimator."""
        return self.path / "correlators" / f"width_{width}_{estimator}.nc"

    @property
    def fit_data(self) -> Path:
        """File of the correlators that were fitted."""
        return self.path / "correlators" / "fit_data.nc"

    @property
    def fit(self) -> Path:
        """File of the posterior."""
        return self.path / "fit.nc"

    @property
    def comparison(self) -> Path:
        """File of the comparison of actions."""
        return self.path / "comparison.json"

    @property
    def report(self) -> Path:
        """The page."""
        return self.path / "report.html"


def _header() -> dict[str, Any]:
    return {"schema": SCHEMA, "versions": store.versions()}


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
