"""Features of groups for other learners: shrunken intercepts and slopes, counts, shrinkage factors, one row per row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_learn
from henderson.array_inputs import RandomTerm
from henderson.arrays import ArrayFit, fit_arrays
from henderson.columns import Column
from henderson.learn.folds import folds
from henderson.learn.level_effects import Codes
from henderson.learn.steps import steps
from henderson.levels import Levels, level_text
from henderson.tables import Table, open_table
from henderson.theta import relative_factors

if TYPE_CHECKING:
    import pandas as pd

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


DEPENDENT = 1e-20
"""Of its sum of squares: what is left of a feature that others determine is rounding."""


@dataclass(frozen=True, eq=False)
class _Group:
    """A grouping column: its name, the level of each row (-1 where missing), its levels."""

    name: str
    codes: Codes
    levels: Levels


@dataclass(frozen=True, eq=False)
class _Rows:
    """The model's columns at all rows, and which of these are complete."""

    y: Vector
    x: Matrix
    groups: list[_Group]
    is_complete: NDArray[np.bool_]


def shrinkage_features(
    df: Any,
    target: str,
    group: str | Sequence[str],
    features: str | Sequence[str] = (),
    *,
    correlated: bool = True,
    add_mean: bool = False,
    reml: bool = True,
    cv: Any = None,
    shuffle: bool = True,
    random_state: Any = None,
    progress: bool = False,
) -> pd.DataFrame:
    """What a mixed model says about the group of each row, as features for another model.

    The model is ``target ~ features + (1 + features | group)``, with such a random term for each of several groups.

    Parameters
    ----------
    df
        A pandas, polars or pyarrow table, or a dict of columns.
    target
        Column of numbers.
    group
        Grouping column, or several, whose effects are then crossed.
    features
        Columns of numbers with a slope per group.
    correlated
        Whether intercept and slopes of a group are correlated.
    add_mean
        Give fixed effect plus predicted effect; False for the predicted effect alone, which is zero on average.
    reml
        Restricted maximum likelihood; False for maximum likelihood.
    cv
        None: effects from all rows, for rows whose target the next model will not be fitted to. A number of folds, a
        splitter of scikit-learn or pairs of index arrays: effects, counts and factors of each row from the rows of the
        other folds, so that its own target does not leak into its features. Rows that no fold holds out get NaN.
    shuffle, random_state
        Of a number `cv`: whether rows are shuffled, and the seed.
    progress
        Show a line on stderr.

    Returns
    -------
    DataFrame
        On the index of `df`; per group g the columns ``g_count`` (rows of the group), ``g_shrinkage`` (shrinkage factor
        between 0, the mean of all, and 1, the group's own data), ``g_intercept`` and ``g_x`` for each feature x. A
        missing or unseen group has zero rows and effects of zero.

    Raises
    ------
    DataError
        A column is absent or not numeric, features are linearly dependent, or a group has one level or one for each
        row.

    Notes
    -----
    The shrinkage factor of a group with several effects is the mean eigenvalue of its shrinkage matrix, as in
    ``fit.shrinkage()``. Rows with missing values do not take part in the fit.

    Examples
    --------
    >>> import henderson as hd
    >>> from henderson.learn import shrinkage_features
    >>> sleep = hd.datasets.load_sleepstudy()
    >>> found = shrinkage_features(sleep, "Reaction", "Subject", ["Days"])
    >>> found.iloc[::10].head(2).round(3)
        Subject_count  Subject_shrinkage  Subject_intercept  Subject_Days
    0              10              0.795              2.259         9.199
    10             10              0.795            -40.399        -8.620
    """
    import pandas as pd

    names = _names("features", features)
    rows, index = _read(open_table(df), target, _names("group", group), names)
    complete = np.flatnonzero(rows.is_complete)
    if not len(complete):
        raise errors_learn.no_complete_rows(target)
    count = len(rows.y)
    pairs = [(complete, np.arange(count))]
    if cv is not None:
        found = folds(cv, rows.y, is_binary=False, shuffle=shuffle, random_state=random_state)
        pairs = [(train[rows.is_complete[train]], held_out) for train, held_out in found]
    effects = [f"{own.name}_{name}" for own in rows.groups for name in ("count", "shrinkage", "intercept", *names)]
    _check_names(effects)
    _check_independent(rows.x[complete], names)
    values = np.full((count, len(effects)), np.nan)
    with steps("features", len(pairs), progress=progress) as step:
        for train, held_out in pairs:
            fit = _fit(rows, train, correlated=correlated, reml=reml)
            own = [_of_levels(rows, k, train, fit, add_mean=add_mean) for k in range(len(rows.groups))]
            codes = [group.codes[held_out] for group in rows.groups]
            values[held_out] = np.hstack([table[code] for table, code in zip(own, codes, strict=True)])
            step()
    frame = pd.DataFrame(values, columns=effects, index=index)
    whole = {name: np.int64 for name in effects[:: 3 + len(names)] if not frame[name].isna().any()}
    return frame.astype(whole)


def _names(what: str, value: Any) -> list[str]:
    names = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [value]
    if not all(isinstance(name, str) for name in names):
        raise errors.argument_type(what, value, "a column name or a list of them")
    if what == "group" and not names:
        raise errors_learn.no_group()
    return names


def _check_names(effects: list[str]) -> None:
    repeated = [name for name in effects if effects.count(name) > 1]
    if repeated:
        raise errors_learn.features_clash(repeated[0])


def _check_independent(x: Matrix, names: list[str]) -> None:
    """Refuse columns (n, 1 + p) that the ones before determine: nothing tells their slopes apart."""
    for place in range(1, x.shape[1]):
        column = x[:, place]
        rest = column - x[:, :place] @ np.linalg.lstsq(x[:, :place], column, rcond=None)[0]
        if not rest @ rest > DEPENDENT * (column @ column):
            raise errors_learn.features_dependent(names[place - 1])


def _read(table: Table, target: str, groups: list[str], features: list[str]) -> tuple[_Rows, Any]:
    """The columns, and the row labels."""
    used = [target, *groups, *features]
    repeated = [name for name in used if used.count(name) > 1]
    if repeated:
        raise errors_learn.column_twice(repeated[0])
    if table.n_rows == 0:
        raise errors.table_empty()
    y = _column(table, target, "target").numbers("the target")
    x = np.ones((table.n_rows, 1 + len(features)))
    for place, name in enumerate(features, start=1):
        x[:, place] = _column(table, name, "features").numbers("a feature")
    for name, values in zip([target, *features], [y, *x.T[1:]], strict=True):
        if np.isinf(values).any():
            row = int(np.argmax(np.isinf(values)))
            raise errors.infinite_value(f"'{name}'", row, float(values[row]))
    categories = [_column(table, name, "group").categories() for name in groups]
    own = [_Group(name, found.codes, found.levels) for name, found in zip(groups, categories, strict=True)]
    is_complete = np.isfinite(y) & np.isfinite(x).all(axis=1) & np.all([group.codes >= 0 for group in own], axis=0)
    return _Rows(y, x, own, is_complete), table.index


def _column(table: Table, name: str, role: str) -> Column:
    column = table.column(name)
    if column is None:
        raise errors.column_unknown(name, table.names, role)
    return column


def _fit(rows: _Rows, train: NDArray[np.intp], *, correlated: bool, reml: bool) -> ArrayFit:
    terms = []
    x = rows.x[train]
    for group in rows.groups:
        codes = group.codes[train]
        counts = np.bincount(codes, minlength=1)
        if np.count_nonzero(counts) < 2:
            level = level_text(group.levels.labels[codes[0]]) if len(codes) else None
            raise errors.grouping_one_level(group.name, level)
        if counts.max() == 1:
            raise errors.grouping_too_fine(group.name, len(train), len(train))
        columns = [x] if correlated else [x[:, [k]] for k in range(x.shape[1])]
        terms += [RandomTerm(codes, column, len(group.levels)) for column in columns]
    return fit_arrays(rows.y[train], x, terms=terms, reml=reml)


def _of_levels(rows: _Rows, place: int, train: NDArray[np.intp], fit: ArrayFit, *, add_mean: bool) -> Matrix:
    """Count, shrinkage factor and effects of each level of a group, (levels + 1, 2 + p); the last row is for none."""
    group, x = rows.groups[place], rows.x[train]
    codes, levels, size = group.codes[train], len(group.levels), x.shape[1]
    n_terms = len(fit.ranef) // len(rows.groups)
    of_group = range(place * n_terms, (place + 1) * n_terms)
    modes = np.hstack([fit.ranef[t] for t in of_group])
    factors = relative_factors(fit.theta, [own.shape[1] for own in fit.ranef])
    lam = np.zeros((size, size))
    start = 0
    for t in of_group:
        stop = start + len(factors[t])
        lam[start:stop, start:stop] = factors[t]
        start = stop
    along = x @ lam  # Z_j lam: its cross-products are lam'A_j lam
    gram = np.empty((levels, size, size))
    for a in range(size):
        for b in range(size):
            gram[:, a, b] = np.bincount(codes, along[:, a] * along[:, b], minlength=levels)
    eigenvalues = np.maximum(np.linalg.eigvalsh(gram), 0.0)
    table = np.zeros((levels + 1, 2 + size))
    table[:-1, 0] = np.bincount(codes, minlength=levels)
    table[:-1, 1] = (eigenvalues / (1.0 + eigenvalues)).mean(axis=1)
    table[:-1, 2:] = modes
    if add_mean:
        table[:, 2:] += np.nan_to_num(fit.beta)
    return table
