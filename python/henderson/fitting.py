"""`lmer`: formula and table -> design -> cross-products -> optimum -> fitted model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

from numpy.typing import ArrayLike

from henderson import errors, errors_moments
from henderson.compiled import Callback, CompiledProblem
from henderson.compiling import compile_design
from henderson.conversion import minus
from henderson.design import DesignMatrices, build_design
from henderson.formula import Formula
from henderson.model import LinearMixedModel
from henderson.moments import fitting as moments
from henderson.moments.result import MomentFit
from henderson.options import checked_start
from henderson.progress import ProgressLine
from henderson.solvers.loop import NEWTON
from henderson.solvers.optimising import checked_limit, optimise, warn, watching
from henderson.solvers.stopping import StoppingRule

MOMENTS = "moments"


@overload
def lmer(
    formula: str | Formula,
    data: Any,
    *,
    method: Literal["moments"],
    weights: str | ArrayLike | None = ...,
    offset: str | ArrayLike | None = ...,
    subset: Any = ...,
    contrasts: Mapping[str, Any] | None = ...,
    na_action: str = ...,
    context: Mapping[str, Any] | None = ...,
    group_size_effect: bool | str | Sequence[str] = ...,
) -> MomentFit: ...


@overload
def lmer(
    formula: str | Formula,
    data: Any,
    *,
    reml: bool = ...,
    weights: str | ArrayLike | None = ...,
    offset: str | ArrayLike | None = ...,
    subset: Any = ...,
    contrasts: Mapping[str, Any] | None = ...,
    na_action: str = ...,
    method: Literal["newton", "em", "px-em", "mm"] = ...,
    start: ArrayLike | None = ...,
    max_evaluations: int | None = ...,
    tolerance: float = ...,
    callback: Callback | StoppingRule | None = ...,
    threads: int = ...,
    progress: bool = ...,
    context: Mapping[str, Any] | None = ...,
) -> LinearMixedModel: ...


def lmer(
    formula: str | Formula,
    data: Any,
    *,
    reml: bool = True,
    weights: str | ArrayLike | None = None,
    offset: str | ArrayLike | None = None,
    subset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "drop",
    method: str = "newton",
    start: ArrayLike | None = None,
    max_evaluations: int | None = None,
    tolerance: float = 1e-10,
    callback: Callback | StoppingRule | None = None,
    threads: int = 0,
    progress: bool = False,
    context: Mapping[str, Any] | None = None,
    group_size_effect: bool | str | Sequence[str] = False,
) -> LinearMixedModel | MomentFit:
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
    method
        ``"newton"``; or ``"em"``, ``"px-em"`` or ``"mm"``, for the same optimum in more and smaller steps, none of them
        up.
        ``"moments"`` estimates the variances of random intercepts without a likelihood, see `fit_moments`.
    start
        Theta to start from; by default a moment estimate. The methods other than Newton's start inside the boundary.
    max_evaluations
        Give up after so many evaluations of the criterion: by default 200, 10,000 for the other methods.
    tolerance
        Stop when the expected further drop of the criterion, by a Newton step, is less than this, in units of deviance.
    callback
        Called as ``callback(theta, criterion, evaluation, decrement)``; a true result stops the fit. Or a rule such as
        ``stop_when_stable("x", by=0.1)``.
    threads
        Threads to use, at most 1024; 0 chooses by the size of the problem.
    progress
        Show a line on stderr while fitting.
    context
        Functions and constants the formula may use, by name.
    group_size_effect
        With ``"moments"``: add the number of rows of a row's group to the fixed effects. True for every grouping
        factor, or the names of some.

    Returns
    -------
    LinearMixedModel
        The fit: print it, or its ``summary()``. With ``method="moments"`` a `MomentFit`.

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
    options = FitOptions(start, max_evaluations, tolerance, callback, threads, progress, method)
    is_moments = options.is_moments
    if is_moments:
        options.check_moments(reml)
    else:
        options.check(reml, group_size_effect)
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
    call = _call(design, weights, offset, subset)
    if is_moments:
        return moments.fit_design(design, group_size_effect, call)
    return fit_design(design, reml, options, call, stacklevel=3)


@dataclass(frozen=True, eq=False)
class FitOptions:
    """How a design is fitted; see `lmer`."""

    start: ArrayLike | None = None
    max_evaluations: int | None = None
    tolerance: float = 1e-10
    callback: Callback | StoppingRule | None = None
    threads: int = 0
    progress: bool = False
    method: str = NEWTON

    @property
    def is_moments(self) -> bool:
        """Whether there is no likelihood to maximise."""
        method: Any = self.method
        return isinstance(method, str) and method == MOMENTS

    def check_moments(self, reml: bool) -> None:
        """Refuse what a fit without a likelihood has no use for."""
        given = {"reml": reml is not True, "tolerance": self.tolerance != FitOptions.tolerance}
        given |= {name: getattr(self, name) is not None for name in ("start", "max_evaluations", "callback")}
        wrong = [name for name, is_given in given.items() if is_given]
        if wrong:
            raise errors_moments.option_without_likelihood(wrong)

    def check(self, reml: bool, group_size_effect: Any = False) -> int:
        """Refuse options that mean nothing; evaluations after which to give up."""
        if group_size_effect is not False:
            raise errors_moments.option_needs_moments("group_size_effect")
        own = (self.method, self.max_evaluations, self.tolerance, self.callback, self.threads)
        return checked_limit(*own, reml, (MOMENTS,))


def fit_design(
    design: DesignMatrices,
    reml: bool,
    options: FitOptions,
    call: tuple[tuple[str, str], ...],
    *,
    problem: CompiledProblem | None = None,
    stacklevel: int = 2,
) -> LinearMixedModel:
    """Compile a design, unless its `problem` is given, and fit it; warnings are the caller's."""
    y = design.y if design.offset is None else minus(design.y, design.offset)
    problem = compile_design(design, y, options.threads) if problem is None else problem
    theta = None if options.start is None else checked_start(options.start, problem)
    names = [design.x_names[j] for j in problem.kept]
    callback = watching(options.callback, names, problem, y, reml, options.method)
    line = ProgressLine(options.tolerance, callback) if options.progress else None
    arguments = (theta, options.tolerance, options.check(reml), callback if line is None else line)
    try:
        found = optimise(problem, y, reml, options.method, *arguments)
    finally:
        if line is not None:
            line.close()
    warn(found, options.method, stacklevel)
    return LinearMixedModel(design, problem, found, y, bool(reml), call)


def _name(data: Any) -> str:
    """What the table calls itself: pandas' ``data.attrs["name"]``."""
    attributes = getattr(data, "attrs", None)
    name = attributes.get("name") if isinstance(attributes, dict) else None
    return name if isinstance(name, str) else ""


def _call(design: DesignMatrices, weights: Any, offset: Any, subset: Any) -> tuple[tuple[str, str], ...]:
    """What is printed below the formula: names where there are names."""
    given = (("Data", design.data_name), ("Weights", weights), ("Offset", offset), ("Subset", subset))
    return tuple((label, value) for label, value in given if isinstance(value, str) and value)
