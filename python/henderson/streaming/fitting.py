"""`fit.update(new_rows)` and `fit.downdate(rows)`: the cross-products change, Newton's method starts at the old fit."""

from __future__ import annotations

from typing import Any

from henderson import errors_streaming
from henderson.design import DesignMatrices
from henderson.model import LinearMixedModel
from henderson.options import warn_unless_converged
from henderson.streaming.ledger import Ledger, checked_forgetting, ledger_of
from henderson.streaming.model import StreamedModel
from henderson.streaming.problem import changed
from henderson.streaming.rows import read_rows


def add_rows(model: LinearMixedModel, data: Any, options: dict[str, Any]) -> LinearMixedModel:
    """The fit with more rows; the arguments are those of `update` and `downdate`."""
    forgetting = checked_forgetting(options.get("forgetting", 1.0))
    names, ledger = _rows_so_far(model)
    rows = read_rows(names, data, weights=options.get("weights"), offset=options.get("offset"))
    return _fitted(model, rows, ledger.plus(rows, forgetting), 1.0, forgetting, bool(options.get("keep_rows", False)))


def remove_rows(model: LinearMixedModel, data: Any, options: dict[str, Any]) -> LinearMixedModel:
    """The fit without some rows."""
    names, ledger = _rows_so_far(model)
    rows = read_rows(names, data, weights=options.get("weights"), offset=options.get("offset"))
    for own, new in zip(names.factors, rows.factors, strict=True):
        if new.n_levels > own.n_levels:
            raise errors_streaming.rows_not_there(f"'{own.name}' has no level {new.labels[own.n_levels]}")
    ledger = ledger.less(rows)
    if ledger.nobs <= len(model.kept):
        raise errors_streaming.too_few_left(ledger.nobs, len(model.kept))
    return _fitted(model, rows, ledger, -1.0, 1.0, bool(options.get("keep_rows", False)))


def _rows_so_far(model: LinearMixedModel) -> tuple[DesignMatrices, Ledger]:
    """Names and levels of a fit, and its rows."""
    if isinstance(model, StreamedModel):
        return model._rows, model._problem.ledger
    return model.design, ledger_of(model.stand_in.design)


def _fitted(
    model: LinearMixedModel, rows: DesignMatrices, ledger: Ledger, sign: float, power: float, keep_rows: bool
) -> LinearMixedModel:
    """The fit of a ledger: from the old cross-products where they have a place for the rows, else from all rows."""
    has_dropped = len(model.kept) < len(rows.x)
    problem = changed(model._problem, model._y, rows, ledger, sign=sign, power=power, has_dropped=has_dropped)
    start = model.optimum.theta if model._found is None else model._found.theta
    found = problem.fit(problem.guard, model.is_reml, start)
    warn_unless_converged(found, stacklevel=4)
    fit = StreamedModel(rows, problem, found, problem.guard, model.is_reml, model.call)
    return fit.stand_in if keep_rows else fit
