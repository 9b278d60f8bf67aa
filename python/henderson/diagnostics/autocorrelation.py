"""Correlation of residuals that follow each other in a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import draws, errors_diagnostics
from henderson.diagnostics import predictors
from henderson.diagnostics.rank_tests import two_sided
from henderson.diagnostics.replicates import simulated_statistics
from henderson.diagnostics.residual_kinds import residual_values
from henderson.formatting import format_number
from henderson.inference.clusters import intersection, of_factor, resolve_several
from henderson.options import check_options

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Autocorrelation:
    """Correlation of neighbouring residuals within groups.

    Attributes
    ----------
    by, time
        Names of the groups and of what orders their rows, None for the order of the table.
    pairs
        Number of pairs of neighbours.
    correlation, expected
        Of the standardized conditional residuals of neighbours, and its mean under the model: below zero in short
        series, since fitted values follow the observations.
    p_value
        Two-sided, from responses simulated from the model.
    durbin_watson
        Sum of squared differences of neighbours over the sum of squares: near 2 (1 - correlation).
    n, seed
        Number of simulated responses, and the seed that gives the same ones again.
    previous, following
        (pairs,) the residuals, for a plot.
    notes
        What the reader should know.
    """

    by: str
    time: str | None
    pairs: int
    correlation: float
    expected: float
    p_value: float
    durbin_watson: float
    n: int
    seed: int
    previous: Vector
    following: Vector
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row: by, pairs, correlation, expected, durbin_watson, p_value."""
        import pandas as pd

        names = ("by", "pairs", "correlation", "expected", "durbin_watson", "p_value")
        return pd.DataFrame([{name: getattr(self, name) for name in names}])

    def _lines(self) -> list[str]:
        order = "in the order of the table" if self.time is None else f"in the order of {self.time}"
        found, expected = (format_number(value, 3) for value in (self.correlation, self.expected))
        return [
            f"Autocorrelation of standardized residuals within {self.by}, {order}",
            f"lag-1 correlation = {found} (under the model {expected}), p-value = {format_number(self.p_value, 3)}",
            f"Durbin-Watson = {format_number(self.durbin_watson, 4)}, {self.pairs} pairs",
            f"{self.n} simulated responses, seed {self.seed}",
            *self.notes,
        ]

    def __str__(self) -> str:
        return "\n".join(self._lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from html import escape

        return f"<div class='henderson'><p>{'<br>'.join(map(escape, self._lines()))}</p></div>"


def autocorrelation(
    model: LinearMixedModel,
    time: Any = None,
    *,
    by: Any = None,
    n: int = 250,
    seed: int | None = None,
    threads: int = 0,
) -> Autocorrelation:
    """Test whether residuals that follow each other within a group are correlated.

    Parameters
    ----------
    time
        What orders the rows of a group: name of a predictor, or one value per row; None: the order of the table.
    by
        The groups: a grouping factor or predictor, a list of them, or one label per row. None: the grouping factor with
        the most levels.
    n, seed
        Responses to simulate for the p-value, and what makes them reproducible.
    threads
        Threads to use; 0 for as many as are useful.

    Returns
    -------
    Autocorrelation
        ``.correlation``, ``.expected``, ``.p_value``, ``.durbin_watson``.

    Raises
    ------
    DataError
        `time` or `by` is nothing the model knows or does not fit its rows; no group has two rows.

    Notes
    -----
    The residuals are conditional and standardized. Even if the errors are independent, neighbouring residuals are
    correlated, since the fitted values have been moved towards the observations: the usual tables of Durbin and Watson
    do not apply. The p-value compares the correlation with that in simulated responses, each with its own fixed and
    random effects at the estimated theta.

    References
    ----------
    Durbin, J. and Watson, G. S. (1950). Testing for serial correlation in least squares regression I. Biometrika 37,
    409-428.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> found = fit.autocorrelation("Days", seed=1)
    >>> round(found.correlation, 3), round(found.expected, 2)
    (0.116, -0.17)
    """
    check_options(200, 1e-10, None, threads)
    count, seed = draws.checked_count(n), draws.checked_seed(seed)
    design = model.design
    factors = sorted(design.factors, key=lambda factor: -factor.n_levels)
    groups = of_factor(factors[0]) if by is None else intersection(resolve_several(design, by, what="by"))
    order, name = None, None
    if time is not None:
        predictor = predictors.resolve(design, time, what="time")
        name = predictor.name
        order = predictor.numbers if predictor.groups is None else predictor.groups.codes
    observed = residual_values(model, "standardized")
    first, second, ties = _neighbours(groups.codes, order, np.isfinite(observed))
    if not len(first):
        raise errors_diagnostics.series_too_short(groups.name)

    def correlations(residuals: Matrix, _: Matrix) -> Vector:
        before, after = residuals[:, first], residuals[:, second]
        return np.asarray(2.0 * np.sum(before * after, axis=1) / np.sum(before**2 + after**2, axis=1))

    (simulated,) = simulated_statistics(model, [correlations], count=count, seed=seed, threads=threads)
    found = float(correlations(observed[None], observed[None])[0])
    total = float(np.nansum(observed**2))
    return Autocorrelation(
        by=groups.name,
        time=name,
        pairs=len(first),
        correlation=found,
        expected=float(simulated.mean()),
        p_value=two_sided(np.append(found, simulated)),
        durbin_watson=float(np.sum((observed[first] - observed[second]) ** 2)) / total,
        n=count,
        seed=seed,
        previous=observed[first],
        following=observed[second],
        notes=(errors_diagnostics.time_repeated_note(ties),) if ties else (),
    )


def _neighbours(codes: Indices, order: Any, is_known: NDArray[np.bool_]) -> tuple[Indices, Indices, int]:
    """Rows that follow each other in a group, and how many of these pairs are at the same time."""
    rows = np.argsort(codes, kind="stable") if order is None else np.lexsort((order, codes))
    rows = rows[is_known[rows]]
    first, second = rows[:-1], rows[1:]
    together = codes[first] == codes[second]
    first, second = first[together], second[together]
    return first, second, 0 if order is None else int(np.sum(order[first] == order[second]))
