"""Eight rows that every table library can hold."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

N = 8
FORMULA = "y ~ x + f + (1 | g)"


def columns(**changes):
    """A small table as a dict of arrays."""
    table = {
        "y": np.array([1.0, 3.0, 2.0, 5.0, 4.0, 6.0, 8.0, 7.0]),
        "x": np.arange(8.0),
        "f": np.array(["b", "a", "b", "a", "b", "a", "a", "b"], dtype=object),
        "g": np.array(["u", "u", "v", "v", "w", "w", "u", "v"], dtype=object),
    }
    return table | changes


def frame(**changes):
    return pd.DataFrame(columns(**changes))


TABLES = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "pyarrow": pa.table,
    "dict": dict,
}
