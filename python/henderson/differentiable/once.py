"""The criterion and its gradients for a single response."""

from __future__ import annotations

from collections.abc import Iterable

from numpy.typing import ArrayLike

from henderson.array_inputs import RandomTerm
from henderson.differentiable.objective import RemlObjective
from henderson.differentiable.value import ObjectiveValue


def reml_objective(
    y: ArrayLike,
    X: ArrayLike | None,
    terms: RandomTerm | Iterable[RandomTerm],
    *,
    theta: ArrayLike | None = None,
    log_sigma: float | None = None,
    reml: bool = True,
    weights: ArrayLike | None = None,
    with_X: bool = False,
) -> ObjectiveValue:
    """REML criterion or deviance of a response with exact gradients in the response, X, theta and sigma, once.

    Parameters
    ----------
    y
        Response, or what a model of the mean leaves of it, shape (n,).
    X
        Fixed-effects columns, shape (n, p); None for none.
    terms
        The random terms, or the only one.
    theta, log_sigma
        As in `RemlObjective.value_and_gradient`; None for the best ones.
    reml, weights
        As in `RemlObjective`, which is what to use for many responses to one design.
    with_X
        Whether to give the gradient in the columns of X too.

    Returns
    -------
    ObjectiveValue
        Value and gradients.

    Raises
    ------
    DataError
        As `RemlObjective` and its `value_and_gradient`.

    Examples
    --------
    >>> import numpy as np
    >>> from henderson import RandomTerm
    >>> from henderson.differentiable import reml_objective
    >>> y, group = np.array([1.0, 3.0, 2.0, 5.0, 9.0, 8.0]), np.array([0, 0, 1, 1, 2, 2])
    >>> at = reml_objective(y, np.ones(6), RandomTerm(group), theta=[1.5], log_sigma=0.0)
    >>> at.theta_gradient.round(3), round(at.log_sigma_gradient, 3)
    (array([-7.008]), -20.848)
    """
    return RemlObjective(X, terms, reml=reml, weights=weights).value_and_gradient(y, theta, log_sigma, with_X=with_X)
