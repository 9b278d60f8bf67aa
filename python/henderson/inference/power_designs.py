"""Designs of other sizes: rows of new data, more or fewer levels of a grouping factor, more or fewer rows in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_simulation
from henderson.inference import clusters
from henderson.inference.bootstrap_clusters import ClusterDesigns
from henderson.levels import Categories, Levels
from henderson.newdata import design_for
from henderson.simulation import groups_of, row_weights
from henderson.tables import open_table

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.factors import Factor
    from henderson.inference.clusters import Clusters
    from henderson.model import LinearMixedModel

Indices = NDArray[np.intp]
Matrix = NDArray[np.float64]

FEWEST_LEVELS = 2


@dataclass(frozen=True)
class Variation:
    """What is varied: the argument that says so, the grouping factor, and its sizes."""

    argument: str
    factor: str
    sizes: tuple[int, ...]

    @property
    def column(self) -> str:
        """What a column of these sizes is called."""
        return self.factor if self.argument == "along" else f"rows_per_{self.factor}"

    @property
    def words(self) -> str:
        """What the sizes are, in words."""
        return f"number of levels in {self.factor}" if self.argument == "along" else f"rows per {self.factor}"


def variations(design: DesignMatrices, along: Any, within: Any) -> tuple[Variation, ...]:
    """Read the arguments `along` and `within`."""
    known = [factor.name for factor in design.factors]
    found = []
    for argument, value, smallest in (("within", within, 1), ("along", along, FEWEST_LEVELS)):
        if value is None:
            continue
        if not isinstance(value, Mapping) or not value:
            raise errors_simulation.sizes_type(argument, value)
        for name, sizes in value.items():
            if name not in known:
                raise errors_simulation.sizes_factor(argument, name, known)
            found.append(Variation(argument, name, _sizes(argument, name, sizes, smallest)))
    return tuple(found)


def _sizes(argument: str, name: str, value: Any, smallest: int) -> tuple[int, ...]:
    listed = list(value) if hasattr(value, "__iter__") and not isinstance(value, str | bytes) else [value]
    for size in listed:
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < smallest:
            raise errors_simulation.size_invalid(argument, name, size, smallest)
    if not listed:
        raise errors_simulation.size_invalid(argument, name, value, smallest)
    return tuple(dict.fromkeys(map(int, listed)))


def designs(base: DesignMatrices, varied: tuple[Variation, ...]) -> Iterator[tuple[tuple[int, ...], DesignMatrices]]:
    """Each combination of sizes and its design; the base itself where nothing is varied."""
    for sizes in product(*(variation.sizes for variation in varied)):
        design = base
        for variation, size in zip(varied, sizes, strict=True):
            resize = _with_rows_per_level if variation.argument == "within" else _with_levels
            design = resize(design, variation.factor, size)
        for factor in design.factors:
            if factor.n_levels >= design.n:
                reason = errors.grouping_too_fine(factor.name, factor.n_levels, design.n)
                raise errors_simulation.design_impossible(in_words(varied, sizes), reason)
        yield sizes, design


def in_words(varied: tuple[Variation, ...], sizes: tuple[int, ...]) -> str:
    """``10 levels of subject and 4 rows per item``; ``this design`` where nothing is varied."""
    parts = [
        f"{size} levels of {variation.factor}" if variation.argument == "along" else f"{size} {variation.words}"
        for variation, size in zip(varied, sizes, strict=True)
    ]
    return " and ".join(parts) if parts else "this design"


# ---------------------------------------------------------------------------------------------------------------- base


def base_design(model: LinearMixedModel, newdata: Any, weights: Any) -> DesignMatrices:
    """The design to start from, without offset: that of the fit, or its columns at the rows of a table."""
    design = model.design
    if newdata is None:
        if weights is not None:
            raise errors_simulation.rows_argument_needs_newdata("weights")
        return replace(design, offset=None)
    table = open_table(newdata)
    rows = design_for(table, design, offset=0.0)
    factors = list(design.factors)
    missing = np.zeros(rows.n, dtype=bool)
    for column in [*rows.x, *(column for term in rows.terms.values() for column in term.columns)]:
        if column is not None:
            missing |= np.isnan(column)
    for t, term in rows.terms.items():
        groups = groups_of(term)
        missing |= groups.codes < 0
        place = design.terms[t].factor
        factors[place] = _numbered(factors[place], groups.codes, groups.count)
    own_weights = row_weights(model, table, weights)
    if own_weights is not None:
        missing |= np.isnan(own_weights)
    if missing.any():
        raise errors_simulation.newdata_missing(int(np.argmax(missing)), int(missing.sum()))
    for factor in factors:
        if factor.n_levels < FEWEST_LEVELS:
            raise errors.grouping_one_level(factor.name, factor.labels[0] if factor.n_levels else None)
    return replace(
        design,
        y=np.zeros(rows.n),
        x=rows.x,
        terms=tuple(replace(term, columns=rows.terms[t].columns) for t, term in enumerate(design.terms)),
        factors=tuple(factors),
        weights=own_weights,
        offset=None,
        rows=None,
        values={},
        table_index=rows.table_index,
        represented=None,
    )


def _numbered(factor: Factor, codes: NDArray[np.int32], count: int) -> Factor:
    """A factor with other codes, its levels called 1, 2, ..."""
    levels = Levels(np.arange(1, count + 1), has_own_order=True)
    return replace(factor, codes=codes, parts=(levels,), combinations=None)


# --------------------------------------------------------------------------------------------------------------- sizes


def _with_levels(design: DesignMatrices, name: str, size: int) -> DesignMatrices:
    """More or fewer levels of a grouping factor, with all their rows: copies are levels of their own.

    Levels of factors nested in it are copied too; other factors keep theirs.
    """
    found = clusters.resolve(design, name, what="along")
    copies, rest = divmod(size, len(found))
    chosen = np.sort(representative(_level_patterns(design, found))[:rest])
    draws = np.concatenate([*[np.arange(len(found))] * copies, chosen]).astype(np.intp)
    changed = ClusterDesigns(design, found).drawn(draws)
    return replace(changed, factors=tuple(map(_used, changed.factors)))


def _with_rows_per_level(design: DesignMatrices, name: str, size: int) -> DesignMatrices:
    """So many rows in each level of a grouping factor: its rows again and again, or some of them."""
    found = clusters.resolve(design, name, what="within")
    patterns = _row_patterns(design)
    taken = []
    for level in range(len(found)):
        own = found.rows(level)
        copies, rest = divmod(size, len(own))
        chosen = np.sort(representative(patterns[own])[:rest])
        taken.append(np.concatenate([*[own] * copies, own[chosen]]))
    changed = with_rows(design, np.concatenate(taken))
    return replace(changed, factors=tuple(map(_used, changed.factors)))


def with_rows(design: DesignMatrices, rows: Indices) -> DesignMatrices:
    """Some rows of a design, any of them several times."""
    return replace(
        design,
        y=design.y[rows],
        x=[None if column is None else column[rows] for column in design.x],
        terms=tuple(
            replace(term, columns=tuple(None if z is None else z[rows] for z in term.columns)) for term in design.terms
        ),
        factors=tuple(replace(factor, codes=factor.codes[rows]) for factor in design.factors),
        weights=None if design.weights is None else design.weights[rows],
        rows=rows if design.rows is None else design.rows[rows],
        values={
            key: replace(value, codes=value.codes[rows]) if isinstance(value, Categories) else value[rows]
            for key, value in design.values.items()
        },
    )


def _used(factor: Factor) -> Factor:
    """A factor without the levels that have no row."""
    present = np.bincount(factor.codes, minlength=factor.n_levels) > 0
    if present.all():
        return factor
    codes = (np.cumsum(present, dtype=np.int32) - 1)[factor.codes].astype(np.int32)
    return _numbered(factor, codes, int(present.sum()))


def representative(patterns: Indices) -> Indices:
    """An order of things of which any beginning has the patterns in proportion, shape (m,).

    Examples
    --------
    >>> representative(np.array([0, 0, 0, 0, 1, 1, 2, 2])).tolist()
    [0, 4, 6, 1, 2, 5, 7, 3]
    """
    order = np.argsort(patterns, kind="stable")
    counts = np.bincount(patterns)
    within = np.empty(len(patterns))
    within[order] = np.arange(len(patterns)) - np.repeat(np.cumsum(counts) - counts, counts)
    first_seen = np.full(len(counts), len(patterns))
    np.minimum.at(first_seen, patterns, np.arange(len(patterns)))
    share = (within + 0.5) / counts[patterns]
    return np.lexsort([first_seen[patterns], share])


def _row_patterns(design: DesignMatrices) -> Indices:
    """A number for each row: rows with equal fixed effects have the same, shape (n,)."""
    columns = [column for column in design.x if column is not None]
    if not columns:
        return np.zeros(design.n, dtype=np.intp)
    return np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1].reshape(-1)


def _level_patterns(design: DesignMatrices, found: Clusters) -> Indices:
    """A number for each level: levels whose rows have the same fixed effects have the same, shape (levels,)."""
    rows = _row_patterns(design)
    seen: dict[bytes, int] = {}
    keys = (np.sort(rows[found.rows(level)]).tobytes() for level in range(len(found)))
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.intp)
