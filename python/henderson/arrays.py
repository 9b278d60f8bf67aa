"""Fits from arrays, without formulas or tables: for other packages, simulations and thousands of responses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henderson import _core, array_updates, errors_fit
from henderson.array_inputs import Inputs, RandomTerm, gather, share_factors
from henderson.blocks import Blocks, describe
from henderson.compiled import CONVERGED_CODE, Callback, CompiledProblem, Matrix, Solution, Vector
from henderson.conversion import UNUSABLE, as_float, minus
from henderson.optimum import CONVERGED, Optimum
from henderson.options import check_options, checked_start
from henderson.solvers.optimising import checked_limit, optimise, watching
from henderson.solvers.stopping import StoppingRule
from henderson.theta import covariances


@dataclass(frozen=True, eq=False, repr=False)
class ResponseFits:
    """Fits of many responses to one design: row i belongs to column i of the responses.

    Attributes
    ----------
    theta
        Relative covariance parameters, shape (r, t).
    beta
        Fixed effects, shape (r, p); NaN for aliased columns of X.
    sigma, criterion
        Residual standard deviations, and REML criteria or deviances, shape (r,).
    evaluations
        Evaluations of the criterion, shape (r,).
    converged
        Whether each fit met its tolerance, shape (r,).
    """

    theta: Matrix
    beta: Matrix
    sigma: Vector
    criterion: Vector
    evaluations: NDArray[np.int64]
    converged: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.sigma)

    def __repr__(self) -> str:
        return f"<ResponseFits: {len(self)} responses, {int(self.converged.sum())} converged>"


class ArrayFit:
    """A linear mixed model fitted to arrays by `fit_arrays`; results are numpy arrays, computed when asked for.

    The number of rows is n, of fixed effects p; term t has s effects for each of its levels.
    """

    def __init__(
        self,
        y: Vector,
        inputs: Inputs,
        problem: CompiledProblem,
        found: _core.Optimum | Optimum | None,
        reml: bool,
    ) -> None:
        self._y = y
        self._inputs = inputs
        self._problem = problem
        self._found = found
        self.is_reml = reml
        self._theta: Vector | None = None

    @property
    def _p(self) -> int:
        return len(self._inputs.x)

    @property
    def _shapes(self) -> list[tuple[int, int]]:
        """Levels and effects of each term."""
        return [(term.levels, len(term.columns)) for term in self._inputs.terms]

    @property
    def theta(self) -> Vector:
        """Relative covariance parameters, term after term: lower triangles by columns."""
        if self._theta is None:
            self._theta = self.optimum.theta if self._found is None else self._found.theta
        return self._theta

    @property
    def criterion(self) -> float:
        """What was minimised: the REML criterion, or the deviance for a maximum-likelihood fit."""
        return self.optimum.criterion if self._found is None else self._found.criterion

    @property
    def converged(self) -> bool:
        """Whether the optimiser met its tolerance."""
        return (self.optimum if self._found is None else self._found).status == CONVERGED

    @cached_property
    def optimum(self) -> Optimum:
        """Where the optimiser ended: evaluations, decrement, certificate, trace."""
        assert self._found is not None
        return Optimum.from_core(self._found, tuple(size for _, size in self._shapes))

    @cached_property
    def _solution(self) -> Solution:
        return self._problem.solve(self._y, self.theta, self.is_reml)

    @cached_property
    def kept(self) -> list[int]:
        """Indices of the columns of X that were kept; the others are linear combinations of earlier ones."""
        return self._problem.kept

    @property
    def beta(self) -> Vector:
        """Fixed effects, shape (p,); NaN for aliased columns of X."""
        return _spread(self._solution.beta, self.kept, self._p)

    @property
    def vcov(self) -> Matrix:
        """Covariance matrix of the fixed effects, shape (p, p); NaN for aliased columns."""
        p, kept, found = self._p, self.kept, self._solution
        kernel = found.sigma**2 * found.unscaled_vcov
        if len(kept) == p:
            return kernel
        full = np.full((p, p), np.nan)
        full[np.ix_(kept, kept)] = kernel
        return full

    @property
    def stderror(self) -> Vector:
        """Standard errors of the fixed effects, shape (p,)."""
        return np.sqrt(np.diag(self.vcov))

    @property
    def sigma(self) -> float:
        """Residual standard deviation."""
        return self._solution.sigma

    @property
    def loglik(self) -> float:
        """Log-likelihood (restricted, for a REML fit): minus half the criterion."""
        return -0.5 * self.criterion

    @property
    def is_singular(self) -> bool:
        """Whether the covariance matrix of some term has less than full rank."""
        return self.optimum.is_singular

    @property
    def ranef(self) -> tuple[Matrix, ...]:
        """Conditional modes of the random effects, per term (levels, s)."""
        return self._solution.b

    @cached_property
    def conditional_variances(self) -> tuple[Matrix, ...]:
        """Variances of the random effects given y, beta and theta, per term (levels, s, s)."""
        return tuple(self._problem.conditional_variances(self._y, self.theta, self.is_reml))

    @property
    def covariances(self) -> tuple[Matrix, ...]:
        """Covariance matrices of the random effects, per term (s, s)."""
        sizes = [size for _, size in self._shapes]
        return tuple(self.sigma**2 * relative for relative in covariances(self.theta, sizes))

    @cached_property
    def blocks(self) -> Blocks:
        """How the Cholesky factor is stored and what one evaluation of the criterion costs; print it."""
        names: dict[int, str] = {}
        for i, (factor, _) in enumerate(share_factors(self._inputs.terms)[2]):
            names[factor] = f"{names[factor]}, terms[{i}]" if factor in names else f"terms[{i}]"
        return describe(self._problem.block_description, [names[factor] for factor in range(len(names))])

    @property
    def nobs(self) -> int:
        """Number of rows."""
        return len(self._y)

    @property
    def fitted(self) -> Vector:
        """Fitted values, random effects and offset included, shape (n,)."""
        inputs, found = self._inputs, self._solution
        mean = np.zeros(self.nobs) if inputs.offset is None else inputs.offset.copy()
        for j, coefficient in zip(self.kept, found.beta, strict=True):
            mean += _times(inputs.x[j], coefficient)
        for term, effects in zip(inputs.terms, found.b, strict=True):
            for k, column in enumerate(term.columns):
                mean += _times(column, effects[term.codes, k])
        return mean

    @property
    def resid(self) -> Vector:
        """Residuals: response (offset not subtracted) minus fitted values, shape (n,)."""
        offset = self._inputs.offset
        return self._y - self.fitted + (0.0 if offset is None else offset)

    def refit(
        self,
        y: ArrayLike,
        *,
        method: str = "newton",
        start: ArrayLike | None = None,
        tolerance: float = 1e-10,
        max_evaluations: int | None = None,
        callback: Callback | StoppingRule | None = None,
    ) -> ArrayFit:
        """Fit another response to the same design, reusing all that does not depend on the response.

        Parameters
        ----------
        y
            New response, shape (n,).
        method, start, tolerance, max_evaluations, callback
            As in `fit_arrays`.
        """
        limit = checked_limit(method, max_evaluations, tolerance, callback)
        problem, inputs, reml = self._problem, self._inputs, self.is_reml
        response = inputs.response(y)
        theta = None if start is None else checked_start(start, problem)
        try:
            watcher = watching(callback, self.kept, problem, response, reml, method)
            found = optimise(problem, response, reml, method, theta, tolerance, limit, watcher)
        except UNUSABLE as bad:
            raise inputs.explain(bad, y) from None
        return ArrayFit(response, inputs, problem, found, reml)

    def refit_many(
        self,
        Y: ArrayLike,
        *,
        start: ArrayLike | None = None,
        tolerance: float = 1e-10,
        max_evaluations: int = 200,
        threads: int = 0,
    ) -> ResponseFits:
        """Fit every column of `Y` (n, r) to the same design.

        Parameters
        ----------
        Y
            Responses, one a column, shape (n, r).
        start, tolerance, max_evaluations
            As in `fit_arrays`.
        threads
            Threads to use; 0 chooses.
        """
        check_options(max_evaluations, tolerance, None, threads)
        given = as_float("Y", Y)
        n, offset = self.nobs, self._inputs.offset
        if given.ndim != 2 or len(given) != n:
            raise errors_fit.wrong_shape("Y", given.shape, f"({n}, number of responses)")
        responses = np.asfortranarray(given if offset is None else minus(given, offset[:, None]))
        theta = None if start is None else checked_start(start, self._problem)
        try:
            found = self._problem.fit_responses(responses, self.is_reml, theta, tolerance, max_evaluations, threads)
        except UNUSABLE as bad:
            raise self._inputs.explain(bad, given) from None
        return ResponseFits(
            found["theta"],
            _spread(found["beta"], self.kept, len(self._inputs.x)),
            found["sigma"],
            found["criterion"],
            found["evaluations"],
            found["status"] == CONVERGED_CODE,
        )

    update, downdate = array_updates.update, array_updates.downdate

    def __repr__(self) -> str:
        name = "REML criterion" if self.is_reml else "deviance"
        terms = ", ".join(f"{size} x {levels} levels" for levels, size in self._shapes)
        return f"<ArrayFit: {self.nobs} rows, p = {self._p}, terms [{terms}], {name} {self.criterion:.10g}>"

    def __getstate__(self) -> dict[str, Any]:
        _ = self.optimum, self._solution  # plain arrays, in place of the core's objects
        return self.__dict__ | {"_found": None}


def fit_arrays(
    y: ArrayLike,
    X: ArrayLike | None,
    *,
    terms: RandomTerm | Iterable[RandomTerm],
    reml: bool = True,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    method: str = "newton",
    start: ArrayLike | None = None,
    tolerance: float = 1e-10,
    max_evaluations: int | None = None,
    callback: Callback | StoppingRule | None = None,
    threads: int = 0,
) -> ArrayFit:
    """Fit y = X beta + sum of random terms + error.

    Parameters
    ----------
    y
        Response, shape (n,).
    X
        Fixed-effects columns, shape (n, p), with a column of ones if an intercept is wanted. None: no fixed effects.
    terms
        The random terms, or the only one. Those with the same codes share one grouping factor.
    reml
        Restricted maximum likelihood; False for maximum likelihood.
    weights
        Precision weights, shape (n,), positive: row i has variance sigma² / weights[i].
    offset
        Known part of the mean, shape (n,).
    method
        ``"newton"``, ``"em"``, ``"px-em"`` or ``"mm"``, as in `lmer`.
    start
        Theta to start from; by default a moment estimate.
    tolerance
        Stop when the expected further drop of the criterion is less than this, in units of deviance.
    max_evaluations
        Give up after so many evaluations: by default 200, 10,000 for the methods other than Newton's.
    callback
        Called as ``callback(theta, criterion, evaluation, decrement)``; a true result stops the fit. Or a rule such as
        ``stop_when_stable(1, by=0.1)``: here the fixed effects are called by the numbers of their columns.
    threads
        Threads to use, at most 1024; 0 chooses by the size of the problem.

    Returns
    -------
    ArrayFit
        The arrays passed are not copied unless they must be converted: do not change them while using the fit.

    Raises
    ------
    DataError
        When shapes disagree, a value is not finite or a column is out of scale (its largest absolute value above 1e140
        or below 1e-140), when the codes of a term have a single level, or each of its levels occurs once: its variance
        cannot be told from the residual variance. More levels, or effects, than rows are otherwise allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from henderson import RandomTerm, fit_arrays
    >>> rng = np.random.default_rng(1)
    >>> subject = np.repeat(np.arange(10), 5)
    >>> x = np.tile(np.arange(5.0), 10)
    >>> y = 1 + 2 * x + rng.normal(size=10)[subject] + rng.normal(size=50)
    >>> fit = fit_arrays(y, np.column_stack([np.ones(50), x]), terms=[RandomTerm(subject)])
    >>> fit.beta.shape, fit.refit(y + 1).converged
    ((2,), True)
    """
    limit = checked_limit(method, max_evaluations, tolerance, callback, threads, reml)
    inputs = gather(X, terms, weights, offset)
    response = inputs.response(y)
    codes, levels, layout = share_factors(inputs.terms)
    try:
        problem = CompiledProblem(response, inputs.x, codes, levels, layout, inputs.weights, threads)
    except UNUSABLE as bad:
        raise inputs.explain(bad, y) from None
    theta = None if start is None else checked_start(start, problem)
    watcher = watching(callback, problem.kept, problem, response, bool(reml), method)
    found = optimise(problem, response, bool(reml), method, theta, tolerance, limit, watcher)
    return ArrayFit(response, inputs, problem, found, bool(reml))


def _spread(values: NDArray[np.float64], kept: list[int], p: int) -> NDArray[np.float64]:
    """Put NaN where a column was dropped (last axis)."""
    if len(kept) == p:
        return values
    full = np.full((*values.shape[:-1], p), np.nan)
    full[..., kept] = values
    return full


def _times(column: Vector | None, effects: Any) -> Any:
    return effects if column is None else column * effects
