"""The REML or ML criterion of a response and its exact gradients, for a design that is compiled once."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from henderson import errors_differentiable as errors
from henderson.array_inputs import RandomTerm, gather, share_factors
from henderson.compiled import CompiledProblem, Matrix, Solution, Vector
from henderson.conversion import UNUSABLE, as_float
from henderson.differentiable.layout import elsewhere, level_sums, positions_of, subset, theta_slope, times_z
from henderson.differentiable.projection import influence, projected
from henderson.differentiable.value import ObjectiveValue
from henderson.errors import DataError
from henderson.options import check_options, checked_theta, warn_unless_converged
from henderson.theta import relative_factors

TOLERANCE, MOST_EVALUATIONS = 1e-13, 200
"""Of the inner optimisation: an error e of the criterion is one of about the root of e in its gradient."""


class RemlObjective:
    """The REML or ML criterion as a function of response, theta and sigma, with exact gradients.

    Built once for a design: another response costs no more than its cross-products with X and Z. With the output mu of
    a network as fixed part, the response is y - mu.

    Parameters
    ----------
    X
        Fixed-effects columns that are estimated by generalised least squares, shape (n, p). None: no fixed effects.
    terms
        The random terms, or the only one.
    reml
        Restricted maximum likelihood: what X can fit is integrated out. False for maximum likelihood.
    weights
        Precision weights, shape (n,), positive: row i has variance sigma² / weights[i].
    threads
        Threads to use, at most 1024; 0 chooses by the size of the problem.

    Raises
    ------
    DataError
        Shapes disagree, or a value is not finite or not positive where it must be.

    Notes
    -----
    With V = Z Lambda Lambda' Z' + W⁻¹, P = V⁻¹ - V⁻¹X(X'V⁻¹X)⁻¹X'V⁻¹ and r² = y'Py, the criterion is

        f = log|V| + log|X'V⁻¹X| + d log(2 pi sigma²) + r² / sigma²,     d = n - p

    (ML: without log|X'V⁻¹X|, and d = n). Its gradients are df/dy = 2 Py / sigma², df/d log(sigma) = 2 (d - r² / sigma²)
    and, per term, df/dPsi = sum_j [Z'PZ]_jj - w_j w_j' / sigma² with w = Z'Py, Psi = lam lam'. No n x n matrix is
    formed: Py = W (y - X beta - Z b), the weighted residual. Profiled, sigma² = r² / d, and nothing is added to the
    other gradients, since the one in sigma is zero there; the same holds for theta at the inner optimum. In the columns
    of X the gradient is df/dX = 2 V⁻¹X (X'V⁻¹X)⁻¹ - 2 Py beta' / sigma² (ML: the second term alone).

    Examples
    --------
    >>> import numpy as np
    >>> from henderson import RandomTerm
    >>> from henderson.differentiable import RemlObjective
    >>> y, group = np.array([1.0, 3.0, 2.0, 5.0, 9.0, 8.0]), np.array([0, 0, 1, 1, 2, 2])
    >>> objective = RemlObjective(np.ones(6), RandomTerm(group))
    >>> at = objective.value_and_gradient(y, theta=[1.5])
    >>> at.y_gradient.round(3).tolist()
    [-0.963, 0.334, -1.11, 0.835, 0.776, 0.128]
    >>> step = 1e-6 * np.eye(6)[3]
    >>> round((objective.value(y + step, [1.5]) - objective.value(y - step, [1.5])) / 2e-6, 3)
    0.835
    """

    def __init__(
        self,
        X: ArrayLike | None,
        terms: RandomTerm | Iterable[RandomTerm],
        *,
        reml: bool = True,
        weights: ArrayLike | None = None,
        threads: int = 0,
    ) -> None:
        check_options(MOST_EVALUATIONS, TOLERANCE, None, threads, reml)
        self._inputs = inputs = gather(X, terms, weights, None, is_estimated=False)
        self.reml = bool(reml)
        placeholder = np.zeros(inputs.n)
        try:
            self._problem = CompiledProblem(
                placeholder, inputs.x, *share_factors(inputs.terms), inputs.weights, threads
            )
        except UNUSABLE as bad:
            raise inputs.explain(bad, placeholder) from None
        self._log_weights = 0.0 if inputs.weights is None else float(np.log(inputs.weights).sum())
        self._df = inputs.n - (len(self._problem.kept) if self.reml else 0)
        self._has_variances = False

    @property
    def n(self) -> int:
        """Number of rows."""
        return self._inputs.n

    @property
    def terms(self) -> tuple[RandomTerm, ...]:
        """The random terms."""
        return self._inputs.terms

    @property
    def sizes(self) -> tuple[int, ...]:
        """Effects of a level, per term."""
        return tuple(len(term.columns) for term in self.terms)

    @property
    def theta_size(self) -> int:
        """Number of elements of theta."""
        return sum(size * (size + 1) // 2 for size in self.sizes)

    def __repr__(self) -> str:
        name = "REML" if self.reml else "ML"
        terms = ", ".join(f"{len(term.columns)} x {term.levels} levels" for term in self.terms)
        return f"<RemlObjective: {name}, {self.n} rows, p = {len(self._inputs.x)}, terms [{terms}]>"

    def value(self, y: ArrayLike, theta: ArrayLike | None = None, log_sigma: float | None = None) -> float:
        """Give the criterion alone; the arguments are those of `value_and_gradient`.

        Parameters
        ----------
        y, theta, log_sigma
            See `value_and_gradient`.

        Returns
        -------
        float
            The criterion.
        """
        return self._at(y, theta, log_sigma, with_gradient=False).value

    def value_and_gradient(
        self, y: ArrayLike, theta: ArrayLike | None = None, log_sigma: float | None = None, *, with_X: bool = False
    ) -> ObjectiveValue:
        """Give the criterion and its gradients.

        Parameters
        ----------
        y
            Response, or what a model of the mean leaves of it, shape (n,).
        theta
            Relative covariance parameters, as ``fit.theta`` has them. None: those that are best for `y`; the gradient
            in `y` is then that of the smallest criterion.
        log_sigma
            Logarithm of the residual standard deviation. None: the best one.
        with_X
            Whether to give the gradient in the columns of X too.

        Returns
        -------
        ObjectiveValue
            Value, gradients, and where they are taken.

        Raises
        ------
        DataError
            A value is not finite, theta has the wrong size, log_sigma is given without theta, there is no residual
            variance, or the gradient in X is wanted where its columns depend on one another.
        """
        if with_X and len(self._problem.kept) < len(self._inputs.x):
            raise errors.no_gradient_in_x(len(self._inputs.x), self._problem.kept)
        return self._at(y, theta, log_sigma, with_gradient=True, with_X=with_X)

    def random_effects(self, y: ArrayLike, theta: ArrayLike) -> tuple[Matrix, ...]:
        """Conditional modes of the random effects given `y`, the BLUPs, per term (levels, s).

        Parameters
        ----------
        y, theta
            See `value_and_gradient`.

        Returns
        -------
        tuple of arrays
            A row for each level, zeros for levels without rows.
        """
        return self._solved(y, theta)[1].b

    def random_part(
        self, y: ArrayLike, theta: ArrayLike, terms: RandomTerm | Iterable[RandomTerm] | None = None
    ) -> Vector:
        """Zb, what the conditional modes of the random effects add to the mean of each row, shape (n,).

        Parameters
        ----------
        y, theta
            See `value_and_gradient`.
        terms
            The same terms for other rows, a code for each level as before; a code that was not there is a new level,
            of which nothing is known. None: the rows of `y`.

        Returns
        -------
        array
            Zb = Z Psi Z' P y; for new levels zero.

        Raises
        ------
        DataError
            As `value_and_gradient`; `terms` are others than those of the objective.
        """
        b = self._solved(y, theta)[1].b
        return times_z(self.terms, b) if terms is None else elsewhere(self.terms, b, terms)

    def random_part_vjp(self, y: ArrayLike, theta: ArrayLike, direction: ArrayLike) -> tuple[Vector, Vector]:
        """Gradients of direction'Zb, Zb as in `random_part`, in y and in theta.

        Parameters
        ----------
        y, theta
            See `value_and_gradient`.
        direction
            The vector that Zb is multiplied by, shape (n,).

        Returns
        -------
        y_gradient, theta_gradient
            P t and, per Psi, the symmetric part of Z'(direction - P t) (Z'Py)' with t = Z Psi Z' direction.
        """
        response, at, relative = self._solved(y, theta)
        residual = self._residual(response, at)
        given = self._inputs.response(direction)
        factors = relative_factors(relative, self.sizes)
        spread = times_z(
            self.terms, [level_sums(t, given) @ lam @ lam.T for t, lam in zip(self.terms, factors, strict=True)]
        )
        scale = float(np.abs(spread).max())
        back = np.zeros(self.n)
        if scale > 0.0:
            unit = spread / scale
            with suppress(DataError):  # raised where nothing is left of it: P t = 0
                back = scale * self._residual(unit, self._solve(unit, relative))
        rest = given - back
        products = [level_sums(term, rest).T @ level_sums(term, residual) for term in self.terms]
        return back, theta_slope([0.5 * (product + product.T) for product in products], relative, self.sizes)

    def with_fixed(self, X: ArrayLike | None) -> RemlObjective:
        """Compile the objective of the same rows, terms and weights with other fixed-effects columns.

        Parameters
        ----------
        X
            Columns in the place of those that there are, shape (n, p). None: no fixed effects.

        Returns
        -------
        RemlObjective
            A new one; its ``value_and_gradient(y, with_X=True)`` has the gradient in these columns.

        Raises
        ------
        DataError
            X has another number of rows, values that are not finite, or as many columns as there are rows.
        """
        weights, threads = self._inputs.weights, self._problem.threads
        return RemlObjective(X, self.terms, reml=self.reml, weights=weights, threads=threads)

    def subset(self, rows: ArrayLike) -> RemlObjective:
        """Compile the objective of some of the rows: a mini-batch. Take whole groups.

        Parameters
        ----------
        rows
            Positions of different rows, in the order wanted, or a mask of n values.

        Returns
        -------
        RemlObjective
            With the levels that occur in these rows, numbered in the same order.

        Raises
        ------
        DataError
            No or wrong rows, or fewer than columns of X.
        """
        X, terms, weights = subset(self._inputs, positions_of(rows, self.n))
        return RemlObjective(X, terms, reml=self.reml, weights=weights, threads=self._problem.threads)

    def _at(
        self,
        y: ArrayLike,
        theta: ArrayLike | None,
        log_sigma: float | None,
        *,
        with_gradient: bool,
        with_X: bool = False,
    ) -> ObjectiveValue:
        if log_sigma is not None and theta is None:
            raise errors.sigma_without_theta()
        response, at, relative = self._solved(y, theta)
        best = at.pwrss / self._df
        if not (np.isfinite(at.criterion) and best > 0.0):
            raise errors.no_criterion()
        value, variance = at.criterion, best
        if log_sigma is not None:
            variance = _variance(log_sigma)
            log_det = at.log_det_l - self._log_weights + (at.log_det_rx if self.reml else 0.0)
            value = log_det + self._df * float(np.log(2 * np.pi * variance)) + at.pwrss / variance
        sigma = float(np.sqrt(variance))
        if not with_gradient:
            return ObjectiveValue(value, response[:0], None, None, relative, sigma, at.beta)
        residual = self._residual(response, at)
        slope = None if theta is None else self._problem.gradient(response, relative, self.reml)[1]
        log_sigma_slope = None
        if log_sigma is not None and slope is not None:
            squares = [w.T @ w for w in (level_sums(term, residual) for term in self.terms)]
            slope = slope + (1 / best - 1 / variance) * theta_slope(squares, relative, self.sizes)
            log_sigma_slope = 2.0 * (self._df - at.pwrss / variance)
        x_slope = self._x_slope(residual, at, relative, variance) if with_X else None
        of_y = 2.0 / variance * residual
        return ObjectiveValue(value, of_y, slope, log_sigma_slope, relative, sigma, at.beta, x_slope)

    def _solved(self, y: ArrayLike, theta: ArrayLike | None) -> tuple[Vector, Solution, Vector]:
        """The response, all that follows from theta, and theta: the best one if None."""
        response = self._inputs.response(y)
        try:
            relative = self._best(response) if theta is None else checked_theta("theta", theta, self.theta_size)
            return response, self._solve(response, relative), relative
        except UNUSABLE as bad:
            raise self._inputs.explain(bad, y) from None

    def _solve(self, response: Vector, relative: Vector) -> Solution:
        try:
            return self._problem.solve(response, relative, self.reml)
        except UNUSABLE:
            raise
        except ValueError:
            raise errors.no_criterion() from None

    def _best(self, response: Vector) -> Vector:
        if not self._has_variances:
            gather(None, self.terms, None, None)  # an error where a variance cannot be estimated
            self._has_variances = True
        found = self._problem.fit(response, self.reml, None, TOLERANCE, MOST_EVALUATIONS)
        if found.decrement > np.sqrt(TOLERANCE):
            warn_unless_converged(found, stacklevel=5)
        return found.theta

    def _residual(self, response: Vector, at: Solution) -> Vector:
        """Py."""
        return projected(self._inputs, self._problem.kept, response, at)

    def _x_slope(self, residual: Vector, at: Solution, relative: Vector, variance: float) -> Matrix:
        """df/dX; `residual` is Py."""
        slope = np.outer(residual, -2.0 / variance * at.beta)
        if self.reml and len(at.beta):
            slope += 2.0 * influence(self._inputs, self._problem, relative, at.unscaled_vcov)
        return slope


def _variance(log_sigma: Any) -> float:
    value = as_float("log_sigma", log_sigma)
    if value.size != 1 or not abs(float(value.reshape(()))) <= 300:
        raise errors.log_sigma_invalid(log_sigma)
    return float(np.exp(2.0 * value.reshape(())))
