"""Quantile residuals against a predictor: uniform in each of its bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_diagnostics
from henderson.columns import as_column, has_rows
from henderson.diagnostics import predictors
from henderson.diagnostics.levene import levene_statistic
from henderson.diagnostics.rank_tests import distances, share_above
from henderson.formatting import format_column, format_number, matrix
from henderson.levels import level_text
from henderson.significance import format_p_values

if TYPE_CHECKING:
    import pandas as pd

    from henderson.diagnostics.quantile_result import QuantileResiduals

Vector = NDArray[np.float64]
Codes = NDArray[np.intp]
SHOWN = 20


@dataclass(frozen=True, eq=False)
class QuantileComparison:
    """Quantile residuals in the bins of a predictor.

    Attributes
    ----------
    name
        Of the predictor.
    bins
        What the k bins are called.
    middles
        (k,) mean of the predictor in each bin; for categories 0 .. k - 1.
    sizes, quartiles
        (k,) residuals in each bin, (k, 3) their quartiles, which should be 0.25, 0.5, 0.75.
    statistics
        (k,) Kolmogorov-Smirnov distances from the uniform distribution.
    p_values
        (k,) adjusted for their number: the share of simulated responses in which the largest of the k distances, each
        times the square root of its number of residuals, is as large (Westfall and Young's maxT).
    location, p_location
        F of a one-way analysis of variance of the normal scores by bin, and its p-value by simulation.
    levene, p_levene
        Levene's statistic for the variances of the normal scores in the bins, and its p-value by simulation.
    """

    name: str
    bins: tuple[str, ...]
    middles: Vector
    sizes: Codes
    quartiles: NDArray[np.float64]
    statistics: Vector
    p_values: Vector
    location: float
    p_location: float
    levene: float
    p_levene: float

    @property
    def p_value(self) -> float:
        """Of uniformity in all bins."""
        return float(self.p_values.min())

    def to_frame(self) -> pd.DataFrame:
        """One row per bin: n, q25, median, q75, statistic, p_value."""
        import pandas as pd

        columns = {"n": self.sizes, "q25": self.quartiles[:, 0], "median": self.quartiles[:, 1]}
        columns |= {"q75": self.quartiles[:, 2], "statistic": self.statistics, "p_value": self.p_values}
        return pd.DataFrame(columns, index=pd.Index(self.bins, name=self.name))

    def _cells(self, count: int) -> tuple[list[str], list[str], list[list[str]]]:
        shown = np.arange(len(self.bins)) if len(self.bins) <= count else np.sort(np.argsort(self.p_values)[:count])
        header = ["n", "25 %", "50 %", "75 %", "KS", "adj. p"]
        columns = [[str(int(size)) for size in self.sizes[shown]]]
        columns += [[f"{value:.2f}" for value in column] for column in self.quartiles[shown].T]
        columns += [
            format_column(self.statistics[shown].tolist(), 2),
            format_p_values(self.p_values[shown].tolist(), 3),
        ]
        return [self.bins[i] for i in shown], header, columns

    def _words(self) -> list[str]:
        verdicts = (
            (self.p_location, "Equal means of the normal scores everywhere", "Unequal means of the normal scores", "F"),
            (self.p_levene, "Equal spread everywhere", "Unequal spread", "Levene"),
            (self.p_value, "Uniform everywhere", "Not uniform everywhere", "Kolmogorov-Smirnov"),
        )
        words = [
            f"{good if p_value >= 0.05 else bad} ({test}), p = {format_number(p_value, 3)}."
            for p_value, good, bad, test in verdicts
            if np.isfinite(p_value)
        ]
        if len(self.bins) > SHOWN:
            words.append(f"The {SHOWN} of {len(self.bins)} groups with the smallest p-values are shown.")
        return words

    def __str__(self) -> str:
        labels, header, columns = self._cells(SHOWN)
        lines = [f"Quantile residuals against {self.name}", *matrix(labels, header, columns), ""]
        lines += self._words()
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from henderson.markup import table_html

        labels, header, columns = self._cells(SHOWN)
        rows = [[label, *cells] for label, *cells in zip(labels, *columns, strict=True)]
        table = table_html(f"Quantile residuals against {self.name}", ["", *header], rows)
        return f"<div class='henderson'>{table}<p>{' '.join(self._words())}</p></div>"


def compare(found: QuantileResiduals, x: Any, bins: Any) -> QuantileComparison:
    """The residuals in bins of a predictor, see ``QuantileResiduals.against``."""
    if isinstance(bins, bool) or not isinstance(bins, int | np.integer) or bins < 2:
        raise errors_diagnostics.bins_invalid(bins)
    name, codes, labels, middles = _binned(found, x, int(bins))
    values, k = found._values, len(labels)
    own = codes[found.tested]
    order = np.argsort(own, kind="stable")
    sizes = np.bincount(own, minlength=k)
    parts = np.split(order, np.cumsum(sizes)[:-1])
    scaled = np.array(
        [np.sqrt(len(part)) * distances(found.ranks[:, part]) if len(part) else np.zeros(found.n + 1) for part in parts]
    )
    largest = scaled.max(axis=0)
    p_values = np.array([np.mean(np.append(row[0], largest[1:]) >= row[0] * (1 - 1e-12)) for row in scaled])
    location, levene = _location(found, own, sizes), _levene(found, own, sizes)
    known = ~np.isnan(values)
    quartiles = np.full((k, 3), np.nan)
    for b in range(k):
        inside = values[known & (codes == b)]
        if len(inside):
            quartiles[b] = np.quantile(inside, [0.25, 0.5, 0.75])
    return QuantileComparison(
        name=name,
        bins=labels,
        middles=middles,
        sizes=np.bincount(codes[known], minlength=k),
        quartiles=quartiles,
        statistics=scaled[:, 0] / np.sqrt(np.maximum(sizes, 1)),
        p_values=p_values,
        location=float(location[0]),
        p_location=share_above(location) if np.isfinite(location).all() else float("nan"),
        levene=float(levene[0]),
        p_levene=share_above(levene) if np.isfinite(levene).all() else float("nan"),
    )


def _normal_scores(found: QuantileResiduals) -> Vector:
    """The normal score of each rank, (n + 1,)."""
    from scipy import special

    return np.asarray(special.ndtri((np.arange(found.n + 1) + 0.5) / (found.n + 1)))


def _location(found: QuantileResiduals, codes: Codes, sizes: Codes) -> Vector:
    """F of the means of the normal scores of each set of residuals by bin, (n + 1,)."""
    scores, occupied = _normal_scores(found), sizes > 0
    k, m = int(occupied.sum()), len(codes)
    if k < 2 or m <= k:
        return np.full(found.n + 1, np.nan)
    statistics = np.empty(found.n + 1)
    for j, ranks in enumerate(found.ranks):
        values = scores[ranks]
        sums = np.bincount(codes, values, len(sizes))[occupied]
        explained = float(np.sum(sums**2 / sizes[occupied]))
        between, within = explained - float(values.sum()) ** 2 / m, float(values @ values) - explained
        statistics[j] = between * (m - k) / (within * (k - 1)) if within > 0 else np.inf
    return statistics


def _levene(found: QuantileResiduals, codes: Codes, sizes: Codes) -> Vector:
    """Levene's statistic of the normal scores of each set of residuals, (n + 1,)."""
    is_used = sizes[codes] > 1
    if len(np.unique(codes[is_used])) < 2 or sizes.max() < 3:
        return np.full(found.n + 1, np.nan)
    renumbered = (np.cumsum(sizes > 1) - 1)[codes[is_used]]
    kept, scores = sizes[sizes > 1], _normal_scores(found)
    return np.array([levene_statistic(scores[row[is_used]], renumbered, kept, "mean").statistic for row in found.ranks])


def _binned(found: QuantileResiduals, x: Any, bins: int) -> tuple[str, Codes, tuple[str, ...], Vector]:
    """Name, bin of each residual, labels and middles of the bins."""
    if x is None:
        name, numbers = "fitted values", found._fitted
    elif found.group is not None:
        if not has_rows(x):
            raise errors.argument_type("x", x, f"an array with one value for each level of {found.group}")
        column = as_column("x", x)
        if len(column) != len(found):
            raise errors_diagnostics.predictor_length("x", len(column), len(found))
        name, numbers = "x", column.numbers("a predictor")
    else:
        predictor = predictors.resolve(found._design, x, what="x")
        if predictor.groups is not None:
            groups = predictor.groups
            labels = tuple(level_text(label) for label in groups.labels)
            return predictor.name, groups.codes, labels, np.arange(len(labels), dtype=np.float64)
        assert predictor.numbers is not None
        name, numbers = predictor.name, predictor.numbers
    distinct, codes = np.unique(numbers, return_inverse=True)
    if len(distinct) < 2:
        raise errors_diagnostics.predictor_constant(name)
    if len(distinct) <= bins:
        return name, codes, tuple(format_column(distinct.tolist(), 5)), distinct
    edges = np.unique(np.quantile(numbers, np.arange(1, bins) / bins))
    _, codes = np.unique(np.searchsorted(edges, numbers, side="left"), return_inverse=True)
    sizes = np.bincount(codes)
    order = np.argsort(numbers, kind="stable")
    last = np.cumsum(sizes) - 1
    low, high = numbers[order[last - sizes + 1]], numbers[order[last]]
    cells = zip(format_column(low.tolist(), 3), format_column(high.tolist(), 3), strict=True)
    labels = tuple(f"{a} to {b}" for a, b in cells)
    return name, codes, labels, np.bincount(codes, numbers) / sizes
