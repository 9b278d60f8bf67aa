"""What `emmeans` gives: marginal means or slopes, and contrasts among them, with adjusted tests and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_means
from henderson.inference import multiplicity
from henderson.inference.distributions import check_level
from henderson.inference.linear_estimates import LinearEstimates, combined

if TYPE_CHECKING:
    import pandas as pd

    from henderson.significance import AnovaTable

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
By = str | Sequence[str] | None


@dataclass(frozen=True, eq=False)
class MarginalMeans:
    """Estimated marginal means, or slopes; prints as R's emmeans.

    Attributes
    ----------
    estimates
        The linear functions of the fixed effects that they are.
    name
        Of the column of estimates in print: ``emmean``, ``Days.trend``.
    level
        Of the confidence intervals.
    averaged
        What the results are averaged over, in a sentence; empty if nothing.
    scale
        The transformation of the response; empty if there is none.
    notes
        What the user should know.
    """

    estimates: LinearEstimates
    name: str
    level: float
    averaged: str
    scale: str
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.estimates)

    @property
    def covariance(self) -> Matrix:
        """Covariance matrix of the means, shape (r, r); NaN where not estimable."""
        return self.estimates.covariance

    def confint(self, level: float | None = None, *, adjust: str = "none") -> pd.DataFrame:
        """The means with confidence intervals that hold together within each group if `adjust` is given.

        Parameters
        ----------
        level
            By default that of the object.
        adjust
            ``"none"``, ``"bonferroni"``, ``"sidak"``, ``"scheffe"`` or ``"mvt"``.
        """
        limits = _limits(self.estimates, adjust, self.level if level is None else level)
        return self.estimates.to_frame(self.estimates.estimated.p_value, limits)

    def to_frame(self) -> pd.DataFrame:
        """The means as a table.

        Returns
        -------
        DataFrame
            The variables, then estimate, std_error, df, statistic and p_value (of a test that the mean is zero),
            conf_low and conf_high.
        """
        return self.confint()

    def contrasts(
        self, method: str | Mapping[str, Any] = "pairwise", *, by: By = (), adjust: str | None = None, ref: Any = None
    ) -> MarginalContrasts:
        """Contrasts among the means of each group.

        Parameters
        ----------
        method
            ``"pairwise"``, ``"revpairwise"``; ``"trt.vs.ctrl"``, each with the control `ref`; ``"eff"``, deviations
            from the mean; ``"consec"``, each with the one before it; ``"poly"``, orthogonal polynomials; or a dict of
            coefficients: a list with one number per mean, or a dict of numbers by level.
        by
            Columns that make the groups; by default those of the means, None for no groups.
        adjust
            ``"tukey"``, ``"dunnettx"`` (emmeans' approximation), ``"dunnett"`` or ``"mvt"`` (exact: multivariate t),
            ``"sidak"``, ``"bonferroni"``, ``"holm"``, ``"hochberg"``, ``"fdr"``, ``"scheffe"``, ``"none"``. By default
            the one that belongs to the method, as in emmeans.
        ref
            The control, by label; by default the first.

        Examples
        --------
        >>> import henderson as hd
        >>> fit = hd.lmer("weight ~ Lsize + Treatment + sex + (1 | Litter)", hd.datasets.load_ratpup())
        >>> print(fit.emmeans("Treatment").contrasts("trt.vs.ctrl"))
         contrast       estimate    SE   df t.ratio p.value
         Low - Control    -0.429 0.150 22.9  -2.849  0.0175
         High - Control   -0.859 0.182 25.0  -4.723  0.0002
        <BLANKLINE>
        Results are averaged over the levels of: sex
        Degrees-of-freedom method: satterthwaite
        P value adjustment: dunnettx method for 2 tests
        """
        return _contrasts(self.estimates if by == () else self.estimates.regrouped(by), self, method, adjust, ref)

    def pairs(self, *, by: By = (), adjust: str | None = None) -> MarginalContrasts:
        """All pairwise differences in each group; adjusted by Tukey's method unless said otherwise."""
        return self.contrasts("pairwise", by=by, adjust=adjust)

    def joint_tests(self) -> AnovaTable:
        """F tests of main effects and interactions of the variables, in each group.

        Notes
        -----
        Each test is of all contrasts of its variables, averaged over the other variables with equal weights. Unlike
        R's ``joint_tests``, F and its degrees of freedom are those of ``fit.contrast(L, joint=True)``, and where cells
        are missing, a test is of what can be estimated of its contrasts.
        """
        found = self.estimates
        names = [name for name in found.labels if name not in found.by]
        tests = []
        for group in found.groups:
            sizes = [len(dict.fromkeys(found.labels[name][i] for i in group)) for name in names]
            title = f"{found.group_title(group)}: " if found.by else ""
            for which in chain.from_iterable(combinations(range(len(names)), r) for r in range(1, len(names) + 1)):
                if all(sizes[i] > 1 for i in which):
                    functions = combined(_interaction(sizes, which), found.functions[group])
                    if not np.all(np.abs(functions) <= 1e-8 * np.nanmax(np.abs(found.functions))):
                        tests.append((title + ":".join(names[i] for i in which), functions))
        if not tests:
            raise errors_means.too_few_levels("joint_tests()", 1)
        return found.joint_tests(tests)

    @cached_property
    def _notes(self) -> tuple[str, ...]:
        found = self.estimates
        scale = [errors_means.scale_note(self.scale)] if self.scale else []
        used = f"Confidence level used: {self.level:g}"
        return (*_head(self.averaged, found), *scale, used, *self.notes, *found.tests.notes)

    def __str__(self) -> str:
        from henderson.inference import means_text

        columns = means_text.mean_columns(self.estimates, self.name, self.estimates.estimated.limits(self.level))
        return means_text.table_text(self.estimates, columns, self._notes)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from henderson.inference import means_text

        columns = means_text.mean_columns(self.estimates, self.name, self.estimates.estimated.limits(self.level))
        return means_text.table_html(self.estimates, columns, self._notes)


@dataclass(frozen=True, eq=False)
class MarginalContrasts:
    """Contrasts among estimates, with p-values adjusted for their number; prints as R's emmeans.

    Attributes
    ----------
    estimates
        The linear functions of the fixed effects that they are.
    adjust
        The adjustment, made in each group.
    means
        How many estimates are compared in a group.
    is_pairwise
        Whether these are all pairwise differences.
    level
        Of the confidence intervals.
    averaged, scale, notes
        As in `MarginalMeans`.
    """

    estimates: LinearEstimates
    adjust: str
    means: int
    is_pairwise: bool
    level: float
    averaged: str
    scale: str
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.estimates)

    @cached_property
    def p_values(self) -> Vector:
        """Adjusted p-values, shape (r,)."""
        found = self.estimates.estimated
        result = np.full(len(self), np.nan)
        for group, family in self._families:
            method, _ = multiplicity.resolved(self.adjust, family)
            own = (values[group] for values in (found.statistic, found.df, found.p_value))
            result[group] = multiplicity.adjusted(method, family, *own)
        return result

    @cached_property
    def _families(self) -> list[tuple[NDArray[np.intp], multiplicity.Family]]:
        return _families(self.estimates, self.means, self.is_pairwise)

    def confint(self, level: float | None = None, *, adjust: str | None = None) -> pd.DataFrame:
        """The contrasts with simultaneous confidence intervals.

        Parameters
        ----------
        level
            By default that of the object.
        adjust
            By default that of the p-values; Bonferroni's in place of a step-wise one.
        """
        own = self.adjust if adjust is None else adjust
        limits = _limits(self.estimates, own, self.level if level is None else level, self._families)
        return self.estimates.to_frame(self.p_values, limits)

    def to_frame(self) -> pd.DataFrame:
        """The contrasts as a table.

        Returns
        -------
        DataFrame
            contrast, the variables of the groups, estimate, std_error, df, statistic, p_value (adjusted), conf_low and
            conf_high (adjusted too; Bonferroni's in place of a step-wise adjustment).
        """
        return self.confint()

    def contrasts(
        self, method: str | Mapping[str, Any] = "pairwise", *, by: By = (), adjust: str | None = None, ref: Any = None
    ) -> MarginalContrasts:
        """Contrasts among the contrasts, such as differences of differences; see `MarginalMeans.contrasts`."""
        return _contrasts(self.estimates if by == () else self.estimates.regrouped(by), self, method, adjust, ref)

    def pairs(self, *, by: By = (), adjust: str | None = None) -> MarginalContrasts:
        """Pairwise differences of the contrasts of each group."""
        return self.contrasts("pairwise", by=by, adjust=adjust)

    def joint_test(self) -> AnovaTable:
        """F test that all contrasts of a group are zero, for each group."""
        found = self.estimates
        titles = [found.group_title(group) if found.by else "all contrasts" for group in found.groups]
        blocks = [found.functions[group] for group in found.groups]
        return found.joint_tests(list(zip(titles, blocks, strict=True)))

    @cached_property
    def _notes(self) -> tuple[str, ...]:
        found = self.estimates
        family = self._families[0][1]
        method, said = multiplicity.resolved(self.adjust, family)
        words = multiplicity.description(method, family)
        scale = [errors_means.contrast_scale_note(self.scale)] if self.scale else []
        adjusted = [f"P value adjustment: {words}"] if words else []
        changed = [said] if said else []
        return (*_head(self.averaged, found), *scale, *adjusted, *changed, *self.notes, *found.tests.notes)

    def __str__(self) -> str:
        from henderson.inference import means_text

        columns = means_text.contrast_columns(self.estimates, self.p_values)
        return means_text.table_text(self.estimates, columns, self._notes)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from henderson.inference import means_text

        return means_text.table_html(
            self.estimates, means_text.contrast_columns(self.estimates, self.p_values), self._notes
        )


def _contrasts(
    estimates: LinearEstimates, means: MarginalMeans | MarginalContrasts, method: Any, adjust: str | None, ref: Any
) -> MarginalContrasts:
    found, family = estimates.contrasts(method, ref)
    chosen = family.adjust if adjust is None else adjust
    result = MarginalContrasts(
        found,
        chosen,
        family.coefficients.shape[1],
        family.is_pairwise,
        means.level,
        means.averaged,
        means.scale,
        means.notes,
    )
    multiplicity.resolved(chosen, result._families[0][1])  # refuses what is no adjustment
    return result


def _families(
    estimates: LinearEstimates, means: int, is_pairwise: bool
) -> list[tuple[NDArray[np.intp], multiplicity.Family]]:
    """The tests of each group as a family."""
    result = []
    for group in estimates.groups:
        known = group[estimates.is_estimable[group] & (estimates.estimated.std_error[group] > 0)]
        errors = estimates.estimated.std_error[known]
        correlation = estimates.covariance[np.ix_(known, known)] / np.outer(errors, errors)
        result.append((group, multiplicity.Family(len(group), means, is_pairwise, correlation)))
    return result


def _limits(
    estimates: LinearEstimates,
    adjust: str,
    level: float,
    families: Sequence[tuple[NDArray[np.intp], multiplicity.Family]] | None = None,
) -> Matrix:
    """Confidence limits that hold together in each group, shape (r, 2)."""
    check_level(level)
    found = estimates.estimated
    reach = np.full(len(estimates), np.nan)
    for group, family in _families(estimates, 0, False) if families is None else families:
        method, _ = multiplicity.resolved(adjust, family)
        reach[group] = multiplicity.critical_values(method, family, level, found.df[group]) * found.std_error[group]
    return np.column_stack([found.estimate - reach, found.estimate + reach])


def _head(averaged: str, estimates: LinearEstimates) -> list[str]:
    """The first notes: what was averaged over, where degrees of freedom come from, which covariance matrix."""
    tests = estimates.tests
    rule = "asymptotic" if tests.is_normal else tests.ddf
    lines = [averaged] if averaged else []
    lines.append(f"Degrees-of-freedom method: {rule}")
    if tests.vcov not in ("model", tests.ddf):
        lines.append(f"Covariance estimate used: {tests.vcov}")
    return lines


def _interaction(sizes: Sequence[int], which: Sequence[int]) -> Matrix:
    """Contrasts of the interaction of some axes of a table of cells, averaged over the others; first axis fastest."""
    rows = np.ones((1, 1))
    for axis, size in enumerate(sizes):
        own = np.diff(np.eye(size), axis=0) if axis in which else np.full((1, size), 1.0 / size)
        rows = np.kron(own, rows)
    return rows
