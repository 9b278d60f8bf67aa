"""A fit with another formula, other data or other options, and everything else as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from henderson import errors, errors_simulation
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


def update(
    model: LinearMixedModel, formula: str | None = None, *, data: Any = None, **options: Any
) -> LinearMixedModel:
    """Fit again with another formula, other data or other options; what is not named stays as it was.

    Parameters
    ----------
    formula
        ``.`` stands for a side of the old formula: ``". ~ . + x"``, ``". ~ . - (1 | g) + (x | g)"``, ``"log(.) ~ ."``,
        ``". ~ .^2"``; ``"~ . + x"`` keeps the response. Without ``.``, a formula of its own. None: the old one.
    data
        Another table, or the same. None: the rows of the fit, for formulas over the columns that it keeps (all those of
        its formula, also in new transformations, interactions and random terms).
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

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> fit.update(". ~ . + I(Days^2) - (Days | Subject) + (1 | Subject)").formula
    'Reaction ~ Days + I(Days^2) + (1 | Subject)'
    >>> fit.update(reml=False).is_reml
    False
    """
    for name in options:
        if name not in OPTIONS:
            raise errors_simulation.update_option_unknown(name, OPTIONS)
    target = model.design.formula if formula is None else update_formula(model.design.formula, formula)
    target.require_mixed()
    return _to_own_rows(model, target, options) if data is None else _to_table(model, target, data, options)


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
