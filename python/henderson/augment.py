"""The rows of a fit with what the fit says about each, in columns named as by R's broom.mixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_reports, residuals
from henderson.design import DesignMatrices
from henderson.expression import Expression, Name, to_text
from henderson.levels import Categories, Codes, Levels
from henderson.tables import ArrowTable, DictTable, PandasTable, PolarsTable, Table, open_table

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Rows = NDArray[np.intp] | None
CLOSE = 1e-9
"""Numbers of a table are those of the fit if they differ by less than this part of the largest."""


def augment(model: LinearMixedModel, data: Any = None) -> Any:
    """The rows with fitted values, residuals and leverages, in columns named as by R's broom.mixed.

    Parameters
    ----------
    data
        The table that was fitted (pandas, polars, pyarrow, dict of arrays); it may have more columns. None: the rows
        used, with the variables of the formula.

    Returns
    -------
    DataFrame, or a table of the type of `data`
        With the columns ``.fitted``, ``.resid`` (response residuals), ``.std_resid`` (residuals over their standard
        errors), ``.hat`` (leverage), ``.cooksd``, ``.fixed`` (fitted by the fixed effects and the offset), ``.mu``,
        ``.offset``, ``.sqrtXwt``, ``.sqrtrwt``, ``.weights`` and ``.wtres`` (weighted residuals). Rows of `data` that
        were not used have NaN.

    Raises
    ------
    DataError
        `data` is not the table that was fitted.

    Notes
    -----
    With r the Pearson residual (residual times the square root of its weight) and h the leverage,

        .std_resid = r / (sigma sqrt(1 - h))        .cooksd = r² h / (p sigma² (1 - h)²)

    over the p fixed effects kept. ``.cooksd`` is lme4's measure, an analogue of that of linear models; what leaving out
    a row does to the fixed effects is in `influence`. pandas tables are matched by their index, others row by row.

    Examples
    --------
    >>> import henderson as hd
    >>> sleep = hd.datasets.load_sleepstudy()
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> fit.augment()[["Reaction", "Days", "Subject", ".fitted", ".resid", ".hat"]].head(2).round(3)
       Reaction  Days  Subject  .fitted  .resid   .hat
    0   249.560   0.0      308  253.664  -4.104  0.229
    1   258.705   1.0      308  273.330 -14.625  0.170
    >>> fit.augment(sleep).shape
    (180, 15)
    """
    columns = _columns(model)
    if data is None:
        return _own_rows(model.design).assign(**columns)
    table = open_table(data)
    rows = _positions(model.design, table)
    _check_rows(model.design, table, rows)
    if rows is not None:
        columns = {name: _spread(values, rows, table.n_rows) for name, values in columns.items()}
    return _appended(table, columns)


def _columns(model: LinearMixedModel) -> dict[str, Vector]:
    """The new columns at the rows used, (n,) each."""
    design, n = model.design, model.nobs
    weights = np.ones(n) if design.weights is None else np.asarray(design.weights, dtype=np.float64)
    root = weights if design.weights is None else np.sqrt(weights)
    fitted, hat = model.fitted_values, model.leverage.to_numpy()
    resid = design.y - fitted
    pearson = root * resid / model.sigma
    with np.errstate(divide="ignore", invalid="ignore"):
        standardized = pearson / np.sqrt(1.0 - hat)
        cook = standardized**2 * hat / ((1.0 - hat) * len(model.kept)) if model.kept else np.full(n, np.nan)
    return {
        ".fitted": fitted,
        ".resid": resid,
        ".std_resid": standardized,
        ".hat": hat,
        ".cooksd": cook,
        ".fixed": residuals.marginal_mean(model),
        ".mu": fitted,
        ".offset": np.zeros(n) if design.offset is None else np.asarray(design.offset, dtype=np.float64),
        ".sqrtXwt": root,
        ".sqrtrwt": root,
        ".weights": weights,
        ".wtres": root * resid,
    }


# ------------------------------------------------------------------------------------------------------- the rows used


def _own_rows(design: DesignMatrices) -> pd.DataFrame:
    """Response, variables of the formula and grouping factors at the rows used."""
    import pandas as pd

    columns: dict[str, Any] = {design.response_name: design.y}
    parts = [part.effects for part in design.formula.random_terms]
    for variable in [variable for side in (design.formula.fixed, *parts) for variable in side.variables()]:
        value = design.values[variable]  # noqa: PD011 - not of a table
        label = to_text(variable)
        if isinstance(value, Categories):
            columns.setdefault(label, _labels(value.codes, value.levels))
        elif value.ndim == 1:
            columns.setdefault(label, value)
        else:
            columns |= {f"{label}{j + 1}": column for j, column in enumerate(value.T)}
    for variable, codes, levels in _grouping_variables(design):
        columns.setdefault(to_text(variable), _labels(codes, levels))
    return pd.DataFrame(columns, index=design.index)


def _grouping_variables(design: DesignMatrices) -> list[tuple[Expression, Codes, Levels]]:
    """The variables of the grouping factors: codes by row and levels by code."""
    return [
        (variable, factor.codes if factor.combinations is None else factor.combinations[:, i][factor.codes], levels)
        for factor in design.factors
        for i, (variable, levels) in enumerate(zip(factor.variables, factor.parts, strict=True))
    ]


def _labels(codes: Codes, levels: Levels) -> Any:
    import pandas as pd

    if levels.is_ordered:
        return pd.Categorical(levels.labels[codes], categories=levels.labels[levels.order], ordered=True)
    return levels.labels[codes]


# ------------------------------------------------------------------------------------------------------- a user's table


def _positions(design: DesignMatrices, table: Table) -> Rows:
    """Where in `table` the rows used are; None for one after the other."""
    total = design.n + design.n_dropped + design.n_zero_weight + design.n_excluded
    own, labels = design.table_index, table.index
    if own is not None and labels is not None and not own.equals(labels):
        return _matched(design, labels)
    if table.n_rows != total:
        raise errors_reports.table_length(table.n_rows, design.n, total)
    return design.rows


def _matched(design: DesignMatrices, labels: Any) -> Rows:
    used = design.index
    if not labels.is_unique or not used.is_unique:
        raise errors_reports.table_labels(0, design.n)
    places = np.asarray(labels.get_indexer(used), dtype=np.intp)
    found = int(np.count_nonzero(places >= 0))
    if found < design.n:
        raise errors_reports.table_labels(found, design.n)
    return places


def _check_rows(design: DesignMatrices, table: Table, rows: Rows) -> None:
    """Compare predictors and grouping variables with those of the fit, as far as the table has them."""
    expected: dict[str, Any] = dict(design.recipe.columns)
    for variable, codes, levels in _grouping_variables(design):
        if isinstance(variable, Name):
            expected.setdefault(variable.name, Categories(codes, levels))
    for name, value in expected.items():
        column = table.column(name)
        if column is None:
            continue
        if isinstance(value, Categories):
            found = column.categories()
            codes = np.append(value.levels.find(found.levels.labels), np.int32(-1))[found.codes]
            differs = (codes if rows is None else codes[rows]) != value.codes
        else:
            numbers = column.numbers("a predictor")
            numbers = numbers if rows is None else numbers[rows]
            differs = ~(np.abs(numbers - value) <= CLOSE * np.max(np.abs(value), initial=0.0))
        if differs.any():
            row = int(np.argmax(differs))
            raise errors_reports.table_differs(name, row if rows is None else int(rows[row]))


def _spread(values: Vector, rows: NDArray[np.intp], n_rows: int) -> Vector:
    result = np.full(n_rows, np.nan)
    result[rows] = values
    return result


def _appended(table: Table, columns: dict[str, Vector]) -> Any:
    """The user's table with columns appended, or replaced where it has them."""
    source = table.source
    if isinstance(table, PandasTable):
        return source.assign(**columns)
    if isinstance(table, PolarsTable):
        import polars

        return source.with_columns([polars.Series(name, values) for name, values in columns.items()])
    if isinstance(table, ArrowTable):
        import pyarrow

        for name, values in columns.items():
            place = source.schema.get_field_index(name)
            array = pyarrow.array(values)
            source = source.append_column(name, array) if place < 0 else source.set_column(place, name, array)
        return source
    assert isinstance(table, DictTable)
    return {**source, **columns}
