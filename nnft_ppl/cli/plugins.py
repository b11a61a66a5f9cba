"""`nnft architectures`, `nnft check`, `nnft doctor`: what is installed."""

from typing import TYPE_CHECKING, Any

import click

from nnft_ppl._errors import PluginError
from nnft_ppl.cli.options import (
    FAILED,
    as_json,
    emit,
    network_options,
    say,
    seed,
    table,
)

if TYPE_CHECKING:
    from nnft_ppl._network import Network
    from nnft_ppl.architecture import Architecture


@click.command()
@as_json
def architectures(as_json: bool) -> None:
    """List the installed architectures and what each one knows."""
    from nnft_ppl.architecture import Architecture
    from nnft_ppl.registry import load_registry

    registry = load_registry()
    rows, document = [], []
    for plugin in registry.plugins:
        if isinstance(plugin.supplies, Architecture):
            knows = _knowledge(plugin.supplies)
            rows.append(
                [
                    plugin.name,
                    plugin.supplies.description,
                    ", ".join(knows) or "-",
                    plugin.distribution,
                ]
            )
            document.append(
                {
                    "name": plugin.name,
                    "description": plugin.supplies.description,
                    "knows": knows,
                    "distribution": plugin.distribution,
                    "symmetries": sorted(plugin.supplies.symmetries),
                    "options": {
                        key: {"default": o.default, "help": o.help}
                        for key, o in plugin.supplies.options.items()
                    },
                }
            )
    for refusal in registry.refusals:
        say(f"refused: {refusal.name} of {refusal.distribution}: {refusal.reason}")
    text = table([["NAME", "DESCRIPTION", "KNOWS", "FROM"], *rows])
    emit({"architectures": document}, text, as_json=as_json)


def _knowledge(architecture: "Architecture") -> list[str]:
    """The optional parts that an architecture gives."""
    return [
        part
        for part in ("kernel", "readout", "neuron")
        if getattr(architecture, part) is not None
    ]


@click.command()
@network_options(width=20, bias_std=1.0)
@click.option("--num-draws", type=int, default=20_000, show_default=True)
@seed
@as_json
def check(network: "Network", num_draws: int, seed: int, as_json: bool) -> None:
    """Check that the plugin of architecture NAME keeps its contract.

    Everything it declares is compared with sampled networks; exit code 1 when a check
    fails.
    """
    import jax

    from nnft_ppl.testing import check_architecture

    try:
        results = check_architecture(
            network, key=jax.random.key(seed), num_draws=num_draws
        )
    except PluginError as error:
        emit(
            {"architecture": network.name, "passed": False, "message": str(error)},
            f"failed: {error}",
            as_json=as_json,
        )
        raise SystemExit(FAILED) from None
    emit(
        {
            "architecture": network.name,
            "passed": True,
            "checks": [vars(result) for result in results],
        },
        "\n".join([*map(str, results), f"{network!r} passes {len(results)} checks"]),
        as_json=as_json,
    )


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Show versions, devices and plugins.

    Exit code 1 when a plugin was refused.
    """
    import jax

    from nnft_ppl import store
    from nnft_ppl.registry import load_registry

    registry = load_registry()
    devices = [str(device) for device in jax.devices()]
    document: dict[str, Any] = {
        "versions": store.versions(),
        "devices": devices,
        "backend": jax.default_backend(),
        "plugins": [
            {
                "name": plugin.name,
                "distribution": plugin.distribution,
                "supplies": type(plugin.supplies).__name__.lower(),
            }
            for plugin in registry.plugins
        ],
        "refused": [vars(refusal) for refusal in registry.refusals],
    }
    rows = [
        *([name, version] for name, version in store.versions().items()),
        ["devices", f"{', '.join(devices)} ({jax.default_backend()})"],
        *(
            [p["name"], f"{p['supplies']} from {p['distribution']}"]
            for p in document["plugins"]
        ),
        *(
            [r.name, f"REFUSED, from {r.distribution}: {r.reason}"]
            for r in registry.refusals
        ),
    ]
    emit(document, table(rows), as_json=as_json)
    if registry.refusals:
        raise SystemExit(FAILED)
