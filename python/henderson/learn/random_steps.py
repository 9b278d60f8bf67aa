"""The random part of y = f(x) + Zb + e for a given f: compiled once, one step for each new f.

With r = y - f(x) the residuals of a learner, V = sigma² (I + ZΨZ') and Ψ = Lambda Lambda':

- "reml" and "ml" steps maximise the (restricted) likelihood of r = Bδ + Zb + e over theta, sigma and δ. B is the basis:
  columns that the learner can fit exactly, the mean at least. The restricted likelihood integrates δ out, that is, it
  does not change with r -> r + Bδ: that pays for the degrees of freedom that the learner spent on B.
- An "em" step (Hajjem et al. 2014) takes f as known: b is the conditional mean at the present parameters, and

      sigma² <- (|e|² + sigma² tr(V⁻¹ZΨZ' sigma²)) / n,    Cov(b_t) <- mean over levels of (b b' + Cov(b | r)).

With precision weights w, read W^(1/2) r, W^(1/2) B and W^(1/2) Z for r, B and Z above.

Both cost what one evaluation of a criterion costs: the rows are only needed for Z'r.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from henderson.compiled import CompiledProblem, Matrix, Vector
from henderson.compiling import compile_design
from henderson.design import DesignMatrices
from henderson.theta import covariances

METHODS = ("em", "reml", "ml")


@dataclass(frozen=True, eq=False)
class RandomState:
    """Parameters and conditional modes after a step.

    Attributes
    ----------
    covariances
        Of the random effects, per term (s, s).
    sigma
        Residual standard deviation.
    b
        Conditional modes, per term (levels, s).
    deviance
        Minus twice the (restricted, for "reml") log-likelihood of the residuals that the step was given; of an EM step,
        at the parameters before it.
    gll
        Hajjem's generalized log-likelihood: minus twice the joint log-density of residuals and random effects, without
        constants; -inf where a covariance matrix is singular.
    """

    covariances: tuple[Matrix, ...]
    sigma: float
    b: tuple[Matrix, ...]
    deviance: float
    gll: float

    @property
    def theta(self) -> Vector:
        """Relative covariance parameters, as the core has them."""
        return theta_of(self.covariances, self.sigma)


class RandomSteps:
    """A random part, ready for the residuals of any number of learners.

    Parameters
    ----------
    design
        Its terms and weights; the response and the fixed columns are ignored.
    basis
        Columns (n,) that the learner fits exactly, None for a column of ones. EM steps need none.
    method
        "em", "reml" or "ml".
    y
        A response to compile with, shape (n,).
    threads
        As in `lmer`.
    """

    def __init__(
        self, design: DesignMatrices, basis: Sequence[Vector | None], method: str, y: Vector, threads: int = 0
    ) -> None:
        columns = [] if method == "em" else list(basis)
        names = tuple(f"basis column {j}" for j in range(len(columns)))
        given = replace(design, y=y, x=columns, x_names=names, offset=None)
        self._problem: CompiledProblem = compile_design(given, y, threads)
        self._design = given
        self._method = method

    def step(self, residuals: Vector, last: RandomState | None) -> RandomState:
        """Give the next parameters and conditional modes for the residuals y - f, shape (n,), of a new f."""
        if self._method == "em":
            return self._em(residuals, self._start(residuals) if last is None else last)
        return self._maximise(residuals, last)

    def fitted(self, b: Sequence[Matrix]) -> Vector:
        """Zb at the rows, shape (n,)."""
        design = self._design
        total = np.zeros(design.n)
        for term, modes in zip(design.terms, b, strict=True):
            codes = design.factors[term.factor].codes
            for k, column in enumerate(term.columns):
                effects = np.ascontiguousarray(modes[:, k])[codes]
                total += effects if column is None else column * effects
        return total

    def _maximise(self, residuals: Vector, last: RandomState | None) -> RandomState:
        reml = self._method == "reml"
        start = None if last is None else last.theta
        found = self._problem.fit(residuals, reml, start)
        solution = self._problem.solve(residuals, found.theta, reml)
        variances = tuple(solution.sigma**2 * relative for relative in covariances(found.theta, self._sizes))
        squares = solution.pwrss - _sum_of_squares(solution.u)
        gll = _gll(variances, solution.sigma, squares, solution.b, len(residuals))
        return RandomState(variances, solution.sigma, solution.b, found.criterion, gll)

    def _em(self, residuals: Vector, last: RandomState) -> RandomState:
        n, variance, theta = len(residuals), last.sigma**2, last.theta
        solution = self._problem.solve(residuals, theta, reml=False)
        traces = self._problem.traces(theta)  # T = sum over levels of [Z'(I + ZΨZ')⁻¹Z]_jj
        relative = covariances(theta, self._sizes)
        squares = solution.pwrss - _sum_of_squares(solution.u)  # |e|²
        spent = sum(float(np.sum(psi * own)) for psi, own in zip(relative, traces, strict=True))
        updated = tuple(
            (modes.T @ modes + variance * (len(modes) * psi - psi @ own @ psi)) / len(modes)
            for modes, psi, own in zip(solution.b, relative, traces, strict=True)
        )
        deviance = solution.log_det_l + n * np.log(2 * np.pi * variance) + solution.pwrss / variance
        if self._design.weights is not None:
            deviance -= float(np.sum(np.log(self._design.weights)))
        sigma = float(np.sqrt((squares + variance * spent) / n))
        gll = _gll(updated, sigma, squares, solution.b, n)
        return RandomState(updated, sigma, solution.b, float(deviance), gll)

    def _start(self, residuals: Vector) -> RandomState:
        """Half of the variance to the residuals, the rest to the random effects in equal shares."""
        weights = self._design.weights
        variance = float(np.cov(residuals, aweights=weights, ddof=0))
        share = 0.5 * variance / sum(self._sizes)
        sizes = [
            [1.0 if column is None else float(np.mean(column**2)) for column in term.columns]
            for term in self._design.terms
        ]
        variances = tuple(np.diag([share / size if size > 0 else 0.0 for size in own]) for own in sizes)
        sigma = float(np.sqrt(0.5 * variance * (1.0 if weights is None else np.mean(weights))))
        return RandomState(variances, sigma, (), np.inf, np.inf)

    @property
    def _sizes(self) -> list[int]:
        return [len(term.columns) for term in self._design.terms]


def theta_of(matrices: Sequence[NDArray[np.float64]], sigma: float) -> Vector:
    """The lower triangles, down their columns, of factors of covariance matrices (singular ones too) over sigma²."""
    parts = []
    for covariance in matrices:
        values, vectors = np.linalg.eigh(covariance / sigma**2)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        lower = np.asarray(np.linalg.qr(root.T, mode="r")).T
        lower = lower * np.where(np.diag(lower) < 0, -1.0, 1.0)
        columns, rows = np.triu_indices(len(lower))
        parts.append(lower[rows, columns])
    return np.ascontiguousarray(np.concatenate(parts))


def _gll(matrices: Sequence[Matrix], sigma: float, squares: float, b: Sequence[Matrix], n: int) -> float:
    """|e|²/sigma² + n log sigma² + sum over terms and levels of b'Cov(b)⁻¹b + log|Cov(b)|."""
    total = squares / sigma**2 + n * np.log(sigma**2)
    for covariance, modes in zip(matrices, b, strict=True):
        values, vectors = np.linalg.eigh(covariance)
        if values[0] <= 1e-12 * values[-1]:
            return -np.inf
        total += len(modes) * float(np.sum(np.log(values))) + float(np.sum((modes @ vectors) ** 2 / values))
    return float(total)


def _sum_of_squares(u: Sequence[Matrix]) -> float:
    return sum(float(np.sum(modes**2)) for modes in u)
