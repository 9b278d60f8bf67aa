"""`mixedlm`: a model as statsmodels' MixedLM takes it, fitted as `lmer` fits it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import ArrayLike

from henderson import errors, errors_mixedlm
from henderson.compiled import Callback
from henderson.fitting import lmer
from henderson.interop.mixedlm_formula import MixedLMFormula, mixed_formula, ordered_factors
from henderson.interop.mixedlm_groups import with_groups
from henderson.interop.mixedlm_result import IGNORED, MixedLMResults, check_fit_options
from henderson.tables import open_table

MISSING = {"none": "fail", "raise": "fail", "drop": "drop"}


def mixedlm(
    formula: str,
    data: Any,
    *,
    groups: str | ArrayLike,
    re_formula: str | None = None,
    vc_formula: Mapping[str, str] | None = None,
    use_sqrt: bool = True,
    missing: str = "none",
    reml: bool = True,
    weights: str | ArrayLike | None = None,
    offset: str | ArrayLike | None = None,
    subset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    start: ArrayLike | None = None,
    max_evaluations: int = 200,
    tolerance: float = 1e-10,
    callback: Callback | None = None,
    threads: int = 0,
    progress: bool = False,
    context: Mapping[str, Any] | None = None,
    **ignored: Any,
) -> MixedLMResults:
    """Fit a linear mixed model given with the arguments of statsmodels' ``mixedlm``.

    Parameters
    ----------
    formula
        Response and fixed effects, in patsy's language: ``"y ~ x + C(f)"``.
    data
        A pandas, polars or pyarrow table, or a dict of columns.
    groups
        A column, or one value per row. Rows of different groups are independent.
    re_formula
        Effects that vary over the groups, correlated: ``"~ x"`` or ``"1 + x"`` for intercept and slope, ``"0 + x"``.
        None: an intercept, unless there are variance components.
    vc_formula
        Variance components by name: ``"0 + C(b)"`` is an effect for each level of b within each group, ``"0 + x"`` a
        slope for each group, ``"0 + C(b):x"`` a slope for each level of b within each group; each is independent of all
        others, with a variance of its own. With one group for all rows factors are crossed.
    use_sqrt
        Changes nothing: the optimum does not depend on how it is searched for.
    missing
        What happens to rows with missing values: "none" and "raise" refuse them, "drop" leaves them out and says so in
        the summary.
    reml
        Restricted maximum likelihood; False for maximum likelihood. statsmodels takes it in ``fit()``; so does
        `MixedLMResults.fit`.
    weights, offset, subset, contrasts, start, max_evaluations, tolerance, callback, threads, progress, context
        As in `lmer`.
    **ignored
        Arguments of statsmodels that say how to search: method, start_params, do_cg, niter_sa, full_output, maxiter,
        gtol, ftol, disp, use_sparse and so on. They are accepted and change nothing. Those that change the model (free,
        fe_pen, cov_pen) are refused.

    Returns
    -------
    MixedLMResults
        A fitted model with statsmodels' names besides all others.

    Raises
    ------
    FormulaError
        A formula cannot be read, or asks for something that is not available; the message shows where.
    DataError
        The data do not fit the formulas, or no model can be fitted to them.

    Notes
    -----
    The model is ``lmer("y ~ x + (re_formula | groups) + (1 | b:groups) + ...")``; ``fit.formula`` is that formula. What
    differs from statsmodels, and why, is in `coming from statsmodels`.

    References
    ----------
    Lindstrom, M. J. and Bates, D. M. (1988). Newton-Raphson and EM algorithms for linear mixed-effects models for
    repeated-measures data. Journal of the American Statistical Association 83, 1014-1022.

    Examples
    --------
    >>> import henderson as hd
    >>> sleepstudy = hd.datasets.load_sleepstudy()
    >>> fit = hd.mixedlm("Reaction ~ Days", sleepstudy, groups="Subject", re_formula="~ Days")
    >>> fit.fe_params.round(3).to_dict()
    {'Intercept': 251.405, 'Days': 10.467}
    >>> fit.cov_re.round(1)
             Subject  Days
    Subject    612.1   9.6
    Days         9.6  35.1
    >>> fit = hd.mixedlm("strength ~ 1", hd.datasets.load_pastes(), groups="batch", re_formula="1",
    ...                  vc_formula={"cask": "0 + C(cask)"})
    >>> fit.formula
    'strength ~ 1 + (1 | batch) + (1 | cask:batch)'
    """
    if missing not in MISSING:
        raise errors.choice("missing", missing, tuple(MISSING))
    if not isinstance(use_sqrt, bool):
        raise errors.argument_type("use_sqrt", use_sqrt, "True or False")
    check_fit_options(ignored, (*_OF_LMER, *IGNORED))
    table, described = with_groups(open_table(data), groups)
    text = mixed_formula(formula, table, described, re_formula, vc_formula, context or ())
    fit = lmer(
        text,
        table.source,
        reml=reml,
        weights=weights,
        offset=offset,
        subset=subset,
        contrasts={**ordered_factors(text, table), **(contrasts or {})} or None,
        na_action=MISSING[missing],
        start=start,
        max_evaluations=max_evaluations,
        tolerance=tolerance,
        callback=callback,
        threads=threads,
        progress=progress,
        context=context,
    )
    _check_components(text, fit)
    return MixedLMResults(fit.design, fit._problem, fit._found, fit._y, fit.is_reml, fit.call)


_OF_LMER = (
    *("weights", "offset", "subset", "contrasts", "start", "max_evaluations", "tolerance", "callback", "threads"),
    *("progress", "context", "reml", "missing", "use_sqrt", "re_formula", "vc_formula", "groups"),
)


def _check_components(formula: MixedLMFormula, fit: Any) -> None:
    """Each component has one column: a spline would give each of its columns a variance in common with the others."""
    for component in formula.structure.components:
        term = next(term for term in fit.design.terms if term.part == component.part)
        if len(term.columns) > 1:
            raise errors_mixedlm.vc_columns(component.name, term.names, component.text)
