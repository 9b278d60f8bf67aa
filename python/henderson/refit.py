"""Another response, the same design: only what depends on the response is computed again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from henderson import errors, errors_fit
from henderson.compiled import Callback
from henderson.conversion import UNUSABLE, as_float, explain_response, minus
from henderson.options import checked_start
from henderson.solvers.optimising import checked_limit, optimise, warn, watching
from henderson.solvers.stopping import StoppingRule

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel


def refit(
    model: LinearMixedModel,
    y: ArrayLike,
    method: str,
    start: ArrayLike | None,
    max_evaluations: int | None,
    tolerance: float,
    callback: Callback | StoppingRule | None,
) -> LinearMixedModel:
    """Fit a response with one value per row used (offset not subtracted) to the design of a fitted model."""
    limit = checked_limit(method, max_evaluations, tolerance, callback)
    design = model.design
    response = np.array(as_float("y", y))  # a copy: the caller may reuse the buffer for the next response
    if response.ndim == 2 and response.shape[1] == 1:  # a table of one column, as `simulate` returns
        response = response[:, 0].copy()
    if response.shape != design.y.shape:
        raise errors_fit.response_length(response.size, len(design.y))
    index: Any = getattr(y, "index", None)  # of a Series; a method of a list
    if hasattr(index, "equals") and not index.equals(design.index):
        raise errors.index_mismatch("y")
    y_core = response if design.offset is None else minus(response, design.offset)
    own, reml = model._problem, model.is_reml
    theta = None if start is None else checked_start(start, own)
    try:
        watcher = watching(callback, [design.x_names[j] for j in model.kept], own, y_core, reml, method)
        found = optimise(own, y_core, reml, method, theta, tolerance, limit, watcher)
    except UNUSABLE as problem:
        raise explain_response(problem, "y", response, design.offset, None, design.weights) from None
    warn(found, method, stacklevel=3)
    return type(model)(replace(design, y=response), own, found, y_core, reml, model.call)
