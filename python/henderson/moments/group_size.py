"""The size of a group as a random quantity: columns N_i, and the moments of sizes and means between groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from henderson.formatting import format_column, format_number, matrix
from henderson.moments.crosstabs import CrossTabs
from henderson.moments.rows import Vector
from henderson.moments.sums import FactorSums, Sums


@dataclass(frozen=True, eq=False, repr=False)
class GroupSizeEffect:
    """What the number of rows of a group says about its response.

    Attributes
    ----------
    group
        The grouping factor.
    term
        Name of the column of group sizes among the fixed effects.
    levels
        Number of groups.
    mean_size, sd_size
        Of the sizes N_i, over groups.
    mean_size_of_rows
        Mean size of the group of a row, sum N_i² / sum N_i: larger, as large groups have more rows.
    mean_of_groups, mean_of_rows
        Mean of the group means of the response, each group counted once; mean of all rows.
    sd_of_means
        Standard deviation of the group means.
    covariance, correlation
        Of the sizes and the group means, over groups. Not adjusted for anything.
    estimate, std_error, cluster_std_error
        Effect of one row more on the response, adjusted for the other fixed effects; NaN if all sizes are equal.
    statistic, p_value
        z test of that effect, with the cluster-robust standard error where there is one.
    """

    group: str
    term: str
    levels: int
    mean_size: float
    sd_size: float
    mean_size_of_rows: float
    mean_of_groups: float
    mean_of_rows: float
    sd_of_means: float
    covariance: float
    correlation: float
    estimate: float
    std_error: float
    cluster_std_error: float
    statistic: float
    p_value: float

    def lines(self) -> list[str]:
        """The moments as lines of text."""
        numbers = [self.mean_size, self.sd_size, self.mean_size_of_rows]
        means = [self.mean_of_groups, self.sd_of_means, self.mean_of_rows]
        header = ["Mean", "Std.Dev.", "Mean over rows"]
        cells = [list(pair) for pair in zip(format_column(numbers, 4), format_column(means, 4), strict=True)]
        table = matrix([" Size N", " Mean response"], header, cells)
        rest = f" Correlation of size and mean response: {self.correlation:.3f}"
        return [f"Groups of {self.group} ({self.levels}):", *table, rest]

    def __str__(self) -> str:
        is_robust = not math.isnan(self.cluster_std_error)
        used = self.cluster_std_error if is_robust else self.std_error
        effect, error, statistic = (format_number(v, 4) for v in (self.estimate, used, self.statistic))
        kind = "cluster-robust std. error" if is_robust else "std. error"
        last = f" Effect of one row more: {effect} ({kind} {error}, z = {statistic}, p = {self.p_value:.3g})"
        return "\n".join([*self.lines(), last])

    __repr__ = __str__


def with_sizes(sums: Sums, tabs: CrossTabs, factors: Sequence[int], *, is_centred: bool) -> Sums:
    """The sums with a column more for each of some factors: the number of rows of the row's group.

    No pass over the rows: such a column is Z_k v, so that its products are sums over levels.
    """
    for k in factors:
        own = sums.factors[k]
        shift = float(own.rows @ own.weights) / sums.weight if is_centred else 0.0
        values = own.rows - shift
        with_x = own.x.T @ values
        blocks = []
        for m, factor in enumerate(sums.factors):
            column = own.weights * values if m == k else tabs.times(m, k, values)
            blocks.append(FactorSums(factor.rows, factor.weights, factor.y, np.column_stack([factor.x, column])))
        corner = np.array([[float(own.weights @ values**2)]])
        sums = replace(
            sums,
            x_shift=np.append(sums.x_shift, shift),
            xy=np.append(sums.xy, own.y @ values),
            xx=np.block([[sums.xx, with_x[:, None]], [with_x[None, :], corner]]),
            factors=blocks,
        )
    return sums


def describe(
    sums: Sums, k: int, group: str, term: str, effect: tuple[float, float, float, float, float]
) -> GroupSizeEffect:
    """Moments between the groups of factor k; `effect`: estimate, standard errors, statistic, p-value of its column."""
    own = sums.factors[k]
    is_used = own.rows > 0
    sizes: Vector = own.rows[is_used]
    means: Vector = own.y[is_used] / own.weights[is_used] + sums.y_shift
    several = len(sizes) > 1
    covariance = float(np.cov(sizes, means)[0, 1]) if several else np.nan
    sd_size, sd_means = (float(np.std(values, ddof=1)) if several else np.nan for values in (sizes, means))
    product = sd_size * sd_means
    return GroupSizeEffect(
        group,
        term,
        len(sizes),
        float(sizes.mean()),
        sd_size,
        float(sizes @ sizes / sizes.sum()),
        float(means.mean()),
        float(own.y.sum() / sums.weight + sums.y_shift),
        sd_means,
        covariance,
        covariance / product if product > 0 else np.nan,
        *effect,
    )
