"""The criterion at one point, with its gradients there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ObjectiveValue:
    """The criterion at one point, and its gradients there.

    Attributes
    ----------
    value
        REML criterion, or deviance: -2 times the log-likelihood, all constants included.
    y_gradient
        In the response, shape (n,); in the mean that was subtracted from it, the same with the other sign.
    theta_gradient
        In theta; None at the inner optimum, where it is zero (or points out of the parameter space).
    log_sigma_gradient
        In log(sigma); None where sigma is profiled out.
    theta, sigma
        Where this is: as given, or the best ones.
    beta
        Fixed effects of the columns of X that were kept.
    X_gradient
        In the columns of X, shape (n, p); None where it was not asked for.
    """

    value: float
    y_gradient: Vector
    theta_gradient: Vector | None
    log_sigma_gradient: float | None
    theta: Vector
    sigma: float
    beta: Vector
    X_gradient: Matrix | None = None

    def __repr__(self) -> str:
        theta = ", ".join(f"{value:.6g}" for value in self.theta)
        return f"<ObjectiveValue: {self.value:.10g} at theta [{theta}], sigma {self.sigma:.6g}>"
