"""Breusch and Pagan's test of a variance that changes with the fitted values or with predictors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import draws, errors_diagnostics
from henderson.diagnostics import predictors
from henderson.diagnostics.rank_tests import share_above
from henderson.diagnostics.replicates import Statistic, simulated_statistics
from henderson.diagnostics.residual_kinds import residual_values, scale_of, simulated_form
from henderson.formatting import format_number
from henderson.inference.clusters import is_several
from henderson.residuals import marginal_mean
from henderson.significance import format_p_values

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
DEPENDENT = 1e-10
LOW, HIGH = 0.2, 0.8


@dataclass(frozen=True, eq=False)
class BreuschPagan:
    """A test of constant variance against one that is linear in predictors.

    Attributes
    ----------
    against
        Names of the predictors.
    kind
        Of the residuals.
    statistic, df, p_value
        n R² of the regression of the squared residuals, its degrees of freedom, and the p-value by chi-square.
    coefficients
        (df + 1,) of that regression: constant, then predictors.
    std_dev_low, std_dev_high
        Root mean squares of the residuals in the fifths of the rows with the lowest and the highest predictions.
    notes
        What was left out.
    """

    against: tuple[str, ...]
    kind: str
    statistic: float
    df: int
    p_value: float
    coefficients: Vector
    std_dev_low: float
    std_dev_high: float
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row: against, statistic, df, p_value."""
        import pandas as pd

        row = {"against": ", ".join(self.against), "statistic": self.statistic, "df": self.df, "p_value": self.p_value}
        return pd.DataFrame([row])

    def _lines(self) -> list[str]:
        p_value = format_p_values([self.p_value])[0].strip()
        low, high = (format_number(value, 3) for value in (self.std_dev_low, self.std_dev_high))
        where = self.against[0] if len(self.against) == 1 else "what the predictors give"
        if len(self.against) == 1 and self.coefficients[1] < 0:
            low, high = high, low
        return [
            f"Studentized Breusch-Pagan test of the {self.kind} residuals against {', '.join(self.against)}",
            f"BP = {format_number(self.statistic, 5)}, df = {self.df}, p-value "
            + (p_value if p_value.startswith("<") else f"= {p_value}"),
            f"Standard deviations {low} and {high} in the lowest and the highest fifth of {where}.",
            *self.notes,
        ]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape

        return f"<div class='henderson'><p>{'<br>'.join(map(escape, self._lines()))}</p></div>"


def breusch_pagan(
    model: LinearMixedModel,
    against: Any = None,
    *,
    kind: str = "standardized",
    conditional: bool = True,
    simulations: int = 0,
    seed: int | None = None,
    threads: int = 0,
) -> BreuschPagan:
    """Test whether the variance of the residuals changes with the fitted values, or with numeric predictors.

    Parameters
    ----------
    against
        Name of a numeric predictor, one value per row, or a list of such names; None: the fitted values (those without
        random effects, if ``conditional=False``).
    kind, conditional
        Of the residuals, see `residuals`.
    simulations, seed, threads
        Take the p-value not from the chi-square distribution but from the residuals of so many responses simulated from
        the model; a seed makes them reproducible.

    Returns
    -------
    BreuschPagan
        ``.statistic``, ``.df``, ``.p_value``.

    Raises
    ------
    DataError
        A predictor is unknown, categorical (use `levene`), constant, or does not fit the rows.

    Notes
    -----
    The squared residuals are regressed on the predictors; n R² is compared with a chi-square distribution (Koenker's
    form, which does not rely on normal errors). Fitted values depend on the same responses as the residuals: with few
    rows to a group the p-value of a test against them is too small (a test at 10 % rejected a model that is right in 13
    to 19 % of the cases, with three to ten rows to a group), and ``simulations=999`` gives a better one.

    References
    ----------
    Breusch, T. S. and Pagan, A. R. (1979). A simple test for heteroscedasticity and random coefficient variation.
    Econometrica 47, 1287-1294.
    Koenker, R. (1981). A note on studentizing a test for heteroscedasticity. Journal of Econometrics 17, 107-112.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> fit.breusch_pagan()
    Studentized Breusch-Pagan test of the standardized residuals against fitted values
    BP = 4.511, df = 1, p-value = 0.03368
    Standard deviations 0.514 and 1.33 in the lowest and the highest fifth of fitted values.
    """
    from scipy import special

    if simulations:
        simulations, seed = draws.checked_count(simulations), draws.checked_seed(seed)
        form = simulated_form(kind, conditional)
    values = residual_values(model, kind, conditional)
    names, columns = _predictors(model, against, conditional)
    is_known = np.isfinite(values)
    squares, table = values[is_known] ** 2, np.column_stack([column[is_known] for column in columns])
    slopes, statistic = _regression(squares, table, names)
    predicted = table @ slopes
    limits = np.quantile(predicted, [LOW, HIGH])
    low, high = (np.sqrt(squares[rows].mean()) for rows in (predicted <= limits[0], predicted >= limits[1]))
    undefined = int(np.sum(~is_known))
    notes = [errors_diagnostics.undefined_note(undefined)] if undefined else []
    p_value = float(special.chdtrc(len(names), statistic))
    if simulations:
        function = simulated_statistic(None if against is None else table, is_known)
        options: dict[str, Any] = {"count": simulations, "seed": seed, "threads": threads}
        scale = scale_of(model, kind, form)
        (statistics,) = simulated_statistics(model, [function], scale, conditional=form, **options)
        p_value = share_above(np.append(statistic, statistics))
        notes.append(errors_diagnostics.simulated_note(simulations, seed))
    return BreuschPagan(
        against=names,
        kind=kind,
        statistic=statistic,
        df=len(names),
        p_value=p_value,
        coefficients=np.append(squares.mean() - predicted.mean(), slopes),
        std_dev_low=float(low),
        std_dev_high=float(high),
        notes=tuple(notes),
    )


def simulated_statistic(table: Matrix | None, is_known: NDArray[np.bool_]) -> Statistic:
    """The statistic of each of several sets of residuals, against the columns of a table or the fitted values."""

    def found(residuals: Matrix, fitted: Matrix) -> Vector:
        tables = (row[is_known][:, None] for row in fitted) if table is None else repeat(table)
        pairs = zip(residuals, tables, strict=False)
        return np.array([_regression(row[is_known] ** 2, columns, ())[1] for row, columns in pairs])

    return found


def _regression(squares: Vector, table: Matrix, names: Sequence[str]) -> tuple[Vector, float]:
    """Slopes of squared residuals (m,) on the columns of a table (m, k), and m R²; the columns are checked if named."""
    centred = table - table.mean(axis=0)
    lengths = np.sqrt(np.sum(centred**2, axis=0))
    for name, column, length in zip(names, table.T, lengths, strict=False):
        if length <= DEPENDENT * np.sqrt(len(column)) * max(float(np.abs(column).max()), np.finfo(float).tiny):
            raise errors_diagnostics.predictor_constant(name)
    q, r = np.linalg.qr(centred / lengths)
    if names and np.abs(np.diag(r)).min() < DEPENDENT:
        raise errors_diagnostics.predictors_dependent(names)
    deviations = squares - squares.mean()
    along, total = q.T @ deviations, float(deviations @ deviations)
    statistic = len(squares) * float(along @ along) / total if total > 0 else float("nan")
    return np.linalg.solve(r, along) / lengths, statistic


def _predictors(model: LinearMixedModel, against: Any, conditional: bool) -> tuple[tuple[str, ...], list[Vector]]:
    if against is None:
        return ("fitted values",), [model.fitted_values if conditional else marginal_mean(model)]
    names, columns = [], []
    for value in against if is_several(against) else [against]:
        found = predictors.resolve(model.design, value, what="against")
        if found.numbers is None:
            raise errors_diagnostics.predictor_not_numeric(found.name)
        names.append(found.name)
        columns.append(found.numbers)
    return tuple(names), columns
