"""Labelled linear functions of the fixed effects: estimates, standard errors, tests, contrasts among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_means
from henderson.inference.contrast_families import ContrastFamily, contrast_family
from henderson.inference.degrees import FixedEffectTests, TTests
from henderson.inference.estimability import Estimability
from henderson.inference.grid_columns import kind_of
from henderson.levels import level_text
from henderson.significance import AnovaTable, TableColumn

if TYPE_CHECKING:
    import pandas as pd

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class LinearEstimates:
    """Linear functions of the fixed effects with a label each, in groups.

    Attributes
    ----------
    tests
        The fixed effects, their covariance matrix and degrees of freedom.
    estimability
        Which functions the data determine.
    labels
        Columns of labels by name, one label per function.
    by
        Names of the columns that make the groups.
    functions
        Coefficients of all columns of X, aliased ones included, shape (r, columns); NaN rows are not estimable.
    offsets
        Known constants that are added, shape (r,).
    """

    tests: FixedEffectTests
    estimability: Estimability
    labels: dict[str, list[Any]]
    by: tuple[str, ...]
    functions: Matrix
    offsets: Vector

    def __len__(self) -> int:
        return len(self.functions)

    @cached_property
    def is_estimable(self) -> NDArray[np.bool_]:
        """Whether the data determine each function, shape (r,)."""
        return self.estimability.is_estimable(self.functions)

    @cached_property
    def estimated(self) -> TTests:
        """Estimates, standard errors, degrees of freedom and tests of zero; NaN where not estimable."""
        found = self.is_estimable
        known = self.tests.t_tests(self.estimability.on_kept(self.functions[found]), -self.offsets[found])
        columns = []
        for values in (known.estimate + self.offsets[found], known.std_error, known.df, known.statistic, known.p_value):
            column = np.full(len(self), np.nan)
            column[found] = values
            columns.append(column)
        return TTests(*columns)

    @cached_property
    def covariance(self) -> Matrix:
        """Covariance matrix of the estimates, shape (r, r); NaN where not estimable."""
        kept = self.estimability.on_kept(np.where(self.is_estimable[:, None], self.functions, np.nan))
        result: Matrix = kept @ self.tests.covariance @ kept.T
        return result

    @cached_property
    def groups(self) -> list[Indices]:
        """Positions of the functions of each group, in order of appearance; a single group without `by`."""
        keys = list(zip(*(self.labels[name] for name in self.by), strict=True)) or [()] * len(self)
        places: dict[Any, list[int]] = {}
        for place, key in enumerate(keys):
            places.setdefault(key, []).append(place)
        return [np.array(place, dtype=np.intp) for place in places.values()]

    def group_title(self, group: Indices) -> str:
        """What a group is called: ``sex = Male, dose = 10``."""
        return ", ".join(f"{name} = {level_text(self.labels[name][group[0]])}" for name in self.by)

    def regrouped(self, by: Sequence[str] | str | None) -> LinearEstimates:
        """The same functions in other groups."""
        names = tuple([by] if isinstance(by, str) else by or ())
        for name in names:
            if name not in self.labels:
                raise errors_means.variable_unknown("by", name, list(self.labels))
        return LinearEstimates(self.tests, self.estimability, self.labels, names, self.functions, self.offsets)

    def is_categorical(self, name: str) -> bool:
        """Whether a column of labels holds the levels of a factor, or words."""
        is_factor = kind_of(self.tests.model.design, name) == "category"
        return is_factor or any(isinstance(value, str) for value in self.labels[name])

    @property
    def own_labels(self) -> list[str]:
        """One text per function, from the label columns that make no groups; numbers come with their name."""
        columns = []
        for name, values in self.labels.items():
            if name not in self.by:
                texts = [level_text(value) for value in values]
                columns.append([name + text for text in texts] if all(map(_is_number, texts)) else texts)
        return [" ".join(parts) for parts in zip(*columns, strict=True)] if columns else ["overall"] * len(self)

    def contrasts(self, method: Any, ref: Any = None) -> tuple[LinearEstimates, ContrastFamily]:
        """Contrasts among the functions of each group, and the family that they are."""
        texts = self.own_labels
        families = [contrast_family(method, [texts[i] for i in group], ref) for group in self.groups]
        blocks, offsets = [], []
        own = "contrast1" if "contrast" in self.by else "contrast"
        labels: dict[str, list[Any]] = {own: []} | {name: [] for name in self.by}
        for group, family in zip(self.groups, families, strict=True):
            blocks.append(combined(family.coefficients, self.functions[group]))
            offsets.append(family.coefficients @ self.offsets[group])
            labels[own] += family.names
            for name in self.by:
                labels[name] += [self.labels[name][group[0]]] * len(family.names)
        functions, known = np.concatenate(blocks), np.concatenate(offsets)
        return LinearEstimates(self.tests, self.estimability, labels, self.by, functions, known), families[0]

    def joint_test(self, functions: Matrix) -> tuple[float, float, float, float]:
        """F test that the estimable combinations of the rows of `functions` are all zero: F, its df, p-value."""
        rows = functions[np.isfinite(functions).all(axis=1)]
        gaps = self.estimability.gaps(rows)
        if gaps.size:
            left, sizes, _ = np.linalg.svd(gaps)
            lost = int(np.sum(sizes > 1e-8 * np.abs(rows / self.estimability.scale).max()))
            rows = left[:, lost:].T @ rows
        kept = self.estimability.on_kept(rows)
        if not len(kept) or not np.any(np.abs(kept) > 1e-10):
            return np.nan, 0.0, np.nan, np.nan
        test, p_value = self.tests.f_test(kept)
        return test.statistic, test.num_df, test.den_df, p_value

    def joint_tests(self, tests: Sequence[tuple[str, Matrix]]) -> AnovaTable:
        """A table of F tests, a row each."""
        found = [self.joint_test(functions) for _, functions in tests]
        statistic, num_df, den_df, p_value = (list(column) for column in zip(*found, strict=True))
        columns = (
            TableColumn("num_df", "df1", num_df, "df"),
            TableColumn("den_df", "df2", den_df),
            TableColumn("statistic", "F.ratio", statistic, "statistic"),
            TableColumn("p_value", "p.value", p_value, "p_value"),
        )
        return AnovaTable((), tuple(name for name, _ in tests), columns, self.tests.notes)

    def to_frame(self, p_values: Vector, limits: Matrix) -> pd.DataFrame:
        """Labels, estimates, tests and intervals; the latter as given, since they may be adjusted."""
        import pandas as pd

        found = self.estimated
        numbers = {"estimate": found.estimate, "std_error": found.std_error, "df": found.df}
        numbers |= {"statistic": found.statistic, "p_value": p_values}
        return pd.DataFrame(self.labels | numbers | {"conf_low": limits[:, 0], "conf_high": limits[:, 1]})


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def combined(coefficients: Matrix, functions: Matrix) -> Matrix:
    """The product of both, where a function with NaN matters only to the combinations that use it."""
    unknown = np.asarray(np.isnan(functions).any(axis=1))
    result: Matrix = coefficients @ np.where(unknown[:, None], 0.0, functions)
    result[(coefficients[:, unknown] != 0).any(axis=1)] = np.nan
    return result
