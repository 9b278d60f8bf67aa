"""Small data sets of the mixed-model literature, each loaded by one function.

Every loader takes ``as_="pandas"`` (the default), ``"polars"`` or ``"pyarrow"`` and returns a new table. Grouping
factors are categoricals (``Enum`` columns in polars, dictionary columns in pyarrow) whose category order is R's.

``load(name)`` loads by name, ``NAMES`` lists the names.
"""

from henderson.datasets._loaders import (
    NAMES,
    load,
    load_cake,
    load_dyestuff,
    load_dyestuff2,
    load_pastes,
    load_penicillin,
    load_ratpup,
    load_sleepstudy,
)

__all__ = [
    "NAMES",
    "load",
    "load_cake",
    "load_dyestuff",
    "load_dyestuff2",
    "load_pastes",
    "load_penicillin",
    "load_ratpup",
    "load_sleepstudy",
]
