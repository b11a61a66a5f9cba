"""Numbers as one JSON document, whose schema is in `numbers.schema.json`."""

import json
from pathlib import Path
from typing import Any

from nnft_ppl._version import __version__
from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.export.numbers import numbers_of, plain_label
from nnft_ppl.inference.couplings.result import CouplingFit

SCHEMA = 1
SCHEMA_FILE = Path(__file__).parent / "numbers.schema.json"
"""JSON Schema, draft 2020-12."""


def to_json(found: CouplingFit | Correlators) -> str:
    """Couplings or connected correlators as JSON, to the last bit.

    Args:
        found: From `fit_couplings`, or correlators from anywhere.

    Returns:
        A document that is valid by `numbers.schema.json`; docs/files.md shows one.

    Raises:
        SpecError: It is neither a fit nor correlators.
    """
    numbers = numbers_of(found)
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "made_by": f"nnft_ppl {__version__}",
        "holds": numbers.holds,
        "network": json.loads(numbers.network.to_json()),
        "blocks": [
            {
                "numbers": [
                    {
                        **{
                            column: plain_label(label)
                            for column, label in zip(
                                numbers.columns, labels, strict=True
                            )
                        },
                        "value": value,
                        "error": error,
                    }
                    for labels, value, error in zip(
                        block.labels,
                        block.values.tolist(),
                        block.errors.tolist(),
                        strict=True,
                    )
                ],
                "covariance": block.covariance.tolist(),
            }
            for block in numbers.blocks
        ],
    }
    return json.dumps(document, allow_nan=False, indent=1) + "\n"
