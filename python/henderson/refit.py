"""Another response, the same design: only what depends on the response is computed again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from henderson import errors, errors_fit
from henderson._core import NonFinite
from henderson.compiled import Callback
from henderson.options import check_options, checked_theta, warn_unless_converged

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel


def refit(
    model: LinearMixedModel,
    y: ArrayLike,
    start: ArrayLike | None,
    max_evaluations: int,
    tolerance: float,
    callback: Callback | None,
) -> LinearMixedModel:
    """Fit a response with one value per row used (offset not subtracted) to the design of a fitted model."""
    design = model.design
    try:
        response = np.array(y, dtype=np.float64)  # a copy: the caller may reuse the buffer for the next response
    except (TypeError, ValueError) as reason:
        raise errors_fit.not_numeric("y", reason) from None
    if response.shape != design.y.shape:
        raise errors_fit.response_length(response.size, len(design.y))
    index: Any = getattr(y, "index", None)  # of a Series; a method of a list
    if hasattr(index, "equals") and not index.equals(design.index):
        raise errors.index_mismatch("y")
    y_core = response if design.offset is None else response - design.offset
    check_options(max_evaluations, tolerance, callback)
    theta = None if start is None else checked_theta("start", start, len(model.optimum.theta))
    try:
        found = model._problem.fit(y_core, model.is_reml, theta, tolerance, max_evaluations, callback)
    except NonFinite as problem:
        raise errors_fit.non_finite_array(*problem.args) from None
    warn_unless_converged(found, stacklevel=3)
    return type(model)(replace(design, y=response), model._problem, found, y_core, model.is_reml, model.call)
