"""Tables of F tests in lmerTest's layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from henderson.inference.distributions import wald
from henderson.significance import TableColumn

if TYPE_CHECKING:
    from henderson.inference.degrees import FixedEffectTests
    from henderson.inference.distributions import Matrix, Vector


@dataclass(frozen=True)
class FRow:
    """One F test; the mean square is the F statistic before any scaling times the residual variance, as in lmerTest."""

    label: str
    mean_sq: float
    num_df: float
    den_df: float
    statistic: float
    p_value: float


def f_row(label: str, tests: FixedEffectTests, contrasts: Matrix, rhs: Vector | float = 0.0) -> FRow:
    """Test that all rows of L beta equal `rhs`."""
    found, p_value = tests.f_test(contrasts, rhs)
    statistic, rank = wald(contrasts, tests.covariance, contrasts @ tests.beta - rhs)
    mean_sq = statistic / rank * tests.model.sigma**2 if rank else float("nan")
    return FRow(label, mean_sq, found.num_df, found.den_df, found.statistic, p_value)


def f_columns(rows: Sequence[FRow]) -> tuple[TableColumn, ...]:
    """The columns sum_sq, mean_sq, num_df, den_df, statistic and p_value."""
    return (
        TableColumn("sum_sq", "Sum Sq", [row.mean_sq * row.num_df for row in rows]),
        TableColumn("mean_sq", "Mean Sq", [row.mean_sq for row in rows]),
        TableColumn("num_df", "NumDF", [row.num_df for row in rows], "df"),
        TableColumn("den_df", "DenDF", [row.den_df for row in rows]),
        TableColumn("statistic", "F value", [row.statistic for row in rows], "statistic"),
        TableColumn("p_value", "Pr(>F)", [row.p_value for row in rows], "p_value"),
    )
