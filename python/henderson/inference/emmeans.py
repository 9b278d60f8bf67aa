"""Estimated marginal means: predictions at a reference grid, averaged; and slopes in the same way.

Marginal means are L beta with the rows of L averages of rows of the model matrix at the grid, so that each has a
standard error, degrees of freedom and tests as any contrast of the fixed effects has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from henderson import errors, errors_means
from henderson.absent import mean_of
from henderson.expression import Call, Name, columns_of, strip_parentheses, to_text
from henderson.inference.degrees import FixedEffectTests, fixed_effect_tests
from henderson.inference.distributions import check_level
from henderson.inference.grid_columns import Reduction, kind_of, numbers, reduced
from henderson.inference.linear_estimates import LinearEstimates
from henderson.inference.marginal_means import By, MarginalMeans
from henderson.inference.reference_grid import ReferenceGrid, grid_names, reference_grid, slope_grid

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel


def emmeans(
    model: LinearMixedModel,
    specs: str | Sequence[str],
    *,
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    ddf: str = "satterthwaite",
    vcov: Any = "model",
    cluster: Any = None,
    level: float = 0.95,
    weights: str = "equal",
    cov_reduce: Reduction | Mapping[str, Reduction] | bool = np.mean,
    cov_keep: int | Sequence[str] = 2,
    offset: float | None = None,
) -> MarginalMeans:
    """Estimated marginal means (least-squares means) of the levels of some variables.

    Parameters
    ----------
    specs
        Variables of the fixed effects: ``"treatment"``, ``["treatment", "sex"]``, ``"treatment * sex"``;
        ``"treatment | sex"`` puts sex into `by`; ``"1"`` is the overall mean.
    by
        Variables whose combinations are shown, compared and adjusted apart.
    at
        Values of variables by name, instead of all levels of a factor or the mean of a numeric variable.
    ddf
        Degrees of freedom: ``"satterthwaite"``, ``"kenward-roger"``, ``"residual"`` or ``"normal"``.
    vcov
        Covariance matrix of the fixed effects: ``"model"``, or a cluster-robust kind such as ``"CR2"``.
    cluster
        What the rows are clustered by, for a robust kind.
    level
        Of the confidence intervals.
    weights
        How the other factors are averaged over: ``"equal"`` weights to all combinations of their levels;
        ``"proportional"`` to the frequency of each combination in the data; ``"outer"``, to the product of the
        frequencies of each factor; ``"cells"``, to the frequency of each cell, which differ from mean to mean;
        ``"flat"``, equal to all cells that occur. Frequencies are numbers of rows.
    cov_reduce
        What numeric variables are held at: a function of their values or a dict of functions by name; False keeps all
        their values.
    cov_keep
        Numeric variables with at most so many values (or those of these names) are treated as factors.
    offset
        In place of the mean of the model's offset.

    Returns
    -------
    MarginalMeans
        Print it; ``.to_frame()``, ``.contrasts()``, ``.pairs()``, ``.joint_tests()``, ``.confint()``.

    Raises
    ------
    DataError
        A name is no variable of the fixed effects, or a value is not one of its levels.

    Notes
    -----
    The rules are those of R's emmeans. Transformed variables (``log(x)``, ``poly(x, 2)``, ``scale(x)``) are computed
    from the mean of x, with what they learned from the data. Means that the data do not determine, because columns of
    X are aliased, are NaN and print as nonEst.

    References
    ----------
    Searle, S. R., Speed, F. M. and Milliken, G. A. (1980). Population marginal means in the linear model: an
    alternative to least squares means. American Statistician 34, 216-221.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("weight ~ Lsize + Treatment + sex + (1 | Litter)", hd.datasets.load_ratpup())
    >>> means = fit.emmeans("Treatment")
    >>> print(means)
     Treatment emmean    SE   df lower.CL upper.CL
     Control     6.41 0.106 22.7     6.19     6.63
     Low         5.98 0.107 22.9     5.76     6.20
     High        5.55 0.148 24.9     5.25     5.86
    <BLANKLINE>
    Results are averaged over the levels of: sex
    Degrees-of-freedom method: satterthwaite
    Confidence level used: 0.95
    >>> means.pairs().to_frame()["p_value"].round(4).tolist()
    [0.0238, 0.0002, 0.0622]
    """
    check_level(level)
    known, _ = grid_names(model.design)
    names, groups = _specs(specs, by, known)
    grid = reference_grid(model, at=at, cov_reduce=cov_reduce, cov_keep=cov_keep)
    constant = _mean_offset(model.design) if offset is None else float(offset)
    tests = fixed_effect_tests(model, ddf, vcov, cluster)
    estimates = _estimates(tests, model, grid, names, groups, weights, constant)
    notes = _notes(model.design, estimates, names, weights)
    averaged = _averaged(grid, names)
    return MarginalMeans(estimates, "emmean", level, averaged, response_scale(model.design), notes)


def emtrends(
    model: LinearMixedModel,
    variable: str,
    specs: str | Sequence[str] = "1",
    *,
    by: str | Sequence[str] | None = None,
    at: Mapping[str, Any] | None = None,
    ddf: str = "satterthwaite",
    vcov: Any = "model",
    cluster: Any = None,
    level: float = 0.95,
    weights: str = "equal",
    cov_reduce: Reduction | Mapping[str, Reduction] | bool = np.mean,
    cov_keep: int | Sequence[str] = 2,
) -> MarginalMeans:
    """Slopes in a numeric variable (simple slopes) at the levels of others, averaged as `emmeans` does.

    Parameters
    ----------
    variable
        The slope is the derivative in this one, at its mean or at the values in `at`.
    specs, by, at, ddf, vcov, cluster, level, weights, cov_reduce, cov_keep
        As in `emmeans`; by default one slope overall.

    Returns
    -------
    MarginalMeans
        With the slopes in place of the means.

    Raises
    ------
    DataError
        `variable` is not a numeric variable of the fixed effects.

    Notes
    -----
    The derivative of the model matrix is a central difference with a step of 1e-4 of the range of the variable: exact
    for what is linear or quadratic in it.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("angle ~ recipe * temp + (1 | recipe:replicate)", hd.datasets.load_cake())
    >>> print(fit.emtrends("temp", "recipe"))
     recipe temp.trend     SE  df lower.CL upper.CL
     A           0.154 0.0282 222   0.0981    0.209
     B           0.165 0.0282 222   0.1090    0.220
     C           0.156 0.0282 222   0.1002    0.211
    <BLANKLINE>
    Degrees-of-freedom method: satterthwaite
    Confidence level used: 0.95
    """
    check_level(level)
    design = model.design
    known, coerced = grid_names(design)
    if variable not in known:
        raise errors_means.variable_unknown("variable", variable, known)
    if variable in coerced or kind_of(design, variable) != "number":
        raise errors_means.trend_not_numeric(variable)
    names, groups = _specs(specs, by, known)
    held = dict(at or {})
    held.setdefault(variable, reduced(variable, numbers(design, variable), cov_reduce))
    grid = reference_grid(model, at=held, cov_reduce=cov_reduce, cov_keep=cov_keep)
    slopes = slope_grid(model, variable, grid)
    tests = fixed_effect_tests(model, ddf, vcov, cluster)
    estimates = _estimates(tests, model, slopes, names, groups, weights, 0.0)
    notes = _notes(design, estimates, (*names, variable), weights)
    return MarginalMeans(estimates, f"{variable}.trend", level, _averaged(grid, names), "", notes)


def response_scale(design: DesignMatrices) -> str:
    """The transformation of the response, ``log`` or ``sqrt(y + 1)``; empty if there is none."""
    node = None if design.formula.response is None else strip_parentheses(design.formula.response)
    if node is None or isinstance(node, Name) or (isinstance(node, Call) and node.function in ("I", "identity")):
        return ""
    if isinstance(node, Call) and len(node.arguments) == 1 and isinstance(node.arguments[0][1], Name):
        return node.function
    return to_text(node)


def _specs(specs: Any, by: By, known: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The variables of the means, those of the groups last, and the latter alone."""
    groups = [by] if isinstance(by, str) else list(by or ())
    if isinstance(specs, str):
        names, more = _parsed(specs, known)
        groups = [*more, *groups]
    elif isinstance(specs, Sequence) or hasattr(specs, "__iter__"):
        names = list(specs)
        if not names:
            raise errors_means.specs_empty()
    else:
        raise errors.argument_type("specs", specs, "the name of a variable, or a list of names")
    every = [*names, *groups]
    for role, own in (("specs", names), ("by", groups)):
        for name in own:
            if name not in known:
                raise errors_means.variable_unknown(role, name, known)
    for name in every:
        if every.count(name) > 1:
            raise errors_means.variable_repeated(name)
    return tuple(every), tuple(groups)


def _parsed(text: str, known: Sequence[str]) -> tuple[list[str], list[str]]:
    """``"a * b | c"`` as names and groups; ``"1"`` is no name."""
    if text in known:
        return [text], []
    before, _, after = text.rpartition("~")
    if before.strip():
        raise errors_means.specs_contrast(text)
    parts = [[word.strip().strip("`") for word in re.split(r"[*+:]", part)] for part in after.split("|")]
    if len(parts) > 2 or any(not word for part in parts for word in part):
        raise errors_means.specs_invalid(text)
    names = [word for word in parts[0] if word not in ("1", "0")]
    return names, parts[1] if len(parts) == 2 else []


def _estimates(
    tests: FixedEffectTests,
    model: LinearMixedModel,
    grid: ReferenceGrid,
    names: Sequence[str],
    groups: tuple[str, ...],
    weights: str,
    offset: float,
) -> LinearEstimates:
    functions = grid.averages(names, weights)
    labels = grid.cells(names) if names else {"1": ["overall"]}
    constants = np.full(len(functions), offset)
    return LinearEstimates(tests, model.row_facts.estimability, labels, groups, functions, constants)


def _averaged(grid: ReferenceGrid, names: Sequence[str]) -> str:
    others = grid.averaged_over(names)
    return f"Results are averaged over the levels of: {', '.join(others)}" if others else ""


def _mean_offset(design: DesignMatrices) -> float:
    return 0.0 if design.offset is None else mean_of(design.offset)


def _notes(design: DesignMatrices, estimates: LinearEstimates, names: Sequence[str], weights: str) -> tuple[str, ...]:
    """Whether some variable of the means interacts with one that is not, and whether cells are missing."""
    notes = []
    terms = [{name.name for v in term.variables for name in columns_of(v)} for term in design.formula.fixed.terms]
    if names and any(set(names) < term for term in terms):
        notes.append(errors_means.interaction_note())
    if weights in ("equal", "proportional", "outer") and not estimates.is_estimable.all():
        notes.append(errors_means.empty_cells_note())
    return tuple(notes)
