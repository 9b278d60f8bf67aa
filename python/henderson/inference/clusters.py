"""Sets of rows that belong together: clusters of a sandwich estimator, groups left out of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_inference
from henderson.columns import as_column, has_rows
from henderson.levels import Categories, factorize, level_text

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.factors import Factor

Indices = NDArray[np.intp]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Clusters:
    """The rows of a fit divided into clusters, every one of them with at least one row.

    Attributes
    ----------
    name
        Of the grouping factor, or "cluster".
    codes
        (n,) cluster of each row, 0 .. count - 1.
    labels
        (count,) what the clusters are called, as presented.
    """

    name: str
    codes: Indices
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def order(self) -> Indices:
        """The rows, cluster after cluster."""
        return np.argsort(self.codes, kind="stable")

    @cached_property
    def sizes(self) -> Indices:
        """Rows of each cluster."""
        return np.bincount(self.codes, minlength=len(self))

    @cached_property
    def starts(self) -> Indices:
        """Where each cluster begins in `order`."""
        return np.cumsum(self.sizes) - self.sizes

    def rows(self, cluster: int) -> Indices:
        """The rows of one cluster."""
        return self.order[self.starts[cluster] : self.starts[cluster] + self.sizes[cluster]]

    def contain(self, factor: Factor) -> bool:
        """Whether each level of a grouping factor lies in one cluster only."""
        own = np.empty(factor.n_levels, dtype=np.intp)
        own[factor.codes] = self.codes
        return bool(np.array_equal(own[factor.codes], self.codes))

    def contain_all(self, design: DesignMatrices) -> bool:
        """Whether rows of different clusters share no random effect, so that Cov(y) is block diagonal by cluster."""
        return all(self.contain(factor) for factor in design.factors)


def of_factor(factor: Factor) -> Clusters:
    """The levels of a grouping factor, sorted."""
    position = np.empty(factor.n_levels, dtype=np.intp)
    position[factor.order] = np.arange(factor.n_levels)
    return Clusters(factor.name, position[factor.codes], factor.levels)


def outermost(design: DesignMatrices) -> Clusters | None:
    """The grouping factor in which all others are nested, None when they are crossed."""
    for factor in sorted(design.factors, key=lambda factor: factor.n_levels):
        found = of_factor(factor)
        if found.contain_all(design):
            return found
    return None


def is_several(value: Any) -> bool:
    """Whether an argument is a list of names of grouping factors and not an array of labels."""
    return isinstance(value, list | tuple) and 0 < len(value) < 10 and all(isinstance(name, str) for name in value)


def resolve(design: DesignMatrices, value: Any, *, what: str) -> Clusters:
    """Clusters from the name of a grouping factor or from one label per row.

    Parameters
    ----------
    design
        Of the fitted model.
    value
        Name of a grouping factor or of a column among the fixed effects; or an array, list or Series with a label for
        each row used in the fit, or for each row of its table.
    what
        Name of the argument, for messages.
    """
    if isinstance(value, Clusters):
        return value
    if isinstance(value, str):
        for factor in design.factors:
            if factor.name == value:
                return of_factor(factor)
        column = design.recipe.columns.get(value)
        if column is None or (not isinstance(column, Categories) and column.ndim > 1):
            names = [*(factor.name for factor in design.factors), *design.recipe.columns]
            raise errors_inference.groups_unknown(what, value, names)
        return _of_categories(value, column if isinstance(column, Categories) else factorize(column), what)
    if not has_rows(value):
        raise errors_inference.groups_type(what, value)
    return _of_labels(design, value, what)


def resolve_several(design: DesignMatrices, value: Any, *, what: str) -> list[Clusters]:
    """One `Clusters` for each name of a list, or a single one."""
    return [resolve(design, part, what=what) for part in (value if is_several(value) else [value])]


def intersection(parts: Sequence[Clusters]) -> Clusters:
    """The combinations of clusters that occur."""
    if len(parts) == 1:
        return parts[0]
    codes = parts[0].codes
    which = np.arange(len(parts[0]))[:, None]
    for part in parts[1:]:
        keys, codes = np.unique(codes * np.int64(len(part)) + part.codes, return_inverse=True)
        before, own = np.divmod(keys, len(part))
        which = np.column_stack([which[before], own])
    labels = np.empty(len(which), dtype=object)
    for i, row in enumerate(which.tolist()):
        labels[i] = ":".join(level_text(part.labels[j]) for part, j in zip(parts, row, strict=True))
    return Clusters(":".join(part.name for part in parts), codes, labels)


def _of_labels(design: DesignMatrices, value: Any, what: str) -> Clusters:
    column = as_column(what, value)
    in_table = design.n + design.n_dropped + design.n_zero_weight + design.n_excluded
    is_table = len(column) == in_table
    if not is_table and len(column) != design.n:
        raise errors_inference.groups_length(what, len(column), design.n, in_table)
    index: Any = getattr(value, "index", None)  # of a Series; a method of a list
    labelled = design.table_index if is_table else design.index
    if hasattr(index, "equals") and labelled is not None and not index.equals(labelled):
        raise errors.index_mismatch(what)
    categories = column.categories()
    if is_table:
        categories = categories.take(design.rows)
    missing = np.flatnonzero(categories.codes < 0)
    if len(missing):
        raise errors_inference.groups_missing(what, int(missing[0]), len(missing))
    name = getattr(value, "name", None)  # of a Series
    return _of_categories(name if isinstance(name, str) else what, categories, what)


def _of_categories(name: str, categories: Categories, what: str) -> Clusters:
    codes, order = categories.codes, categories.levels.order
    used = order[np.bincount(codes, minlength=len(order))[order] > 0]
    if len(used) < 2:
        raise errors_inference.groups_single(what)
    position = np.empty(len(order), dtype=np.intp)
    position[used] = np.arange(len(used))
    return Clusters(name, position[codes], categories.levels.labels[used])
