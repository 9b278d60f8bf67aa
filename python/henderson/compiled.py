"""The compiled problem behind a fit: one cross-product, shared by all responses fitted with the same design."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import _core, errors_fit
from henderson.conversion import extreme_root, require_weighted_scale
from henderson.errors import DataError
from henderson.optimum import CONVERGED, EXPECTED_DROP

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Callback = Callable[[Vector, float, int, float], object]
Arrays = tuple[
    Sequence[Vector | None],
    Sequence[NDArray[np.int32]],
    Sequence[int],
    Sequence[tuple[int, Sequence[Vector | None]]],
    Vector | None,
]
NO_PROGRESS = "no progress"
CONVERGED_CODE, NO_PROGRESS_CODE = 0, 3  # in the status of `fit_responses`

MOST_RELATIVE = 1e16
"""Random effects larger than this many residual standard deviations leave no digit to the residuals."""


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

    __slots__ = ("_arguments", "_limits", "_lock", "_problem", "_represented", "_root", "_threads", "_y")

    def __init__(
        self,
        y: Vector,
        x: Sequence[Vector | None],
        codes: Sequence[NDArray[np.int32]],
        levels: Sequence[int],
        terms: Sequence[tuple[int, Sequence[Vector | None]]],
        weights: Vector | None,
        threads: int,
        represented: tuple[int, float] | None = None,
    ) -> None:
        """`represented`: number and sum of log weights of the rows that these rows stand for, see `compression`."""
        self._arguments: Arrays = (x, codes, levels, terms, weights)
        self._represented = represented
        self._threads = threads
        self._limits: Vector | None = None
        self._lock = threading.Lock()
        self._y = y
        self._problem: _core.Problem | None = self._compile(y)
        self._root = extreme_root(weights)
        if self._root is not None:
            self._require_weighted_scale(self._root, y)
        if self._problem.p >= self.nobs:
            raise errors_fit.too_few_rows(self.nobs, self._problem.p)

    def _compile(self, y: Vector) -> _core.Problem:
        return _core.Problem(y, *self._arguments, threads=self._threads, represented=self._represented)

    def _holding(self, y: Vector) -> _core.Problem:
        """Give the core's problem, with `y` as its response."""
        problem = self._problem
        if problem is None:
            problem = self._problem = self._compile(y)
        elif y is not self._y:
            if self._root is not None:
                require_weighted_scale(self._root, "y", 0, y)
            problem.set_response(np.asarray(y))  # not a guard: a fit may be without its rows
        self._y = y
        return problem

    @property
    def nobs(self) -> int:
        """The number of observations: of rows, or of those that they stand for."""
        return len(self._y) if self._represented is None else self._represented[0]

    @property
    def threads(self) -> int:
        """The number of threads asked for, 0 for as many as are useful."""
        return self._threads

    @property
    def arrays(self) -> Arrays:
        """What was compiled: columns of X, codes and levels of the factors, (factor, columns) of the terms, weights."""
        return self._arguments

    @property
    def kept(self) -> list[int]:
        """Indices of the columns of X that are not aliased."""
        with self._lock:
            return self._holding(self._y).kept

    @property
    def block_description(self) -> list[dict[str, Any]]:
        """How the core lays out the Cholesky factor."""
        with self._lock:
            return self._holding(self._y).block_description

    @property
    def theta_limits(self) -> Vector:
        """Largest size of each element of theta that leaves digits to the residuals."""
        if self._limits is None:
            _, _, _, terms, weights = self._arguments
            self._limits = _theta_limits([columns for _, columns in terms], weights)
        return self._limits

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
            if not 0 < found.decrement <= tolerance:  # an honest fit, nearly always
                self._require_residuals(problem, y, found, reml)
            return found

    def fit_responses(
        self, y: Matrix, reml: bool, start: Vector | None, tolerance: float, max_evaluations: int, threads: int
    ) -> dict[str, NDArray[Any]]:
        """Fit every column of `y` (n, r); those that the model fits exactly have not converged."""
        options: dict[str, Any] = {"start": start, "tolerance": tolerance, "max_evaluations": max_evaluations}
        if self._root is not None:
            for r in range(y.shape[1]):
                require_weighted_scale(self._root, "y", r, y[:, r])
        with self._lock:
            found = self._holding(self._y).fit_responses(y, reml, threads=threads, **options)
        for r in _without_residuals(y, found["sigma"]):
            if found["status"][r] == CONVERGED_CODE:
                try:
                    self.fit(np.ascontiguousarray(y[:, r]), reml, **options)
                except DataError:
                    found["status"][r] = NO_PROGRESS_CODE
        return found

    def criterion(self, y: Vector, theta: Vector, reml: bool) -> float:
        """REML criterion or deviance of `y` at theta."""
        with self._lock:
            return self._holding(y).criterion(theta, reml)

    def gradient(self, y: Vector, theta: Vector, reml: bool) -> tuple[float, Vector]:
        """The criterion of `y` at theta and its exact gradient in theta, sigma profiled out."""
        with self._lock:
            return self._holding(y).gradient(theta, reml)

    def deviance_parts(self, y: Vector, factors: Vector) -> tuple[float, float, Vector, Vector, Vector]:
        """The ML deviance of `y` before sigma is profiled out, at square relative factors lam_t.

        Parameters
        ----------
        y
            The response.
        factors
            Row after row, term after term, shape (sum of s²,).

        Returns
        -------
        log_det, pwrss
            log|V| and the penalised residual sum of squares: d = log|V| + n log(2 pi sigma²) + pwrss / sigma².
        log_det_slope, pwrss_slope
            Their derivatives in `factors`.
        beta
            Fixed effects of the columns kept.
        """
        with self._lock:
            return self._holding(y).deviance_parts(factors)

    def with_rows(self, y: Vector, rows: tuple[Vector, Arrays], *, sign: float, power: float) -> _core.Problem | None:
        """The core's problem of `y` with more rows or without some, None where its layout has no place for them.

        Parameters
        ----------
        y
            The response of this problem.
        rows
            The response of the rows, and their `arrays`; levels are those of this problem and then new ones.
        sign
            1 to add the rows, -1 to take them out.
        power
            How much the rows of this problem count from now on.
        """
        with self._lock:
            return self._holding(y).with_rows(rows[0], *rows[1], sign=sign, power=power)

    def without(self, column: int, y: Vector) -> CompiledProblem:
        """Compile the problem of the columns kept but one (an index into those of X), with `y` as its response."""
        x, codes, levels, terms, weights = self._arguments
        rest = [x[j] for j in self.kept if j != column]
        return CompiledProblem(y, rest, codes, levels, terms, weights, self._threads, self._represented)

    def with_random_columns(self, columns: Sequence[Sequence[Vector]], y: Vector) -> CompiledProblem:
        """Compile the same problem with other columns of the random terms, and `y` as its response."""
        x, codes, levels, terms, weights = self._arguments
        changed = [(factor, own) for (factor, _), own in zip(terms, columns, strict=True)]
        return CompiledProblem(y, x, codes, levels, changed, weights, self._threads, self._represented)

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

    def solve_random(self, theta: Vector, rhs: Matrix) -> Matrix:
        """H rhs at theta, (q, m) each, with H = Lambda (Lambda'Z'WZ Lambda + I)⁻¹ Lambda'.

        `rhs` is in Fortran's order; its rows run term after term, code after code, the effects of a level side by side.
        """
        with self._lock:
            return self._holding(self._y).solve_random(theta, rhs)

    def random_leverages(self, theta: Vector) -> Vector:
        """w_i z_i'H z_i for every row, H as in `solve_random`, shape (n,)."""
        with self._lock:
            return self._holding(self._y).random_leverages(theta)

    def traces(self, theta: Vector) -> list[Matrix]:
        """Per term (s, s): the sum over its levels j of [Z'V⁻¹Z]_jj, V in units of sigma²; theta may be singular."""
        with self._lock:
            return self._holding(self._y).traces(theta)

    def _require_residuals(self, problem: _core.Problem, y: Vector, found: _core.Optimum, reml: bool) -> None:
        """Refuse a response that leaves no residual variance to estimate: its fit ends where rounding stops it."""
        is_stuck = found.status == NO_PROGRESS
        if not is_stuck and not (found.status == CONVERGED and found.decrement > EXPECTED_DROP):
            return
        theta = found.theta
        if not np.isfinite(problem.criterion(theta, reml)) or problem.solve(theta, reml).sigma <= rounding(y):
            raise errors_fit.exact_fit()

    def _require_weighted_scale(self, root: Vector, y: Vector) -> None:
        """Refuse columns that the weights take out of scale: the core has looked at columns and weights apart."""
        x, _, _, terms, _ = self._arguments
        named = [("y", 0, y), *(("x", j, column) for j, column in enumerate(x))]
        named += [("z", t, column) for t, (_, columns) in enumerate(terms) for column in columns]
        for kind, index, column in named:
            if column is not None:
                require_weighted_scale(root, kind, index, column)

    def __getstate__(self) -> tuple[Any, ...]:
        return self._y, self._arguments, self._threads, self._represented

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._y, self._arguments, self._threads, self._represented = state
        self._limits = None
        self._root = extreme_root(self._arguments[4])
        self._lock = threading.Lock()
        self._problem = None


def rounding(y: Vector) -> float:
    """Residual standard deviation below which there is nothing but rounding error in a fit of `y`."""
    return max(1e-7 * float(np.std(y)), 1e-15 * float(np.abs(y).max()))


def _without_residuals(y: Matrix, sigma: Vector) -> list[int]:
    """The columns of `y` whose residual standard deviation may be rounding error."""
    top = np.maximum(y.max(axis=0), -y.min(axis=0)) if y.size else np.zeros(len(sigma))
    suspects = np.flatnonzero(sigma <= 1e-7 * top)  # std(y) <= max|y|
    return [int(r) for r in suspects if sigma[r] <= rounding(y[:, r])]


def _theta_limits(terms: Sequence[Sequence[Vector | None]], weights: Vector | None) -> Vector:
    """Per element of theta (lower triangles by columns), by the size of the column it scales."""
    limits: list[float] = []
    root = 1.0 if weights is None else float(np.sqrt(weights.max()))
    for columns in terms:
        sizes = [1.0 if column is None else float(np.abs(column).max()) for column in columns]
        own = [MOST_RELATIVE / root / size if size > 0 else 1e300 for size in sizes]
        limits += [own[row] for column in range(len(own)) for row in range(column, len(own))]
    return np.array(limits)
