"""Networks compared by width in a file: two tables, and what they are of.

In: the fields of a `TrainingByWidth`. Out: a DataTree, and the fields from one.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from nnft_ppl import store
from nnft_ppl._network import Network
from nnft_ppl.ensemble.fingerprint import network_record, recorded_network
from nnft_ppl.training import measures, trained_couplings

_PLAIN = (
    "method",
    "learning_rate",
    "num_data",
    "num_new",
    "num_draws",
    "tolerance",
)
"""Fields that are numbers and texts."""
_COLUMNS = {"sizes": measures.COLUMNS, "couplings": trained_couplings.COLUMNS}


def tree_of(
    fields: Mapping[str, Any], network: Network, tables: Mapping[str, pd.DataFrame]
) -> xr.DataTree:
    """Everything as a DataTree, a group a table."""
    groups = {
        name: xr.Dataset(
            {
                str(c): (
                    "row",
                    table[c].to_numpy(
                        dtype=str if table[c].dtype.kind not in "fib" else None
                    ),
                )
                for c in table.columns
            }
        )
        for name, table in tables.items()
    }
    tree = xr.DataTree.from_dict(groups)
    tree.attrs = store.provenance(
        "training_by_width",
        **network_record(network),
        **{name: fields[name] for name in _PLAIN},
        times=list(fields["times"]),
    )
    return tree


def fields_of(tree: xr.DataTree, network: Network | None) -> dict[str, Any]:
    """Every field, from what `tree_of` made."""
    record, tables = store.metadata(tree), {}
    for name, columns in _COLUMNS.items():
        group = store.child(tree, name)
        found = {c: store.array(group, c) for c in columns}
        tables[name] = pd.DataFrame(
            {
                c: v.astype(object) if v.dtype.kind not in "fib" else v
                for c, v in found.items()
            }
        )
    return {
        "network": recorded_network(record, network),
        "times": tuple(record["times"]),
        **{name: record[name] for name in _PLAIN},
        **tables,
    }
