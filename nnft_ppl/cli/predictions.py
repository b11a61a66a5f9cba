"""What `nnft posterior` prints of predictions, in the units of the user."""

from typing import TYPE_CHECKING, Any

from nnft_ppl.cli.options import table

if TYPE_CHECKING:
    from nnft_ppl.bayes.comparison import PosteriorComparison
    from nnft_ppl.bayes.data_set import DataSet
    from nnft_ppl.bayes.result import Posterior

_MOST_ROWS = 40
"""New inputs that are printed; all are in the JSON document and in the file."""


def predictions(
    found: "Posterior", compared: "PosteriorComparison | None", data: "DataSet"
) -> list[dict[str, Any]]:
    """A row for each new input and output, in the units of the user."""
    import numpy as np

    standard, number = data.standard, len(data.x_new)
    x_new = data.x_new if standard is None else standard.inputs_back(data.x_new)
    std = 1.0 if standard is None else standard.target_std

    def back(values: np.ndarray) -> np.ndarray:
        shaped = values.reshape(number, -1)
        return shaped if standard is None else standard.targets_back(shaped)

    columns = {
        "mean": back(found.mean),
        "sd": np.sqrt(found.variance).reshape(number, -1) * std,
        "low": back(found.quantile(0.05, of="y")),
        "high": back(found.quantile(0.95, of="y")),
    }
    if data.y_new is not None:
        columns["target"] = back(data.y_new)
    for method in () if compared is None else compared.methods[:-1]:
        assert compared is not None
        mean, variance = compared.moments(method)
        columns[f"{method}, mean"] = back(mean)
        columns[f"{method}, sd"] = (
            np.sqrt(np.where(variance > 0, variance, np.nan)) * std
        )
    return [
        {"input": x_new[i].tolist(), "output": j}
        | {name: float(values[i, j]) for name, values in columns.items()}
        for i in range(number)
        for j in range(columns["mean"].shape[1])
    ]


def prediction_table(rows: list[dict[str, Any]]) -> str:
    """The first rows, an input by its number where it has several."""
    several = len({row["output"] for row in rows}) > 1
    numbers = [name for name in rows[0] if name not in ("input", "output")]
    heads = {"low": "5 % OF y", "high": "95 % OF y"}
    lines = [
        [
            "INPUT",
            *(["OUTPUT"] if several else []),
            *(heads.get(name, name.upper()) for name in numbers),
        ]
    ]
    of_one = len(rows[0]["input"]) == 1
    outputs = len({row["output"] for row in rows})
    for i, row in enumerate(rows[:_MOST_ROWS]):
        lines.append(
            [
                f"{row['input'][0]:.4g}" if of_one else str(i // outputs),
                *([str(row["output"])] if several else []),
                *(f"{row[name]:.4g}" for name in numbers),
            ]
        )
    more = len(rows) - _MOST_ROWS
    return table(lines) + (f"\n… and {more} more rows" if more > 0 else "")


def scores(
    found: "Posterior", noise_std: float, data: "DataSet"
) -> dict[str, float] | None:
    """How well targets that were held out are predicted."""
    if data.y_new is None:
        return None
    from nnft_ppl.bayes.scores import posterior_scores

    return posterior_scores(found, noise_std, data.y_new.reshape(len(data.x_new), -1))


def score_line(scores: dict[str, float]) -> str:
    """The scores in a line."""
    return (
        f"held out: log density {scores['log_density']:.4g}, RMSE {scores['rmse']:.4g}"
        f", {100 * scores['coverage']:.3g} % in 90 % intervals"
    )


def standard_lines(noise_std: float, data: "DataSet") -> list[str]:
    """What standardising did."""
    standard = data.standard
    if standard is None:
        return []

    def listed(values: Any) -> str:
        return ", ".join(f"{value:.4g}" for value in values)

    return [
        f"standardised by the {len(data.x)} data: inputs by means "
        f"{listed(standard.input_mean)} and standard deviations "
        f"{listed(standard.input_std)}; targets by {listed(standard.target_mean)} and "
        f"{listed(standard.target_std)}, so that the noise is "
        f"{listed(noise_std * standard.target_std)} in their units; scores and "
        "evidence are of standardised targets, predictions in your units"
    ]
