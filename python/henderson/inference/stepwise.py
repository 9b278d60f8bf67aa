"""Backward elimination: first random effects, then fixed effects, one term at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson import errors_models
from henderson.formula_editing import edited, marginal_terms, without_fixed
from henderson.inference import deletion
from henderson.inference.degrees import check_ddf, fixed_effect_tests, method_name
from henderson.inference.deletion import FixedDeletion, RandomDeletion
from henderson.inference.distributions import f_tail
from henderson.inference.f_tables import FRow, f_columns
from henderson.significance import AnovaTable, TableColumn
from henderson.subdesign import design_of
from henderson.submodel import fit_formula

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.formula import Formula
    from henderson.model import LinearMixedModel


@dataclass(frozen=True, eq=False)
class StepResult:
    """The course of a backward elimination and where it ended.

    Attributes
    ----------
    random, fixed
        Tables of what was eliminated, in this order, and of what was kept (``eliminated`` is 0 there).
    formula
        Of the model found.
    model
        The model found; None when no random term is left in it.
    notes
        What the reader should know.
    """

    random: AnovaTable | None
    fixed: AnovaTable | None
    formula: str
    model: LinearMixedModel | None
    notes: tuple[str, ...]

    def to_frame(self) -> dict[str, Any]:
        """The tables as data frames: "random" and "fixed"."""
        tables = {"random": self.random, "fixed": self.fixed}
        return {name: table.to_frame() for name, table in tables.items() if table is not None}

    def __str__(self) -> str:
        tables = [f"{table}\n" for table in (self.random, self.fixed) if table is not None]
        return "\n".join([*tables, "Model found:", self.formula, *(f"\n{note}" for note in self.notes)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        tables = "".join(table.to_html() for table in (self.random, self.fixed) if table is not None)
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        return f"{tables}<p>Model found: <code>{escape(self.formula)}</code></p>{notes}"


def step(
    model: LinearMixedModel,
    *,
    ddf: str = "satterthwaite",
    alpha_random: float = 0.1,
    alpha_fixed: float = 0.05,
    reduce_random: bool = True,
    reduce_fixed: bool = True,
    keep: Iterable[str] = (),
) -> StepResult:
    """Eliminate terms one by one, the least significant first: random effects, then fixed effects.

    Parameters
    ----------
    ddf
        Denominator degrees of freedom of the F tests.
    alpha_random, alpha_fixed
        A term goes when its p-value is above this.
    reduce_random, reduce_fixed
        Whether to eliminate random effects, fixed effects.
    keep
        Fixed terms that stay in any case, by name ("a", "a:b"), with the terms they contain.

    Returns
    -------
    StepResult
        Prints as lmerTest's ``step``; ``.model`` is the fit found, ``.formula`` its formula.

    Notes
    -----
    Random effects are tested as by `ranova` with the conservative p-value, fixed terms as by `drop1`; a fixed term goes
    only when no other term contains it. Tests after a selection are optimistic: the p-values of the terms that stay do
    not account for the search.

    References
    ----------
    Kuznetsova, A., Brockhoff, P. B. and Christensen, R. H. B. (2017). lmerTest package: tests in linear mixed effects
    models. Journal of Statistical Software 82(13).

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", hd.datasets.load_cake())
    >>> print(fit.step())
    Backward reduced random-effect table:
    <BLANKLINE>
                           Eliminated npar  logLik    AIC    LRT Df Pr(>Chibar) Pr(>Chisq)
    <none>                               8 -851.63 1719.3
    (1 | recipe:replicate)          0    7 -938.72 1891.4 174.17  1   < 2.2e-16  < 2.2e-16 ***
    ---
    Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    <BLANKLINE>
    Backward reduced fixed-effect table:
    Degrees of freedom: Satterthwaite's method
    <BLANKLINE>
                Eliminated  Sum Sq Mean Sq NumDF DenDF F value Pr(>F)
    recipe:temp          1    1.74    0.87     2   222  0.0417 0.9592
    recipe               2   10.30    5.15     2    42  0.2488 0.7809
    temp                 0 1966.71 1966.71     1   224 94.9759 <2e-16 ***
    ---
    Signif. codes:  0 '***' 0.001 '**' 0.01 '*' 0.05 '.' 0.1 ' ' 1
    <BLANKLINE>
    Model found:
    angle ~ temp + (1 | recipe:replicate)
    """
    check_ddf(ddf)
    kept = _labels(model, keep)
    for name, alpha in (("alpha_random", alpha_random), ("alpha_fixed", alpha_fixed)):
        if not _is_probability(alpha):
            raise errors_models.alpha_invalid(name, alpha)
    random, fixed = None, None
    found: LinearMixedModel | None = model
    formula = model.design.formula
    if reduce_random:
        random, found, formula = _reduce_random(model, alpha_random)
    if reduce_fixed:
        fixed, found, formula = _reduce_fixed(model.design, found, formula, ddf, alpha_fixed, kept)
    notes = (errors_models.no_random_term_note(),) if found is None else ()
    return StepResult(random, fixed, str(formula), found, notes)


def _labels(model: LinearMixedModel, keep: Iterable[str]) -> set[str]:
    """The labels of the terms to keep; the order of the factors of an interaction does not matter."""
    known = {_key(term.label): term.label for term in model.design.formula.fixed_terms}
    wanted: list[Any] = [keep] if isinstance(keep, str) else list(keep)
    for name in wanted:
        if not isinstance(name, str) or _key(name) not in known:
            raise errors_models.term_unknown("keep", name, list(known.values()))
    return {known[_key(name)] for name in wanted}


def _key(label: str) -> frozenset[str]:
    return frozenset(label.replace(" ", "").split(":"))


def _is_probability(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(0.0 <= value <= 1.0)


def _reduce_random(model: LinearMixedModel, alpha: float) -> tuple[AnovaTable, LinearMixedModel | None, Formula]:
    """Leave out the random effect with the largest p-value until all are significant."""
    current: LinearMixedModel | None = model
    formula = model.design.formula
    gone: list[RandomDeletion] = []
    stay: list[RandomDeletion] = []
    while current is not None:
        stay = deletion.random_deletions(current)
        worst = max(stay, key=lambda tested: tested.p_value)
        if worst.p_value <= alpha:
            break
        gone.append(worst)
        current, formula, stay = worst.model, worst.formula, []
    columns = deletion.random_columns(model, [*gone, *stay])
    table = AnovaTable(
        ("Backward reduced random-effect table:", ""),
        (deletion.NONE, *(tested.label for tested in [*gone, *stay])),
        (_eliminated([math.nan], gone, stay), *columns),
    )
    return table, current, formula


def _reduce_fixed(
    design: DesignMatrices,
    model: LinearMixedModel | None,
    formula: Formula,
    ddf: str,
    alpha: float,
    keep: set[str],
) -> tuple[AnovaTable, LinearMixedModel | None, Formula]:
    """Leave out the fixed term with the largest p-value until all are significant."""
    gone: list[FixedDeletion] = []
    notes: tuple[str, ...] = ()
    while True:
        if model is None:
            method, stay = "residual degrees of freedom of least squares", _least_squares(design, formula)
        else:
            tests = fixed_effect_tests(model, ddf)
            method, stay, notes = method_name(tests), deletion.fixed_deletions(tests), tests.notes
        candidates = [tested for tested in stay if tested.row.label not in keep]
        worst = max(candidates, key=_worth, default=None)
        if worst is None or _worth(worst) <= alpha:
            break
        gone.append(worst)
        formula = worst.formula
        model = None if model is None else fit_formula(model, formula)
    table = AnovaTable(
        ("Backward reduced fixed-effect table:", f"Degrees of freedom: {method}", ""),
        tuple(tested.row.label for tested in [*gone, *stay]),
        (_eliminated([], gone, stay), *f_columns([tested.row for tested in [*gone, *stay]])),
        notes,
    )
    return table, model, formula


def _worth(tested: FixedDeletion) -> float:
    """P-value; terms without a column of their own go first."""
    return 2.0 if math.isnan(tested.row.p_value) else tested.row.p_value


def _eliminated(start: list[float], gone: Sequence[Any], stay: Sequence[Any]) -> TableColumn:
    return TableColumn("eliminated", "Eliminated", [*start, *range(1, len(gone) + 1), *(0 for _ in stay)], "df")


def _least_squares(design: DesignMatrices, formula: Formula) -> list[FixedDeletion]:
    """F tests of the marginal terms of a linear model without random effects."""
    full, rank = _residual(design, formula)
    df = design.n - rank
    found = []
    for term in marginal_terms(formula.fixed):
        smaller = without_fixed(formula, term)
        left, small_rank = _residual(design, smaller)
        num_df = rank - small_rank
        row = deletion.without_test(term.label)
        if num_df:
            mean_sq = (left - full) / num_df
            statistic = mean_sq / (full / df)
            row = FRow(term.label, mean_sq, num_df, df, statistic, f_tail(statistic, num_df, df))
        found.append(FixedDeletion(row, smaller))
    return found


def _residual(design: DesignMatrices, formula: Formula) -> tuple[float, int]:
    """Weighted residual sum of squares of a linear model, and the rank of its columns."""
    small = design_of(edited(formula, random=[]), design)
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    y = root * (design.y if design.offset is None else design.y - design.offset)
    x = root[:, None] * small.x_matrix()
    x /= np.maximum(np.linalg.norm(x, axis=0), np.finfo(float).tiny)
    left, singular, _ = np.linalg.svd(x, full_matrices=False)
    basis = left[:, singular > 1e-8]
    residual = y - basis @ (basis.T @ y)
    return float(residual @ residual), basis.shape[1]
