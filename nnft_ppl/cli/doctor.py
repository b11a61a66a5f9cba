"""`nnft doctor`: what there is to work with, how fast it is and what limits it."""

from typing import Any

import click

from nnft_ppl.cli.options import FAILED, as_json, emit, table


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
