"""A fit with another formula, other data or other options, with more rows or fewer, and everything else as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from henderson import errors, errors_simulation, errors_streaming
from henderson.absent import in_one_place
from henderson.design import BY_ROW
from henderson.expression import to_text
from henderson.formula_update import update_formula
from henderson.options import check_reml
from henderson.redesign import redesigned

if TYPE_CHECKING:
    from henderson.formula import Formula
    from henderson.model import LinearMixedModel

OF_ROWS = ("weights", "offset", "subset", "na_action")
OF_FIT = ("method", "start", "max_evaluations", "tolerance", "callback", "threads", "progress")
OPTIONS = ("reml", *OF_ROWS, "contrasts", "context", *OF_FIT)
OF_NEW_ROWS = ("weights", "offset", "forgetting", "keep_rows")


def update(
    model: LinearMixedModel, formula: Any = None, *, data: Any = None, rows: Any = None, **options: Any
) -> LinearMixedModel:
    """Fit again with another formula, other data, other options or more rows; what is not named stays as it was.

    Parameters
    ----------
    formula
        ``.`` stands for a side of the old formula: ``". ~ . + x"``, ``". ~ . - (1 | g) + (x | g)"``, ``"log(.) ~ ."``,
        ``". ~ .^2"``; ``"~ . + x"`` keeps the response. Without ``.``, a formula of its own. None: the old one.
        Or a table: `rows`.
    data
        Another table, or the same. None: the rows of the fit, for formulas over the columns that it keeps (all those of
        its formula, also in new transformations, interactions and random terms).
    rows
        A table of rows to add, with the options weights, offset (column name, array or number), forgetting (how much
        the old rows count from now on, in (0, 1]) and keep_rows (return a fit with all rows in one place).
    **options
        Those of `lmer`: reml, weights, offset, subset, contrasts, na_action, context, method, start, max_evaluations,
        tolerance, callback, threads, progress. Without `data`, weights and offset can only be None, for none.

    Returns
    -------
    LinearMixedModel
        Another fit; this one does not change.

    Raises
    ------
    FormulaError
        The formula cannot be read, or removes what is not in the model; the message shows where.
    DataError
        A column is not among those that the fit keeps; an option does not exist, or needs `data`.

    Notes
    -----
    Without `data` the rows are those of the fit, whatever is missing in the variables that go, so that the two fits can
    be compared. With `data` the rows are chosen anew, as `lmer` does. The starting values and tolerances of a fit are
    not kept.

    With `rows` the cross-products of the fit are updated and Newton's method starts at its theta: the result is the fit
    to all rows. All rows are used, without `subset`; levels of grouping factors may be new, values may not be missing.
    Forgetting λ raises the densities of the old rows, given the random effects, to the power λ: they count as λ
    observations each.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> fit.update(". ~ . + I(Days^2) - (Days | Subject) + (1 | Subject)").formula
    'Reaction ~ Days + I(Days^2) + (1 | Subject)'
    >>> fit.update(reml=False).is_reml
    False
    >>> fit.update(hd.datasets.load_sleepstudy()[:10].assign(Subject="400")).ngroups
    {'Subject': 19}
    """
    if rows is None and _is_table(formula):
        formula, rows = None, formula
    if rows is not None:
        if formula is not None or data is not None:
            raise errors_streaming.rows_and_data()
        return _changed_rows(model, rows, options, is_added=True)
    model = in_one_place(model)
    for name in options:
        if name not in OPTIONS:
            raise errors_simulation.update_option_unknown(name, OPTIONS)
    target = model.design.formula if formula is None else update_formula(model.design.formula, formula)
    target.require_mixed()
    return _to_own_rows(model, target, options) if data is None else _to_table(model, target, data, options)


def downdate(model: LinearMixedModel, rows: Any, **options: Any) -> LinearMixedModel:
    """Take rows out of the fit again: its cross-products without theirs, and a Newton step or two.

    Parameters
    ----------
    rows
        A table of rows that are in the fit; a row that is there twice is taken out once.
    **options
        weights, offset and keep_rows, as in `update`.

    Returns
    -------
    LinearMixedModel
        Another fit; this one does not change. Levels that have no rows left stay, with random effects of zero.

    Raises
    ------
    DataError
        The rows are not in the fit, or too few would be left.

    Notes
    -----
    Digits are lost where little is left of much: the error of a cross-product is that of rounding the larger one.

    Examples
    --------
    >>> import henderson as hd
    >>> sleep = hd.datasets.load_sleepstudy()
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    >>> fit.downdate(sleep[sleep["Days"] == 9]).nobs
    162
    """
    return _changed_rows(model, rows, options, is_added=False)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or hasattr(value, "columns") or hasattr(value, "column_names")


def _changed_rows(
    model: LinearMixedModel, rows: Any, options: Mapping[str, Any], *, is_added: bool
) -> LinearMixedModel:
    from henderson.streaming.fitting import add_rows, remove_rows

    known = OF_NEW_ROWS if is_added else tuple(name for name in OF_NEW_ROWS if name != "forgetting")
    for name in options:
        if name not in known:
            method = "update()" if is_added else "downdate()"
            raise errors_streaming.option_unknown(name, method, ", ".join(known))
    return (add_rows if is_added else remove_rows)(model, rows, dict(options))


def _to_table(model: LinearMixedModel, formula: Formula, data: Any, options: Mapping[str, Any]) -> LinearMixedModel:
    """Fit to a table with the arguments of the first fit, where no others are given."""
    from henderson.fitting import lmer

    recipe = model.design.recipe
    remembered: dict[str, Any] = {"reml": model.is_reml, "threads": model._problem.threads, **recipe.arguments}
    if recipe.is_weighted:
        remembered["weights"] = recipe.weights_column or BY_ROW
    if recipe.offset is not None:
        remembered["offset"] = recipe.offset_column or BY_ROW
    merged = {**remembered, **options}
    for name, value in merged.items():
        if isinstance(value, str) and value == BY_ROW:
            raise errors_simulation.update_array_needed(name)
    merged["context"] = _context(model, options)
    if "contrasts" not in options and "contrasts" in merged:
        merged["contrasts"] = _still_used(formula, merged["contrasts"])
    fit: LinearMixedModel = lmer(formula, data, **merged)
    return fit


def _still_used(formula: Formula, contrasts: Mapping[str, Any]) -> dict[str, Any]:
    """The contrasts of the variables that a formula has."""
    sides = (formula.fixed, *(part.effects for part in formula.random_terms))
    labels = {to_text(node) for side in sides for node in side.variables()}
    return {name: value for name, value in contrasts.items() if name in labels}


def _context(model: LinearMixedModel, options: Mapping[str, Any]) -> dict[str, Any]:
    given = options.get("context")
    if given is not None and not isinstance(given, Mapping):
        raise errors.argument_type("context", given, "a dict of functions and constants by name")
    return {**model.design.recipe.context, **(given or {})}


def _to_own_rows(model: LinearMixedModel, formula: Formula, options: Mapping[str, Any]) -> LinearMixedModel:
    """Fit to the rows of the first fit."""
    from henderson.fitting import FitOptions, fit_design

    for name in OF_ROWS:
        if name in options and (options[name] is not None or name == "na_action"):
            raise errors_simulation.update_option_needs_data(name)
    if "subset" in options and "subset" in model.design.recipe.arguments:
        raise errors_simulation.update_option_needs_data("subset")
    reml = options.get("reml", model.is_reml)
    check_reml(reml)
    context = _context(model, options)
    chosen = FitOptions(**{"threads": model._problem.threads, **{n: v for n, v in options.items() if n in OF_FIT}})
    chosen.check(reml)
    contrasts = options.get("contrasts")
    if contrasts is not None and not isinstance(contrasts, Mapping):
        raise errors.argument_type("contrasts", contrasts, "a dict such as {'x': 'sum'}")
    design = model.design
    changes = {"weights", "offset", "contrasts"} & options.keys()
    is_same = formula is design.formula and not changes and chosen.threads == model._problem.threads
    if not is_same:
        design = redesigned(
            design,
            formula,
            contrasts=contrasts,
            context=context,
            is_weighted="weights" not in options,
            has_offset="offset" not in options,
        )
    gone = {name.capitalize() for name in ("weights", "offset") if name in options}
    call = tuple((label, value) for label, value in model.call if label not in gone)
    return fit_design(design, reml, chosen, call, problem=model._problem if is_same else None, stacklevel=4)
