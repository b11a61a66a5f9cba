"""Numbers as comma-separated values, a line for each number."""

import csv
import io

from nnft_ppl.correlators.correlators import Correlators
from nnft_ppl.export.numbers import numbers_of, plain_label
from nnft_ppl.inference.couplings.result import CouplingFit


def to_csv(found: CouplingFit | Correlators) -> str:
    """Couplings or connected correlators as CSV, to the last bit.

    Args:
        found: From `fit_couplings`, or correlators from anywhere.

    Returns:
        A header and a line for each number: `cutoff,operator` or `order,legs`, then
        `value`, `error` (one standard deviation), and its row of the covariance as
        `covariance_0`, `covariance_1`, …, which count the numbers of the same cutoff,
        or all of the correlators. docs/files.md has the columns.

    Raises:
        SpecError: It is neither a fit nor correlators.
    """
    numbers = numbers_of(found)
    size = max(len(block.values) for block in numbers.blocks)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    covariances = [f"covariance_{i}" for i in range(size)]
    writer.writerow([*numbers.columns, "value", "error", *covariances])
    for block in numbers.blocks:
        rows = zip(
            block.labels,
            block.values.tolist(),
            block.errors.tolist(),
            block.covariance.tolist(),
            strict=True,
        )
        for labels, value, error, covariance in rows:
            named = [plain_label(label) for label in labels]
            writer.writerow([*named, value, error, *covariance])
    return text.getvalue()
