"""What residuals are looked at against: a predictor or grouping factor by name, or one value per row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_diagnostics
from henderson.columns import Column, as_column, has_rows
from henderson.inference import clusters
from henderson.levels import Categories

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.inference.clusters import Clusters

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Predictor:
    """One value for each row used.

    Attributes
    ----------
    name
        Of the column, or of the argument.
    numbers
        (n,), or None for a categorical one.
    groups
        The rows by category, or None for a numeric one.
    """

    name: str
    numbers: Vector | None
    groups: Clusters | None


def resolve(design: DesignMatrices, value: Any, *, what: str) -> Predictor:
    """A predictor from the name of a column of the model or from one value per row.

    Parameters
    ----------
    design
        Of the fitted model.
    value
        Name of a predictor or of a grouping factor; or an array, list or Series with a value for each row used in the
        fit, or for each row of its table.
    what
        Name of the argument, for messages.
    """
    if isinstance(value, str):
        names = [factor.name for factor in design.factors]
        column = design.recipe.columns.get(value)
        if value in names or isinstance(column, Categories):
            return Predictor(value, None, clusters.resolve(design, value, what=what))
        if column is None or column.ndim > 1:
            raise errors_diagnostics.predictor_unknown(what, value, [*names, *design.recipe.columns])
        return Predictor(value, column, None)
    if not has_rows(value):
        raise errors.argument_type(what, value, "the name of a predictor, or an array with one value per row")
    column_of = as_column(what, value)
    name = getattr(value, "name", None)  # of a Series
    label = name if isinstance(name, str) else what
    if column_of.kind == "category":
        return Predictor(label, None, clusters.resolve(design, value, what=what))
    return Predictor(label, _numbers(design, column_of, value, what), None)


def _numbers(design: DesignMatrices, column: Column, value: Any, what: str) -> Vector:
    in_table = design.n + design.n_dropped + design.n_zero_weight + design.n_excluded
    is_table = len(column) == in_table
    if not is_table and len(column) != design.n:
        raise errors_diagnostics.predictor_length(what, len(column), design.n, in_table)
    index: Any = getattr(value, "index", None)  # of a Series; a method of a list
    labelled = design.table_index if is_table else design.index
    if hasattr(index, "equals") and labelled is not None and not index.equals(labelled):
        raise errors.index_mismatch(what)
    if column.kind == "time":  # the order is what counts
        categories = column.categories()
        numbers = np.where(categories.codes < 0, np.nan, categories.levels.rank[categories.codes].astype(np.float64))
    else:
        numbers = column.numbers("a predictor")
    if is_table and design.rows is not None:
        numbers = numbers[design.rows]
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise errors_diagnostics.predictor_not_finite(what, int(bad[0]), float(numbers[bad[0]]))
    return numbers
