"""`nnft architectures` and `nnft check`: what is installed, and whether it is sound."""

import math
from typing import TYPE_CHECKING, Any

import click

from nnft_ppl.cli.options import (
    FAILED,
    as_json,
    emit,
    network_options,
    on_terminal,
    say,
    seed,
    table,
)

if TYPE_CHECKING:
    from nnft_ppl._network import Network
    from nnft_ppl.architecture import Architecture
    from nnft_ppl.testing import CheckResult

_CELL = 34
"""Characters of a text in the table of checks."""


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
        for part in ("kernel", "readout", "neuron", "hidden_layers")
        if getattr(architecture, part) is not None
    ]


@click.command()
@network_options(width=20, bias_std=1.0)
@click.option("--num-draws", type=int, default=20_000, show_default=True)
@seed
@as_json
def check(network: "Network", num_draws: int, seed: int, as_json: bool) -> None:
    """Check that the plugin of architecture NAME keeps its contract.

    Everything it declares is compared with sampled networks, and the ensemble must
    become Gaussian as it widens; exit code 1 when a check fails.
    """
    from nnft_ppl._seed import seed_key
    from nnft_ppl.testing import check_groups

    results: list[CheckResult] = []
    groups = check_groups(network, key=seed_key(seed), num_draws=num_draws)
    for group, rows in groups:
        results += rows
        if on_terminal() and rows:
            failed = sum(not row.passed for row in rows)
            say(f"{group}: {len(rows)} checks{f', {failed} FAILED' if failed else ''}")
    failures = [row for row in results if not row.passed]
    document: dict[str, Any] = {
        "architecture": network.name,
        "passed": not failures,
        "checks": [vars(row) for row in results],
    }
    if failures:
        listed = "; ".join(map(str, failures))
        document["message"] = f"architecture {network.name!r} fails {listed}"
        ending = [f"{network!r} fails {len(failures)} of {len(results)} checks:"]
        ending += [f"- {row}" for row in failures]
    else:
        ending = [f"{network!r} passes {len(results)} checks"]
    text = "\n".join([_check_table(results), "", *ending])
    emit(document, text, as_json=as_json)
    if failures:
        raise SystemExit(FAILED)


def _check_table(rows: "list[CheckResult]") -> str:
    """One line a check; long texts are cut, and stand in full below where they fail."""
    from nnft_ppl.testing.result import shown

    def cell(value: float | str) -> str:
        text = " ".join(shown(value).split())
        return text if len(text) <= _CELL else text[: _CELL - 1] + "…"

    def distance(row: "CheckResult") -> str:
        far = row.standard_errors
        return f"{far:.1f}" if math.isfinite(far) and far > 0 else "-"

    lines = [
        [
            row.check,
            cell(row.measured),
            cell(row.expected),
            distance(row),
            "yes" if row.passed else "NO",
        ]
        for row in rows
    ]
    return table([["CHECK", "MEASURED", "EXPECTED", "STD. ERRORS", "PASS"], *lines])
