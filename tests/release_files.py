"""The files of each release, as `write_files.py` made them."""

import json
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent / "files"
NEWEST = "unreleased"
KINDS = (
    "ensemble",
    "exact",
    "measured",
    "fit",
    "function_space_fit",
    "running_fit",
)
SUMS = "measured.sums"


def releases():
    return sorted(path.stem for path in FOLDER.glob("*.zip"))


def file_of(release, name):
    """Bytes of one of its files."""
    with zipfile.ZipFile(FOLDER / f"{release}.zip") as files:
        return files.read(name)


def numbers_of(release):
    """Kind -> name -> numbers that were in what was saved."""
    return json.loads(file_of(release, "numbers.json"))
