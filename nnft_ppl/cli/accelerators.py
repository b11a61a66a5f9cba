"""Whether there is an accelerator that JAX does not use, and what to install for it."""

import os
import re
import shutil
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

_CUDA_13_DRIVER = 580
"""The oldest driver that runs CUDA 13; that of JAX for CUDA 12 is 525."""
_PLUGINS = {
    "NVIDIA": ("jax-cuda13-plugin", "jax-cuda12-plugin"),
    "AMD": ("jax-rocm7-plugin",),
    "TPU": ("libtpu",),
}


def unused_accelerator(root: Path = Path("/")) -> str | None:
    """What to do about an accelerator of this machine, for a JAX that uses the CPU.

    `None` where none is seen.

    Args:
        root: Of the file system that is looked at.
    """
    found = _seen(root)
    if found is None:
        return None
    kind, extra = found
    platforms = os.environ.get("JAX_PLATFORMS")
    if platforms:
        why = f"JAX_PLATFORMS={platforms} keeps JAX from it; unset it"
    elif any(map(_is_installed, _PLUGINS[kind])):
        why = (
            "JAX's plugin for it is installed and does not start; its messages, those "
            "of JAX_PLATFORMS naming it, CUDA_VISIBLE_DEVICES and the driver's age say "
            "why"
        )
    else:
        why = f"JAX for it is not installed: pip install 'nnft-ppl[{extra}]'"
    return f"there is an accelerator ({kind}), and JAX uses the CPU; {why}"


def _seen(root: Path) -> tuple[str, str] | None:
    """Kind of the accelerator whose driver is there, and the extra that is for it."""
    version = root / "proc/driver/nvidia/version"
    if version.exists():
        driver = re.search(r"Kernel Module\D*?\s(\d+)\.", _text(version))
        old = driver is not None and int(driver[1]) < _CUDA_13_DRIVER
        return "NVIDIA", "cuda12" if old else "cuda13"
    if (root / "dev/nvidia0").exists() or shutil.which("nvidia-smi"):
        return "NVIDIA", "cuda13"
    if (root / "dev/kfd").exists():
        return "AMD", "rocm7-local"
    if (root / "dev/accel0").exists():
        return "TPU", "tpu"
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
