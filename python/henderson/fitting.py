"""`lmer`: formula and table -> design -> cross-products -> optimum -> fitted model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from henderson import _core, errors
from henderson.compiled import Callback, CompiledProblem, Vector
from henderson.compiling import compile_design
from henderson.conversion import minus
from henderson.design import DesignMatrices, build_design
from henderson.model import LinearMixedModel
from henderson.options import check_options, checked_start, warn_unless_converged


def lmer(
    formula: str,
    data: Any,
    *,
    reml: bool = True,
    weights: str | ArrayLike | None = None,
    offset: str | ArrayLike | None = None,
    subset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "drop",
    start: ArrayLike | None = None,
    max_evaluations: int = 200,
    tolerance: float = 1e-10,
    callback: Callback | None = None,
    threads: int = 0,
    progress: bool = False,
    context: Mapping[str, Any] | None = None,
) -> LinearMixedModel:
    """Fit a linear mixed model.

    Parameters
    ----------
    formula
        In lme4's language: ``"y ~ x + (x | subject) + (1 | item)"``.
    data
        A pandas, polars or pyarrow table, or a dict of columns.
    reml
        Restricted maximum likelihood; False for maximum likelihood.
    weights
        Precision weights, a column or one value per row: row i has variance sigma² / weights[i]; 0 drops the row.
    offset
        Known part of the mean, a column or one value per row; added to ``offset(...)`` terms of the formula.
    subset
        The rows to use.
    contrasts
        Coding of categorical variables, by name.
    na_action
        ``"drop"`` leaves out rows with missing values and counts them in the summary; ``"fail"`` refuses them.
    start
        Theta to start from; by default a moment estimate.
    max_evaluations
        Give up after so many evaluations of the criterion.
    tolerance
        Stop when the expected further drop of the criterion is less than this, in units of deviance.
    callback
        Called as ``callback(theta, criterion, evaluation, decrement)``; a true result stops the fit.
    threads
        Threads to use, at most 1024; 0 chooses by the size of the problem.
    progress
        Show a line on stderr while fitting.
    context
        Functions and constants the formula may use, by name.

    Returns
    -------
    LinearMixedModel
        The fit: print it, or its ``summary()``.

    Raises
    ------
    FormulaError
        The formula cannot be read.
    DataError
        The data do not fit the formula, or no model can be fitted to them.

    Warns
    -----
    ConvergenceWarning
        The optimiser gave up. (A singular fit is a result: it is noted in the summary, without a warning.)

    References
    ----------
    Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting linear mixed-effects models using lme4.
    Journal of Statistical Software 67(1).

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> fit.fixef.round(3).to_dict()
    {'(Intercept)': 251.405, 'Days': 10.467}
    """
    check_options(max_evaluations, tolerance, callback, threads, reml)
    if context is not None and not isinstance(context, Mapping):
        raise errors.argument_type("context", context, "a dict of functions and constants by name")
    design = build_design(
        formula,
        data,
        weights=weights,
        offset=offset,
        subset=subset,
        na_action=na_action,
        contrasts=contrasts,
        context=context,
        data_name=_name(data),
    )
    y = design.y if design.offset is None else minus(design.y, design.offset)
    problem = compile_design(design, y, threads)
    theta = None if start is None else checked_start(start, problem)
    if progress:
        found = _fit_showing_progress(problem, y, reml, theta, tolerance, max_evaluations, callback)
    else:
        found = problem.fit(y, reml, theta, tolerance, max_evaluations, callback)
    warn_unless_converged(found, stacklevel=2)
    return LinearMixedModel(design, problem, found, y, bool(reml), _call(design, weights, offset, subset))


def _fit_showing_progress(
    problem: CompiledProblem,
    y: Vector,
    reml: bool,
    theta: Any,
    tolerance: float,
    max_evaluations: int,
    callback: Callback | None,
) -> _core.Optimum:
    from henderson.progress import ProgressLine

    line = ProgressLine(tolerance, callback)
    try:
        return problem.fit(y, reml, theta, tolerance, max_evaluations, line)
    finally:
        line.close()


def _name(data: Any) -> str:
    """What the table calls itself: pandas' ``data.attrs["name"]``."""
    attributes = getattr(data, "attrs", None)
    name = attributes.get("name") if isinstance(attributes, dict) else None
    return name if isinstance(name, str) else ""


def _call(design: DesignMatrices, weights: Any, offset: Any, subset: Any) -> tuple[tuple[str, str], ...]:
    """What is printed below the formula: names where there are names."""
    given = (("Data", design.data_name), ("Weights", weights), ("Offset", offset), ("Subset", subset))
    return tuple((label, value) for label, value in given if isinstance(value, str) and value)
