"""`fit.update(new_rows)` and `fit.downdate(rows)`: the cross-products change, Newton's method starts at the old fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from henderson import _core, errors_streaming
from henderson.compiling import compile_design
from henderson.conversion import UNUSABLE, minus
from henderson.design import DesignMatrices
from henderson.model import LinearMixedModel
from henderson.options import warn_unless_converged
from henderson.streaming.ledger import Ledger, Piece
from henderson.streaming.model import StreamedModel, without_rows
from henderson.streaming.problem import StreamedProblem
from henderson.streaming.rows import read_rows


def add_rows(model: LinearMixedModel, data: Any, options: dict[str, Any]) -> LinearMixedModel:
    """The fit with more rows; the arguments are those of `update` and `downdate`."""
    forgetting = _checked_forgetting(options.get("forgetting", 1.0))
    rows = read_rows(model.design, data, weights=options.get("weights"), offset=options.get("offset"))
    ledger = _ledger(model).forgotten(forgetting).plus(rows)
    return _fitted(model, rows, ledger, 1.0, forgetting, bool(options.get("keep_rows", False)))


def remove_rows(model: LinearMixedModel, data: Any, options: dict[str, Any]) -> LinearMixedModel:
    """The fit without some rows."""
    rows = read_rows(model.design, data, weights=options.get("weights"), offset=options.get("offset"))
    for own, new in zip(model.design.factors, rows.factors, strict=True):
        if new.n_levels > own.n_levels:
            raise errors_streaming.rows_not_there(f"'{own.name}' has no level {new.labels[own.n_levels]}")
    ledger = _ledger(model).less(rows)
    if ledger.nobs <= len(model.kept):
        raise errors_streaming.too_few_left(ledger.nobs, len(model.kept))
    return _fitted(model, rows, ledger, -1.0, 1.0, bool(options.get("keep_rows", False)))


def _checked_forgetting(value: Any) -> float:
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not 0 < value <= 1:
        raise errors_streaming.forgetting_invalid(value)
    return float(value)


def _ledger(model: LinearMixedModel) -> Ledger:
    if isinstance(model._problem, StreamedProblem):
        return model._problem.ledger
    return Ledger((Piece(model.stand_in.design, np.empty(0, dtype=np.intp)),))


def _fitted(
    model: LinearMixedModel, rows: DesignMatrices, ledger: Ledger, sign: float, power: float, keep_rows: bool
) -> LinearMixedModel:
    """The fit of a ledger: from the old cross-products where they have a place for the rows, else from all rows."""
    # the last piece has all levels, which is not so after rows were taken out
    named = replace(model.design, factors=rows.factors)
    design = without_rows(named, ledger)
    y: Any = design.y
    threads = model._problem.threads
    core = _updated(model, rows, sign, power)
    problem = StreamedProblem(core, y, ledger, threads)
    found = problem.fit(y, model.is_reml, model.optimum.theta)
    warn_unless_converged(found, stacklevel=4)
    fit = StreamedModel(design, problem, found, y, model.is_reml, model.call)
    return fit.stand_in if keep_rows else fit


def _updated(model: LinearMixedModel, rows: DesignMatrices, sign: float, power: float) -> _core.Problem | None:
    """The core's problem with the rows; None: it is compiled from all rows."""
    if model.aliased:
        return None  # what was dropped may be determined no longer
    y = rows.y if rows.offset is None else minus(rows.y, rows.offset)
    codes = [factor.codes for factor in rows.factors]
    levels = [factor.n_levels for factor in rows.factors]
    terms = [(term.factor, term.columns) for term in rows.terms]
    try:
        return model._problem.with_rows(
            model._y, (y, (rows.x, codes, levels, terms, rows.weights)), sign=sign, power=power
        )
    except UNUSABLE:
        compile_design(rows, y, 1)  # says what it is
        raise
    except ValueError:
        raise errors_streaming.rows_not_there(
            "a level would have fewer than none, or a sum of squares below zero"
        ) from None
