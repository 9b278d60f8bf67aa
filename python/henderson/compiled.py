"""The compiled problem behind a fit: one cross-product, shared by all responses fitted with the same design."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import _core, errors_fit

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Callback = Callable[[Vector, float, int, float], object]
NO_PROGRESS = "no progress"


@dataclass(frozen=True, eq=False)
class Solution:
    """Everything that follows from one theta.

    Attributes
    ----------
    beta
        Fixed effects of the columns kept, shape (rank,).
    unscaled_vcov
        (X'V⁻¹X)⁻¹ with V = Cov(y) / sigma², shape (rank, rank).
    sigma
        Residual standard deviation.
    pwrss
        Penalised weighted residual sum of squares.
    b, u
        Per term (levels, s): conditional modes, and the same on the spherical scale (b = lam u).
    log_det_l, log_det_rx
        log|L|² and log|R_X|².
    """

    criterion: float
    beta: Vector
    unscaled_vcov: Matrix
    sigma: float
    pwrss: float
    b: tuple[Matrix, ...]
    u: tuple[Matrix, ...]
    log_det_l: float
    log_det_rx: float


class CompiledProblem:
    """The core's `Problem`, made safe to share.

    Fits of several responses to one design share it: each call first makes sure that the response is the caller's.
    A lock keeps threads apart (the core works in one workspace). Pickles hold the arrays; the problem is compiled again
    when it is next needed.
    """

    __slots__ = ("_arguments", "_lock", "_problem", "_threads", "_y")

    def __init__(
        self,
        y: Vector,
        x: Sequence[Vector | None],
        codes: Sequence[NDArray[np.int32]],
        levels: Sequence[int],
        terms: Sequence[tuple[int, Sequence[Vector | None]]],
        weights: Vector | None,
        threads: int,
    ) -> None:
        self._arguments = (x, codes, levels, terms, weights)
        self._threads = threads
        self._lock = threading.Lock()
        self._y = y
        self._problem: _core.Problem | None = _core.Problem(y, x, codes, levels, terms, weights, threads=threads)
        if self._problem.p >= len(y):
            raise errors_fit.too_few_rows(len(y), self._problem.p)

    def _holding(self, y: Vector) -> _core.Problem:
        """Give the core's problem, with `y` as its response."""
        problem = self._problem
        if problem is None:
            problem = self._problem = _core.Problem(y, *self._arguments, threads=self._threads)
        elif y is not self._y:
            problem.set_response(y)
        self._y = y
        return problem

    @property
    def kept(self) -> list[int]:
        """Indices of the columns of X that are not aliased."""
        with self._lock:
            return self._holding(self._y).kept

    @property
    def theta_size(self) -> int:
        """Number of covariance parameters."""
        with self._lock:
            return self._holding(self._y).theta_size

    def fit(
        self,
        y: Vector,
        reml: bool,
        start: Vector | None = None,
        tolerance: float = 1e-10,
        max_evaluations: int = 200,
        callback: Callback | None = None,
    ) -> _core.Optimum:
        """Optimise the criterion of `y`."""
        with self._lock:
            problem = self._holding(y)
            found = problem.fit(
                reml, start=start, tolerance=tolerance, max_evaluations=max_evaluations, callback=callback
            )
            if found.status == NO_PROGRESS and _is_exact(problem, y, found.theta, reml):
                raise errors_fit.exact_fit()
            return found

    def fit_responses(self, y: Matrix, reml: bool, **options: Any) -> dict[str, NDArray[Any]]:
        """Fit every column of `y` (n, r)."""
        with self._lock:
            return self._holding(self._y).fit_responses(y, reml, **options)

    def criterion(self, y: Vector, theta: Vector, reml: bool) -> float:
        """REML criterion or deviance of `y` at theta."""
        with self._lock:
            return self._holding(y).criterion(theta, reml)

    def solve(self, y: Vector, theta: Vector, reml: bool) -> Solution:
        """Solve for all that follows from theta."""
        with self._lock:
            at = self._holding(y).solve(theta, reml)
        return Solution(
            at.criterion,
            at.beta,
            at.unscaled_vcov,
            at.sigma,
            at.pwrss,
            tuple(at.b),
            tuple(at.u),
            at.log_det_l,
            at.log_det_rx,
        )

    def conditional_variances(self, y: Vector, theta: Vector, reml: bool) -> list[Matrix]:
        """Per term (levels, s, s): variances of the random effects given y, beta and theta."""
        with self._lock:
            return self._holding(y).conditional_variances(theta, reml)

    def __getstate__(self) -> tuple[Any, ...]:
        return self._y, self._arguments, self._threads

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._y, self._arguments, self._threads = state
        self._lock = threading.Lock()
        self._problem = None


def _is_exact(problem: _core.Problem, y: Vector, theta: Vector, reml: bool) -> bool:
    """Whether the model leaves no residual variance to estimate."""
    if not np.isfinite(problem.criterion(theta, reml)):
        return True
    return problem.solve(theta, reml).sigma <= 1e-7 * float(np.std(y))
