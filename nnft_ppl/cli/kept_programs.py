"""Compiled programs, kept from one command to the next in the user's cache folder.

JAX writes and reads them; the key of each holds the program, the versions and the
processor. Using the library switches nothing on: a host program has its own settings.

JAX can bound such a folder itself, but then looks at every file each time it writes
one, which takes longer than compiling once there are hundreds. So it is tidied here,
after a command that has added something.
"""

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

MAX_BYTES = 250 * 10**6
"""Of all that is kept: a program takes some 10 kB, those of accelerators more."""
_FOLDER = "jax_compilation_cache_dir"
_ALL = {
    # Hundreds of small programs take as long as a large one.
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}

no_cache = click.Option(
    ["--no-cache"],
    is_flag=True,
    help="Compile anew, and keep no compiled program.",
)


@contextmanager
def keeping_programs() -> Iterator[None]:
    """Within, JAX takes programs from the user's folder and adds to it.

    What the user told JAX is left as it is; where there is no usable folder the work is
    done without.
    """
    import jax

    folder = programs_folder()
    if (
        not jax.config.jax_enable_compilation_cache
        or jax.config.jax_compilation_cache_dir
        or why_unusable(folder) is not None
    ):
        yield
        return
    before = _last_change(folder)
    with _setting({_FOLDER: str(folder), **_ALL}), warnings.catch_warnings():
        # Half a program, of a full disk or a killed process: it is compiled again.
        warnings.filterwarnings(
            "ignore", "Error (reading|writing) persistent compilation cache entry"
        )
        try:
            yield
        finally:
            if _last_change(folder) != before:
                tidy(folder)


@contextmanager
def keeping_none() -> Iterator[None]:
    """Within, JAX compiles whatever it is told elsewhere."""
    with _setting({_FOLDER: None}):
        yield


@contextmanager
def _setting(values: dict[str, Any]) -> Iterator[None]:
    import jax

    before = {name: getattr(jax.config, name) for name in values}
    for name, value in values.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def programs_folder() -> Path:
    """Where programs are kept, whether there is such a folder or not."""
    from platformdirs import user_cache_path

    return user_cache_path("nnft_ppl", appauthor=False) / "programs"


def why_unusable(folder: Path) -> str | None:
    """Why nothing can be kept there; `None` where it can. The folder is made.

    Programs are loaded and run, so nobody else may write there.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        return f"it cannot be made: {error.strerror}"
    if os.name == "posix":
        if status.st_uid != os.getuid():
            return "it belongs to another user"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return "others may write there; chmod 700 it"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return "it cannot be written"
    return None


def tidy(folder: Path, max_bytes: int = MAX_BYTES) -> None:
    """Remove what was not used for the longest time, and files without content."""
    total = 0
    for _, size, path in sorted(_files(folder), key=lambda f: f[0], reverse=True):
        total += size
        if size == 0 or total > max_bytes:
            try:
                path.unlink()
            except OSError:  # another process was quicker or, on Windows, has it open
                continue


def what_is_kept() -> dict[str, Any]:
    """Where compiled programs are kept, how large that is, and why if nowhere."""
    import jax

    ours, folder = programs_folder(), jax.config.jax_compilation_cache_dir
    if not jax.config.jax_enable_compilation_cache:
        folder, why = None, "JAX_ENABLE_COMPILATION_CACHE is off"
    elif folder is None:
        why = why_unusable(ours) or "--no-cache"
    else:
        why = None
    is_ours = folder == str(ours)
    sizes = [size for _, size, _ in _files(ours)]
    return {
        "folder": str(ours) if folder is None else folder,
        "unused": why,
        "bytes": sum(sizes) if is_ours else None,
        "most_bytes": MAX_BYTES if is_ours else None,
    }


def _last_change(folder: Path) -> int | None:
    """When something was added or removed."""
    try:
        return folder.stat().st_mtime_ns
    except OSError:  # removed meanwhile
        return None


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """When each was last used, its bytes, its path; those of subfolders, too."""
    for path in folder.rglob("*"):
        try:
            status = path.stat()
        except OSError:  # gone meanwhile
            continue
        if stat.S_ISREG(status.st_mode):
            # Many systems note a day's first reading only, some none.
            last = max(status.st_atime, status.st_mtime)
            yield last, status.st_size, path
