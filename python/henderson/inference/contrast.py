"""Tests of linear functions of the fixed effects: one by one, or all of them at once."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henderson import errors_inference
from henderson.coefficient_layout import coefficient_layout
from henderson.formatting import WIDTH
from henderson.inference.degrees import FixedEffectTests, TTests, fixed_effect_tests, method_name
from henderson.inference.distributions import check_level
from henderson.inference.f_tables import f_columns, f_row
from henderson.inference.linear_forms import LinearForms, linear_forms
from henderson.significance import AnovaTable

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

WIDE = 100
"""Columns of text for a table of contrasts, whose labels are long."""


@dataclass(frozen=True, eq=False)
class Contrasts:
    """Tests of linear functions of the fixed effects; prints as a coefficient table, `to_frame` gives the numbers.

    Attributes
    ----------
    labels
        What each row is called.
    rhs
        The values the rows are compared with, shape (r,).
    tests
        Estimates, standard errors, degrees of freedom, statistics and p-values, (r,) each.
    limits
        Confidence limits of the estimates, shape (r, 2).
    level
        Their level.
    method
        The degrees of freedom in words.
    notes
        What the reader should know.
    """

    labels: tuple[str, ...]
    rhs: Vector
    tests: TTests
    limits: Matrix
    level: float
    method: str
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """One row per contrast: estimate, std_error, df, statistic, p_value, conf_low, conf_high.

        A column null_value follows when not all of them are zero.
        """
        import pandas as pd

        found = self.tests
        columns = {
            "estimate": found.estimate,
            "std_error": found.std_error,
            "df": found.df,
            "statistic": found.statistic,
            "p_value": found.p_value,
            "conf_low": self.limits[:, 0],
            "conf_high": self.limits[:, 1],
        }
        if self.rhs.any():
            columns["null_value"] = self.rhs
        return pd.DataFrame(columns, index=pd.Index(self.labels, name="contrast"))

    def to_text(self, digits: int = 4) -> str:
        """The table as text."""
        rows = [label if value == 0 or "=" in label else f"{label} = {value:.4g}" for label, value in self._labelled()]
        lines = coefficient_layout(self._shown(), digits).lines(rows, WIDE)
        lines.append(f"{100 * self.level:.4g} % confidence limits; {self.method}")
        for note in self.notes:
            lines += ["", *textwrap.wrap(note, WIDTH)]
        return "\n".join(line.rstrip() for line in lines)

    def _labelled(self) -> list[tuple[str, float]]:
        return list(zip(self.labels, self.rhs.tolist(), strict=True))

    def _shown(self) -> dict[str, list[float]]:
        table = {str(name): values.tolist() for name, values in self.to_frame().items() if name != "null_value"}
        if np.isinf(self.tests.df).all():
            del table["df"]
        return table

    def __len__(self) -> int:
        return len(self.labels)

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from henderson.markup import table_html

        layout = coefficient_layout(self._shown())
        rows = [[label, *cells] for label, *cells in zip(self.labels, *layout.columns, strict=True)]
        return table_html("Contrasts", ["", *layout.header], rows)


def contrast(
    model: LinearMixedModel,
    L: Any,
    *,
    ddf: str = "satterthwaite",
    vcov: Any = "model",
    cluster: Any = None,
    joint: bool = False,
    rhs: ArrayLike = 0.0,
    level: float = 0.95,
) -> Contrasts | AnovaTable:
    """Test linear functions of the fixed effects, L beta = rhs, one by one or jointly.

    Parameters
    ----------
    L
        Text over the names of the coefficients, ``"recipeB - 2 * recipeC = 1"``; a dict of weights by name; an array
        (r, p), a row per contrast and a column per fixed effect (aliased ones may be left out); a data frame whose
        columns are names; a list of these; a dict of these by label.
    ddf
        Degrees of freedom: "satterthwaite", "kenward-roger", "residual" or "normal".
    vcov
        Covariance matrix of the estimates: "model", or a cluster-robust kind such as "CR2".
    cluster
        What the rows are clustered by, for a robust kind.
    joint
        One F test of all rows instead of a t test for each.
    rhs
        What the rows are compared with: one number, or one for each. Text may say it itself, after ``=``.
    level
        Of the confidence intervals.

    Returns
    -------
    Contrasts or, for a joint test, AnovaTable
        Print it, or use `.to_frame()`.

    Raises
    ------
    DataError
        A name is unknown, a row has the wrong length, is zero, or cannot be estimated because columns are aliased.

    Examples
    --------
    >>> import henderson as hd
    >>> cake = hd.datasets.load_cake()
    >>> fit = hd.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", cake)
    >>> fit.contrast(["recipeB - recipeC", "10 * temp = 1"]).to_frame().round(3)[["estimate", "df", "p_value"]]
                       estimate     df  p_value
    contrast
    recipeB - recipeC     0.044   42.0    0.986
    10 * temp = 1         1.580  224.0    0.000
    >>> fit.contrast(["recipeB", "recipeC"], joint=True)
    Joint test of 2 contrasts with Satterthwaite's method
              Sum Sq Mean Sq NumDF DenDF F value Pr(>F)
    contrasts 10.303  5.1518     2    42  0.2488 0.7809
    """
    names = model.design.x_names
    forms = linear_forms(L, names, model.kept)
    values = forms.rhs + _right_hand_sides(rhs, len(forms.labels))
    check_level(level)
    weights = _estimable(model, forms)
    tests = fixed_effect_tests(model, ddf, vcov, cluster)
    if joint:
        return _joint(tests, weights, values)
    found = tests.t_tests(weights, values)
    return Contrasts(forms.labels, values, found, found.limits(level), float(level), method_name(tests), tests.notes)


def _right_hand_sides(rhs: ArrayLike, rows: int) -> Vector:
    try:
        values = np.asarray(rhs, dtype=np.float64)
        return np.array(np.broadcast_to(values, (rows,)))
    except (TypeError, ValueError):
        raise errors_inference.rhs_shape(np.shape(rhs), rows) from None


def _estimable(model: LinearMixedModel, forms: LinearForms) -> Matrix:
    """The weights of the coefficients kept."""
    if not model.aliased:
        return forms.weights
    rule = model.row_facts.estimability
    concerned = forms.of_columns | forms.weights[:, list(rule.aliased)].any(axis=1)
    for label, is_wrong in zip(forms.labels, concerned & ~rule.is_estimable(forms.weights), strict=True):
        if is_wrong:
            raise errors_inference.contrast_not_estimable(label, model.aliased)
    return rule.on_kept(forms.weights)


def _joint(tests: FixedEffectTests, weights: Matrix, values: Vector) -> AnovaTable:
    heading = (f"Joint test of {len(weights)} contrasts with {method_name(tests)}",)
    return AnovaTable(heading, ("contrasts",), f_columns([f_row("contrasts", tests, weights, values)]), tests.notes)
