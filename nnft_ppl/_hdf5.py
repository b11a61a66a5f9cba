"""Whether HDF5 can read a file that has no seal.

Damaged bytes may end the process that HDF5 runs in, so that another one tries first.
"""

import subprocess
import sys
from pathlib import Path

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SECONDS = 60.0
_READ_ALL = """
import sys, h5py

def read(name, item):
    dict(item.attrs)
    if isinstance(item, h5py.Dataset):
        item[()]

try:
    with h5py.File(sys.argv[1]) as file:
        read("/", file)
        file.visititems(read)
except Exception as error:
    sys.exit(str(error))
"""


def refusal(path: Path) -> str | None:
    """Why HDF5 cannot read the file, or `None` where it can."""
    with path.open("rb") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            return "it is no HDF5"
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _READ_ALL, str(path)],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"HDF5 has not read it in {_SECONDS:g} s"
    if done.returncode < 0:
        return "HDF5 crashes on it"
    return done.stderr if done.returncode else None
