"""`nnft doctor`: what there is to work with, how fast it is and what limits it."""

import os
from typing import TYPE_CHECKING, Any

import click

from nnft_ppl._errors import SpecError
from nnft_ppl.cli.accelerators import unused_accelerator
from nnft_ppl.cli.kept_programs import what_is_kept
from nnft_ppl.cli.options import FAILED, as_json, emit, table

if TYPE_CHECKING:
    from nnft_ppl.correlators.sampled.throughput import Speed

_SLOW_NORMAL = 4.0
"""Nanoseconds: a core with vectors of 256 bits takes half of it, of 512 an eighth."""
_BUSY = 0.85
_WORTH = 0.7
"""Of the number of blocks at a time: a lower gain means that they get in each other's
way, or that others use the cores."""


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Show versions, devices, precision, plugins, speed and what limits it.

    Takes some seconds, for a short benchmark. Exit code 1 when a plugin was refused.
    """
    import jax

    from nnft_ppl import store
    from nnft_ppl.correlators.sampled.throughput import measure_speed
    from nnft_ppl.registry import load_registry

    if jax.config.jax_disable_jit:
        raise SpecError(
            "JAX_DISABLE_JIT is set, and the speed of compiled programs is what is "
            "measured; unset it"
        )
    registry = load_registry()
    machine = _machine()
    speed = measure_speed()
    document: dict[str, Any] = {
        "versions": store.versions(),
        **machine,
        "plugins": [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "supplies": type(plugin.supplies).__name__.lower(),
            }
            for plugin in registry.plugins
        ],
        "refused": [vars(refusal) for refusal in registry.refusals],
        "programs": what_is_kept(),
        "speed": _rates(speed),
        "limit": what_limits(machine, speed),
        "advice": advice(machine, speed),
    }
    emit(document, _text(document), as_json=as_json)
    if registry.refusals:
        raise SystemExit(FAILED)


def _machine() -> dict[str, Any]:
    """Devices, cores, precision and whatever was switched on to find faults."""
    import jax
    from threadpoolctl import threadpool_info

    from nnft_ppl.ensemble.local import available_cores
    from nnft_ppl.ensemble.network_size import host_memory

    debugging = [
        name
        for name in (
            "jax_debug_nans",
            "jax_debug_infs",
            "jax_enable_checks",
            "jax_check_tracer_leaks",
            "jax_log_compiles",
        )
        if getattr(jax.config, name, False)
    ]
    return {
        "backend": jax.default_backend(),
        "devices": [
            {
                "name": str(device),
                "kind": device.device_kind,
                "memory_bytes": _device_memory(device),
            }
            for device in jax.devices()
        ],
        "cores": available_cores(),
        "memory_bytes": host_memory(),
        "x64": bool(jax.config.jax_enable_x64),
        "matmul_precision": jax.config.jax_default_matmul_precision or "default",
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "debugging": debugging,
        "blas": sorted(
            {
                f"{found['internal_api']} {found['version']}, {found['num_threads']} "
                "threads"
                for found in threadpool_info()
                if found["user_api"] == "blas"
            }
        ),
    }


def _device_memory(device: Any) -> int | None:
    """Bytes of an accelerator, `None` where it does not tell."""
    stats = device.memory_stats()
    return None if not stats else stats.get("bytes_limit")


def _rates(speed: "Speed") -> dict[str, Any]:
    from nnft_ppl.correlators.sampled.throughput import INPUTS, ORDERS, WIDTH

    return {
        "normals_per_second": speed.normals_per_second,
        "normals_per_second_all": speed.normals_per_second_all,
        "nanoseconds_per_normal": 1e9 / speed.normals_per_second,
        "jax_normals_per_second": speed.jax_normals_per_second,
        "network": {"width": WIDTH, "inputs": len(INPUTS), "orders": ORDERS},
        "networks_per_second": speed.networks_per_second,
        "networks_per_second_one": speed.networks_per_second_one,
        "blocks_at_a_time": speed.at_a_time,
        "shares": speed.shares,
        "core_share": speed.core_share,
    }


def what_limits(machine: dict[str, Any], speed: "Speed") -> str:
    """What takes the time, in a sentence."""
    stage, share = max(speed.shares.items(), key=lambda item: item[1])
    said = f"what takes most of the time is the {stage}, {share:.0%} of it"
    if stage == "random numbers":
        said += ", the floor of the cost"
    on_cpu = machine["backend"] == "cpu"
    if on_cpu and speed.at_a_time == 1:
        return f"{said}, on a single core"
    said += f"; {speed.at_a_time} blocks at a time give {speed.gain:.1f} times the rate"
    # On an accelerator the second block of a device is there to be prepared meanwhile.
    hoped = speed.at_a_time if on_cpu else len(machine["devices"])
    if speed.gain >= _WORTH * hoped:
        return f"{said} of one"
    if on_cpu:
        return (
            f"{said} of one only: the cores are busy with something else, or share "
            "their arithmetic or memory"
        )
    return f"{said} of one only: something else uses the devices, or the host is slow"


def advice(machine: dict[str, Any], speed: "Speed") -> list[str]:
    """What is off and what to do about it; empty when all is well."""
    found = []
    if machine["x64"]:
        found.append(
            "64-bit mode is on (JAX_ENABLE_X64 or the host program); networks are "
            "drawn in float32 all the same, and it need not be on for nnft_ppl"
        )
    if machine["debugging"]:
        found.append(
            f"{', '.join(machine['debugging'])} slow every program; switch them off "
            "for long runs"
        )
    if machine["backend"] == "cpu":
        found.append(
            unused_accelerator()
            or "no accelerator is used; where there is one, install JAX for it, such "
            "as pip install 'nnft-ppl[cuda13]'"
        )
        if machine["cores"] == 1:
            found.append("this process may use one core only; allow it more")
    # Waiting for an accelerator takes no time of a core.
    if machine["backend"] == "cpu" and speed.core_share < _BUSY:
        found.append(
            f"only {speed.core_share:.0%} of a core was to be had: something else runs "
            "here; what is measured is too low"
        )
    nanoseconds = 1e9 / speed.normals_per_second
    if machine["backend"] == "cpu" and nanoseconds > _SLOW_NORMAL:
        found.append(
            f"a random number takes {nanoseconds:.1f} ns, where a core with vectors of "
            "256 bits takes two and one with 512 a half: it is busy, throttled, "
            "emulated or old"
        )
    return found


def _text(document: dict[str, Any]) -> str:
    """For people."""
    speed = document["speed"]
    network = speed["network"]
    orders = ", ".join(map(str, network["orders"]))
    devices = [
        f"{d['name']} ({d['kind']}{_size(d['memory_bytes'], ', ')})"
        for d in document["devices"]
    ]
    per_core = (
        f"{speed['normals_per_second'] / 1e6:,.0f} M/s one block at a time "
        f"({speed['nanoseconds_per_normal']:.2f} ns each), "
        f"{speed['normals_per_second_all'] / 1e6:,.0f} M/s with "
        f"{speed['blocks_at_a_time']} at a time; jax.random "
        f"{speed['jax_normals_per_second'] / 1e6:,.0f} M/s"
    )
    x64 = "on" if document["x64"] else "off"
    rows = [
        *([name, version] for name, version in document["versions"].items()),
        ["devices", f"{', '.join(devices)}; backend {document['backend']}"],
        ["cores", f"{document['cores']}{_size(document['memory_bytes'], ', ')}"],
        ["precision", f"x64 {x64}, matmul {document['matmul_precision']}"],
        ["blas", "; ".join(document["blas"]) or "-"],
        *([p["name"], _supplies(p)] for p in document["plugins"]),
        *(
            [r["name"], f"REFUSED, from {r['distribution']}: {r['reason']}"]
            for r in document["refused"]
        ),
        ["kept programs", programs_text(document["programs"])],
        ["normal numbers", per_core],
        [
            "networks",
            f"{speed['networks_per_second']:,.0f}/s of width {network['width']}, "
            f"{network['inputs']} inputs, orders {orders}",
        ],
        *(
            ["" if i else "of the time", f"{share:4.0%} {stage}"]
            for i, (stage, share) in enumerate(speed["shares"].items())
        ),
        ["limit", document["limit"]],
        *(["advice" if i == 0 else "", a] for i, a in enumerate(document["advice"])),
    ]
    return table(rows)


def programs_text(kept: dict[str, Any]) -> str:
    """Where compiled programs are kept, for people."""
    if kept["unused"]:
        return f"none in {kept['folder']}: {kept['unused']}"
    if kept["bytes"] is None:
        return f"in {kept['folder']}, by JAX_COMPILATION_CACHE_DIR"
    return (
        f"{kept['bytes'] / 1e6:.1f} MB of at most {kept['most_bytes'] / 1e6:.0f} MB in "
        f"{kept['folder']}; remove the folder to clear it"
    )


def _supplies(plugin: dict[str, Any]) -> str:
    return f"{plugin['supplies']} from {plugin['distribution']}"


def _size(size: int | None, before: str) -> str:
    return "" if size is None else f"{before}{size / 1e9:.1f} GB"
