"""What a study wrote: manifest.json, with the SHA-256 of each of its files.

A file is the study's while its bytes are those listed here; any other is the user's,
whatever its name. A file is listed before it is there, so that no kill between leaves
one of the study's that is taken for another's.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath

from nnft_ppl._errors import SpecError, StorageError
from nnft_ppl._files import digest, replace

NAME = "manifest.json"
_SCHEMA = 1


@dataclass(frozen=True)
class Entry:
    """One file of a study.

    Attributes:
        recipe: Digest of all that it is made from.
        sha256: Of its bytes; `None` while it is being made.
        replaces: SHA-256 of the file of the study's whose place it takes.
        checkpoint: Whether the checkpoint beside it is the study's.
    """

    recipe: str
    sha256: str | None = None
    replaces: str | None = None
    checkpoint: bool = False


class Manifest:
    """The list of a directory; of one that has none, an empty list.

    Attributes:
        entries: Name within the directory -> file.
    """

    def __init__(self, folder: Path) -> None:
        """Read it.

        Raises:
            SpecError: It is damaged, or of another schema.
            StorageError: It cannot be read, whatever is in it.
        """
        self.path = folder / NAME
        self.entries: Mapping[str, Entry] = _read(self.path)

    def note(self, name: str, entry: Entry) -> None:
        """List a file."""
        if self.entries.get(name) != entry:
            self.write({**self.entries, name: entry})

    def write(self, entries: Mapping[str, Entry]) -> None:
        """List these files and no others."""
        replace(self.path, _render(entries))
        self.entries = entries


def as_json(value: Mapping[str, object]) -> str:
    """The text of a JSON file: the same for equal values."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _render(entries: Mapping[str, Entry]) -> bytes:
    files = {name: asdict(entry) for name, entry in entries.items()}
    body: dict[str, object] = {"schema": _SCHEMA, "files": files}
    seal = digest(as_json(body).encode())
    return as_json({**body, "sha256 of the rest": seal}).encode()


def _read(path: Path) -> dict[str, Entry]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except IsADirectoryError:
        raise _damaged(path, "it is a folder") from None
    except OSError as error:
        raise StorageError(
            f"`{path}` cannot be read ({error.strerror or error}); see to it"
        ) from error
    try:
        found = json.loads(data)
        schema = found["schema"]
        entries = {name: _entry(name, **one) for name, one in found["files"].items()}
        if schema == _SCHEMA and _render(entries) != data:
            raise ValueError("it is not as it was written")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, type(error).__name__) from error
    if schema != _SCHEMA:
        raise SpecError(
            f"`{path}` has schema {schema!r:.20}; this version reads {_SCHEMA}"
        )
    return entries


def _entry(
    name: str,
    *,
    recipe: str,
    sha256: str | None,
    replaces: str | None,
    checkpoint: bool,
) -> Entry:
    # What is listed may be deleted: nothing outside of the directory.
    if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
        raise ValueError(name)
    return Entry(recipe, sha256, replaces, checkpoint)


def _damaged(path: Path, why: str) -> SpecError:
    return SpecError(
        f"`{path}`, the list of what the study wrote, is damaged ({why}); choose "
        "another directory, or move that file away: `nnft study` then keeps what is "
        "there under other names and computes anew"
    )
