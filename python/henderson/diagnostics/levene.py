"""Levene's and Brown and Forsythe's tests of equal variances in all groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import draws, errors, errors_diagnostics
from henderson.diagnostics.rank_tests import share_above
from henderson.diagnostics.replicates import Statistic, simulated_statistics
from henderson.diagnostics.residual_kinds import residual_values, scale_of, simulated_form
from henderson.formatting import format_number
from henderson.inference.clusters import intersection, of_factor, resolve_several
from henderson.inference.distributions import f_tail
from henderson.levels import level_text
from henderson.significance import AnovaTable, TableColumn

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Codes = NDArray[np.intp]

CENTERS = ("median", "mean")
SMALL = 20
"""With fewer rows in most groups the F distribution is not to be relied on."""


@dataclass(frozen=True, eq=False)
class LeveneTest:
    """A test of equal variances in k groups; prints as R's ``leveneTest``.

    Attributes
    ----------
    by
        Name of what the groups are.
    center
        "median" or "mean": what deviations are taken from.
    kind
        Of the residuals.
    statistic, num_df, den_df, p_value
        F, k - 1, n - k, and the p-value.
    labels
        (k,) what the groups are called.
    sizes, std_devs, deviations
        (k,) rows, standard deviation of the residuals about their mean, and mean absolute deviation from the centre.
    notes
        What was left out.
    """

    by: str
    center: str
    kind: str
    statistic: float
    num_df: int
    den_df: int
    p_value: float
    labels: NDArray[Any]
    sizes: NDArray[np.intp]
    std_devs: Vector
    deviations: Vector
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """One row: by, center, statistic, num_df, den_df, p_value."""
        import pandas as pd

        names = ("by", "center", "statistic", "num_df", "den_df", "p_value")
        return pd.DataFrame([{name: getattr(self, name) for name in names}])

    @property
    def groups(self) -> pd.DataFrame:
        """One row per group: n, std_dev, deviation."""
        import pandas as pd

        columns = {"n": self.sizes, "std_dev": self.std_devs, "deviation": self.deviations}
        return pd.DataFrame(columns, index=pd.Index(self.labels, name=self.by))

    def _table(self) -> AnovaTable:
        nan = float("nan")
        columns = (
            TableColumn("df", "Df", [self.num_df, self.den_df], "df"),
            TableColumn("statistic", "F value", [self.statistic, nan], "statistic"),
            TableColumn("p_value", "Pr(>F)", [self.p_value, nan], "p_value"),
        )
        low, high = int(np.argmin(self.std_devs)), int(np.argmax(self.std_devs))
        smallest, largest = (
            f"{format_number(float(self.std_devs[i]), 3)} ({level_text(self.labels[i])})" for i in (low, high)
        )
        words = f"Standard deviations of the {self.kind} residuals by {self.by}: from {smallest} to {largest}."
        heading = f"Levene's Test for Homogeneity of Variance (center = {self.center})"
        return AnovaTable((heading,), (self.by, ""), columns, (words, *self.notes))

    def __str__(self) -> str:
        return self._table().to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self._table().to_html()


def levene(
    model: LinearMixedModel,
    by: Any = None,
    *,
    center: str = "median",
    kind: str = "standardized",
    conditional: bool = True,
    simulations: int = 0,
    seed: int | None = None,
    threads: int = 0,
) -> LeveneTest:
    """Test whether the residuals vary equally in all groups (Levene; by default in Brown and Forsythe's form).

    Parameters
    ----------
    by
        The groups: a grouping factor or categorical predictor, a list of names (their combinations), or one label per
        row. None: the grouping factor with the fewest levels.
    center
        "median" (Brown and Forsythe: keeps its level if the distribution is skewed) or "mean" (Levene).
    kind, conditional
        Of the residuals, see `residuals`. "standardized" ones have equal variances if the model is right, whatever the
        leverages and weights.
    simulations, seed, threads
        Take the p-value not from the F distribution but from the residuals of so many responses simulated from the
        model; a seed makes them reproducible.

    Returns
    -------
    LeveneTest
        ``.statistic``, ``.p_value``, ``.groups``; prints as R's ``car::leveneTest``.

    Raises
    ------
    DataError
        `by` is nothing the model knows or does not fit its rows; fewer than two groups have more than one row; no
        group has more than two.

    Notes
    -----
    The F test of a one-way analysis of variance of ``z_ij = |r_ij - c_i|``, with c_i the median or mean of group i.
    Groups of a single row are left out: their deviation is zero whatever their variance is. With few rows to a group
    the F distribution is far from right: with three or five, a test by medians hardly ever rejects, and one by means
    rejects far too many models that are right. ``simulations=999`` gives a p-value that holds for groups of any size.

    References
    ----------
    Levene, H. (1960). Robust tests for equality of variances. In Contributions to Probability and Statistics, 278-292.
    Brown, M. B. and Forsythe, A. B. (1974). Robust tests for the equality of variances. JASA 69, 364-367.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("weight ~ sex + Treatment + (1 | Litter)", hd.datasets.load_ratpup())
    >>> fit.levene("Treatment")
    Levene's Test for Homogeneity of Variance (center = median)
               Df F value   Pr(>F)
    Treatment   2  5.9223 0.002982 **
              319
    ---
    Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    <BLANKLINE>
    Standard deviations of the standardized residuals by Treatment: from 0.735 (Low)
    to 1.29 (Control).
    """
    if center not in CENTERS:
        raise errors.choice("center", center, CENTERS)
    if simulations:
        simulations, seed = draws.checked_count(simulations), draws.checked_seed(seed)
        form = simulated_form(kind, conditional)
    values = residual_values(model, kind, conditional)
    groups = groups_of(model, by, np.isfinite(values))
    found = levene_statistic(values[groups.is_used], groups.codes, groups.sizes, center)
    num_df, den_df = len(groups.sizes) - 1, len(groups.codes) - len(groups.sizes)
    if simulations:
        scale = scale_of(model, kind, form)
        options: dict[str, Any] = {"count": simulations, "seed": seed, "threads": threads}
        statistics = simulated_statistics(model, [groups.statistic(center)], scale, conditional=form, **options)
        p_value = share_above(np.append(found.statistic, statistics[0]))
        notes = [errors_diagnostics.simulated_note(simulations, seed)]
    else:
        p_value = f_tail(found.statistic, num_df, den_df)
        few = float(np.median(groups.sizes))
        notes = [errors_diagnostics.small_groups_note(few, center)] if few < SMALL else []
    return LeveneTest(
        by=groups.name,
        center=center,
        kind=kind,
        statistic=found.statistic,
        num_df=num_df,
        den_df=den_df,
        p_value=p_value,
        labels=groups.labels,
        sizes=groups.sizes,
        std_devs=found.std_devs,
        deviations=found.deviations,
        notes=(*groups.notes, *notes),
    )


@dataclass(frozen=True, eq=False)
class Groups:
    """The rows that take part in a test of variances, and their groups.

    Attributes
    ----------
    name, labels
        Of the groups.
    is_used
        (n,) rows whose residuals are defined, in groups with at least two such rows.
    codes, sizes
        Group of each row used, rows of each of the k groups.
    notes
        What was left out.
    """

    name: str
    labels: NDArray[Any]
    is_used: NDArray[np.bool_]
    codes: Codes
    sizes: Codes
    notes: tuple[str, ...]

    def statistic(self, center: str) -> Statistic:
        """Levene's statistic of each of several sets of residuals."""

        def found(residuals: Matrix, _: Matrix) -> Vector:
            rows = (levene_statistic(row[self.is_used], self.codes, self.sizes, center).statistic for row in residuals)
            return np.fromiter(rows, dtype=np.float64, count=len(residuals))

        return found


def groups_of(model: LinearMixedModel, by: Any, is_known: NDArray[np.bool_]) -> Groups:
    """The groups of a test of variances, see `levene`."""
    design = model.design
    factors = sorted(design.factors, key=lambda factor: factor.n_levels)
    groups = of_factor(factors[0]) if by is None else intersection(resolve_several(design, by, what="by"))
    sizes = np.bincount(groups.codes[is_known], minlength=len(groups))
    is_used = is_known & (sizes[groups.codes] > 1)
    kept = np.flatnonzero(sizes > 1)
    if len(kept) < 2:
        raise errors_diagnostics.group_of_one_left(groups.name)
    if sizes.max() < 3:
        raise errors_diagnostics.groups_too_small(groups.name)
    codes = (np.cumsum(sizes > 1) - 1)[groups.codes[is_used]]
    notes = []
    if singles := int(np.sum(sizes == 1)):
        notes.append(errors_diagnostics.single_rows_note(groups.name, singles))
    if undefined := int(np.sum(~is_known)):
        notes.append(errors_diagnostics.undefined_note(undefined))
    return Groups(groups.name, np.asarray(groups.labels)[kept], is_used, codes, sizes[kept], tuple(notes))


@dataclass(frozen=True, eq=False)
class Spreads:
    """F of the deviations, standard deviations (k,) and mean absolute deviations (k,)."""

    statistic: float
    std_devs: Vector
    deviations: Vector


def levene_statistic(values: Vector, codes: Codes, sizes: Codes, center: str) -> Spreads:
    """One-way analysis of variance of the absolute deviations of `values` (n,) from the centres of their groups.

    Parameters
    ----------
    values, codes
        (n,) and the group of each, 0 .. k - 1.
    sizes
        (k,) how many values each group has, at least two.
    center
        "median" or "mean".
    """
    k, n = len(sizes), len(values)
    means = np.bincount(codes, values, k) / sizes
    centers = means if center == "mean" else _medians(values, codes, sizes)
    deviations = np.abs(values - centers[codes])
    own = np.bincount(codes, deviations, k) / sizes
    within = float(np.sum((deviations - own[codes]) ** 2))
    between = float(np.sum(sizes * (own - deviations.mean()) ** 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = float(np.float64((n - k) * between) / ((k - 1) * within))
    variances = np.bincount(codes, (values - means[codes]) ** 2, k) / (sizes - 1)
    return Spreads(statistic, np.sqrt(variances), own)


def _medians(values: Vector, codes: Codes, sizes: Codes) -> Vector:
    ordered = values[np.lexsort((values, codes))]
    starts = np.cumsum(sizes) - sizes
    found: Vector = 0.5 * (ordered[starts + (sizes - 1) // 2] + ordered[starts + sizes // 2])
    return found
