"""Single term deletions: what each fixed or random term is worth when it is left out of the model."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, errors_models
from henderson.coding import NumericVariable
from henderson.formula_editing import marginal_terms, reductions, without_fixed
from henderson.inference import nesting
from henderson.inference.degrees import FixedEffectTests, fixed_effect_tests, method_name
from henderson.inference.f_tables import FRow, f_columns, f_row
from henderson.inference.mixtures import Mixture, chi_square_tail
from henderson.significance import AnovaTable, TableColumn
from henderson.subdesign import design_of
from henderson.submodel import by_criterion, fit_formula

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.expression import Expression
    from henderson.formula import Formula
    from henderson.model import LinearMixedModel

Matrix = NDArray[np.float64]

NONE = "<none>"
TESTS = ("F", "chisq")
SAME = 1e-6
"""Criteria that differ by less than this are those of the same optimum."""


# ------------------------------------------------------------------------------------------------------ random effects


@dataclass(frozen=True)
class RandomDeletion:
    """A model without one of its random effects, against the model.

    Attributes
    ----------
    label
        What was left out.
    formula
        What is left.
    model
        Its fit; None when no random term is left.
    npar, criterion
        Number of parameters, REML criterion or deviance of what is left.
    statistic, df
        Likelihood ratio and parameters tested.
    variances
        How many of them are variances.
    """

    label: str
    formula: Formula
    model: LinearMixedModel | None
    npar: int
    criterion: float
    statistic: float
    df: int
    variances: int

    @property
    def p_value(self) -> float:
        """By the chi-square distribution: conservative."""
        return chi_square_tail(self.statistic, self.df)

    @property
    def mixture(self) -> Mixture:
        """The distribution of the statistic when the variance is zero."""
        return Mixture(self.df, self.variances)


def ranova(model: LinearMixedModel, *, reduce_terms: bool = True) -> AnovaTable:
    """Likelihood-ratio tests of the random effects: one after the other is left out, by the criterion of the fit.

    Parameters
    ----------
    reduce_terms
        Leave one effect out of terms that have several, ``(Days | Subject)`` to ``(1 | Subject)``; False: whole terms.
        A term of ``||`` stands for one term per effect.

    Returns
    -------
    AnovaTable
        Prints as lmerTest's ``ranova``. ``.to_frame()`` has the columns npar, loglik, aic, statistic, df,
        p_value_mixture, p_value and formula.

    Notes
    -----
    A variance cannot be negative, so that the statistic follows a mixture of chi-square distributions when it is zero:
    half chi²(df - 1), half chi²(df) for one variance with its df - 1 covariances [1]. ``Pr(>Chisq)`` ignores that and
    is conservative, ``Pr(>Chibar)`` takes it into account. Where several variances go at once the latter is an upper
    bound.

    References
    ----------
    1. Stram, D. O. and Lee, J. W. (1994). Variance components testing in the longitudinal mixed effects model.
       Biometrics 50, 1171-1177.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> print(fit.ranova())
    ANOVA-like table for random-effects: Single term deletions
    <BLANKLINE>
    Model:
    Reaction ~ Days + (Days | Subject)
                             npar  logLik    AIC    LRT Df Pr(>Chibar) Pr(>Chisq)
    <none>                      6 -871.81 1755.6
    Days in (Days | Subject)    4 -893.23 1794.5 42.837  2   2.793e-10   4.99e-10 ***
    ---
    Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    """
    deletions = random_deletions(model, reduce_terms=reduce_terms)
    heading = ("ANOVA-like table for random-effects: Single term deletions", "", "Model:", model.formula)
    rows = (NONE, *(deletion.label for deletion in deletions))
    return AnovaTable(heading, rows, random_columns(model, deletions), _random_notes(model, deletions))


def random_deletions(
    model: LinearMixedModel, *, reduce_terms: bool = True, only: Container[str] | None = None
) -> list[RandomDeletion]:
    """Fit what is left when one random effect after the other is left out, of `only` some grouping factors or all."""

    def is_number(variable: Expression) -> bool:
        known = model.design.recipe.variables[variable]
        return isinstance(known, NumericVariable) and known.width == 1

    found = reductions(model.design.formula, is_number, reduce_terms=reduce_terms)
    wanted = [reduction for reduction in found if only is None or reduction.group in only]
    return [_without_random(model, reduction.label, reduction.formula) for reduction in wanted]


def _without_random(model: LinearMixedModel, label: str, formula: Formula) -> RandomDeletion:
    small: LinearMixedModel | None = None
    if formula.random_terms:
        small = fit_formula(model, formula)
        npar, criterion = small.n_parameters, small.criterion
        variances = nesting.variances_added(small.design, model.design) or 0
    else:
        npar, criterion = len(model.kept) + 1, model.criterion_at(np.zeros(len(model.optimum.theta)))
        variances = sum(len(term.columns) for term in model.design.terms)
    statistic = max(0.0, criterion - model.criterion)
    return RandomDeletion(
        label, formula, small, npar, criterion, statistic, model.n_parameters - npar, max(1, variances)
    )


def random_columns(model: LinearMixedModel, deletions: Sequence[RandomDeletion]) -> tuple[TableColumn, ...]:
    """The columns of a table of deletions, the model itself first."""
    blank = math.nan
    npar = [model.n_parameters, *(deletion.npar for deletion in deletions)]
    criteria = [model.criterion, *(deletion.criterion for deletion in deletions)]
    return (
        TableColumn("npar", "npar", npar),
        TableColumn("loglik", "logLik", [-0.5 * value for value in criteria]),
        TableColumn("aic", "AIC", [value + 2 * count for value, count in zip(criteria, npar, strict=True)]),
        TableColumn("statistic", "LRT", [blank, *(deletion.statistic for deletion in deletions)]),
        TableColumn("df", "Df", [blank, *(deletion.df for deletion in deletions)], "df"),
        TableColumn(
            "p_value_mixture",
            "Pr(>Chibar)",
            [blank, *(deletion.mixture.tail(deletion.statistic) for deletion in deletions)],
            "p_value",
        ),
        TableColumn("p_value", "Pr(>Chisq)", [blank, *(deletion.p_value for deletion in deletions)], "p_value"),
        TableColumn("formula", "", [model.formula, *(str(deletion.formula) for deletion in deletions)]),
    )


def _random_notes(model: LinearMixedModel, deletions: Sequence[RandomDeletion]) -> tuple[str, ...]:
    notes = []
    flat = [deletion.label for deletion in deletions if deletion.statistic < SAME]
    if flat:
        notes.append(errors_models.estimated_at_boundary_note(flat))
    bounds = [deletion.label for deletion in deletions if deletion.variances > 1]
    if bounds:
        notes.append(errors_models.mixture_bound_note(bounds))
    fits = [("the model", model), *((f"the model without {d.label}", d.model) for d in deletions if d.model)]
    unconverged = [name for name, fit in fits if not fit.converged]
    if unconverged:
        notes.append(errors_models.unconverged_note(unconverged))
    return tuple(notes)


# ------------------------------------------------------------------------------------------------------- fixed effects


def drop1(
    model: LinearMixedModel,
    *,
    ddf: str = "satterthwaite",
    vcov: Any = "model",
    cluster: Any = None,
    test: str = "F",
) -> AnovaTable:
    """Tests of the fixed terms that may be left out while the others stay (those contained in no other term).

    Parameters
    ----------
    ddf
        Denominator degrees of freedom of the F tests: "satterthwaite", "kenward-roger", "residual" or "normal".
    vcov
        Covariance matrix of the estimates in F tests: "model", or a cluster-robust kind such as "CR2".
    cluster
        What the rows are clustered by, for a robust kind.
    test
        "F", or "chisq" for likelihood-ratio tests between maximum-likelihood fits.

    Returns
    -------
    AnovaTable
        Prints as ``drop1`` of lmerTest, or of lme4 for "chisq". ``.to_frame()`` has the columns sum_sq, mean_sq,
        num_df, den_df, statistic, p_value; for "chisq" df, aic, statistic, p_value.

    Notes
    -----
    A term is tested against the model whose formula does not have it. Its sum of squares is F times the residual
    variance times the degrees of freedom.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("angle ~ recipe + temp + (1 | recipe:replicate)", hd.datasets.load_cake())
    >>> print(fit.drop1())
    Single term deletions using Satterthwaite's method:
    <BLANKLINE>
    Model:
    angle ~ recipe + temp + (1 | recipe:replicate)
           Sum Sq Mean Sq NumDF DenDF F value Pr(>F)
    recipe   10.3    5.15     2    42  0.2488 0.7809
    temp   1966.7 1966.71     1   224 94.9759 <2e-16 ***
    ---
    Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    """
    if test not in TESTS:
        raise errors.choice("test", test, TESTS)
    if test == "chisq":
        return _likelihood_ratios(by_criterion(model, reml=False))
    tests = fixed_effect_tests(model, ddf, vcov, cluster)
    rows = [tested.row for tested in fixed_deletions(tests)]
    heading = (f"Single term deletions using {method_name(tests)}:", "", "Model:", model.formula)
    return AnovaTable(heading, tuple(row.label for row in rows), f_columns(rows), tests.notes)


@dataclass(frozen=True)
class FixedDeletion:
    """The F test of one fixed term, and the formula without it."""

    row: FRow
    formula: Formula


def fixed_deletions(tests: FixedEffectTests) -> list[FixedDeletion]:
    """F tests of the fixed terms that may be left out."""
    formula = tests.model.design.formula
    space = FixedSpace(tests.model)
    found = []
    for term in marginal_terms(formula.fixed):
        smaller = without_fixed(formula, term)
        contrasts = space.hypothesis(smaller)  # without rows if other terms have all columns of this one
        row = f_row(term.label, tests, contrasts) if len(contrasts) else without_test(term.label)
        found.append(FixedDeletion(row, smaller))
    return found


def without_test(label: str) -> FRow:
    """The row of a term that has no column of its own."""
    return FRow(label, math.nan, 0.0, math.nan, math.nan, math.nan)


def _likelihood_ratios(model: LinearMixedModel) -> AnovaTable:
    """Each marginal term left out, all fits by maximum likelihood."""
    terms = marginal_terms(model.design.formula.fixed)
    fits = [fit_formula(model, without_fixed(model.design.formula, term)) for term in terms]
    statistics = [max(0.0, fit.criterion - model.criterion) for fit in fits]
    df = [model.n_parameters - fit.n_parameters for fit in fits]
    p_values = [chi_square_tail(*pair) if pair[1] else math.nan for pair in zip(statistics, df, strict=True)]
    columns = (
        TableColumn("df", "npar", [math.nan, *df], "df"),
        TableColumn("aic", "AIC", [model.aic, *(fit.aic for fit in fits)]),
        TableColumn("statistic", "LRT", [math.nan, *statistics]),
        TableColumn("p_value", "Pr(Chi)", [math.nan, *p_values], "p_value"),
    )
    heading = ("Single term deletions", "", "Model:", model.formula)
    unconverged = [f"the model without {t.label}" for t, fit in zip(terms, fits, strict=True) if not fit.converged]
    notes = (errors_models.unconverged_note(unconverged),) if unconverged else ()
    return AnovaTable(heading, (NONE, *(term.label for term in terms)), columns, notes)


class FixedSpace:
    """The fixed effects of a model, and the hypotheses that smaller formulas make about them."""

    def __init__(self, model: LinearMixedModel) -> None:
        self.model = model
        self.design = model.design

    def hypothesis(self, formula: Formula) -> Matrix:
        """L with L beta = 0 exactly where the mean is one that `formula` allows, shape (df, p)."""
        small = design_of(formula, self.design)
        plain = self._selection(small)
        if plain is not None:
            return plain
        left, rank = self._inside(small)
        return np.asarray(left[:, rank:].T @ self._factors[1])

    def _selection(self, small: DesignMatrices) -> Matrix | None:
        """Rows of the identity, where the smaller model has the same columns but for those left out."""
        columns = dict(zip(self.design.x_names, self.design.x, strict=True))
        for name, column in zip(small.x_names, small.x, strict=True):
            if name not in columns or not _equal(columns[name], column):
                return None
        kept = self.model.kept
        gone = [i for i, j in enumerate(kept) if self.design.x_names[j] not in small.x_names]
        is_full_rank = len(kept) == len(columns)
        if not is_full_rank and self._inside(small)[1] != len(kept) - len(gone):
            return None
        return np.eye(len(kept))[gone]

    @cached_property
    def _factors(self) -> tuple[Matrix, Matrix]:
        """Q and R of the columns kept, (n, p) and (p, p)."""
        q, r = np.linalg.qr(self.design.x_matrix()[:, self.model.kept])
        return q, r

    def _inside(self, small: DesignMatrices) -> tuple[Matrix, int]:
        """An orthonormal basis (p, p) in the coordinates of Q, and how many of its columns span the smaller model."""
        columns = small.x_matrix()
        lengths = np.maximum(np.linalg.norm(columns, axis=0), np.finfo(float).tiny)
        left, singular, _ = np.linalg.svd(self._factors[0].T @ (columns / lengths))
        return left, int(np.sum(singular > nesting.TOLERANCE))


def _equal(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> bool:
    if one is None or other is None:
        return one is other
    return one is other or np.array_equal(one, other)
