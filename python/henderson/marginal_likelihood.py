"""The marginal density of a response: multivariate normal, from arrays, without a matrix of rows by rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henderson import errors_fit, errors_marginal
from henderson.array_inputs import Inputs, RandomTerm, gather, share_factors
from henderson.compiled import CompiledProblem, Solution
from henderson.conversion import UNUSABLE, as_float
from henderson.options import check_reml, checked_theta

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def marginal_loglik(
    y: ArrayLike,
    X: ArrayLike | None,
    Z: Any,
    theta: Any,
    sigma: float,
    *,
    beta: ArrayLike | None = None,
    reml: bool = False,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> float:
    """Log-density of y ~ N(X beta, sigma² (Z Lambda Lambda' Z' + W⁻¹)) at given parameters.

    Parameters
    ----------
    y
        Response, shape (n,).
    X
        Fixed-effects columns, shape (n, p); None for none.
    Z
        The random part: a `RandomTerm`, a list of them, or a matrix (n, q), dense or sparse, with a column for each
        random effect.
    theta
        With random terms, the relative covariance parameters as ``fit.theta`` has them. With a matrix Z, the relative
        covariance factor Lambda: a number (all effects independent, of this standard deviation in units of sigma), q
        numbers, or a matrix (q, q), dense or sparse.
    sigma
        Residual standard deviation.
    beta
        Fixed effects, shape (p,). None: the generalised least squares estimate at theta, which has the largest density.
    reml
        The restricted log-likelihood, beta integrated out.
    weights
        Precision weights, shape (n,), positive: row i has the residual variance sigma² / weights[i].
    offset
        Known part of the mean, shape (n,).

    Returns
    -------
    float
        The log-density, all constants included. At the estimates it is ``fit.loglik``.

    Raises
    ------
    DataError
        Shapes disagree, a value is not finite or not positive where it must be.

    Notes
    -----
    With M = Lambda'Z'WZ Lambda + I and r² the minimum over u of (y - X beta - Z Lambda u)'W(...) + u'u,

        log p(y) = -1/2 ( n log(2 pi sigma²) + log|M| - sum_i log w_i + r² / sigma² )

    which is Woodbury's identity and the determinant lemma: no n x n matrix is formed. Random terms go through the
    compiled core, as in a fit; a matrix Z takes a factorisation of M, q x q, sparse if Z is.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.stats import multivariate_normal
    >>> from henderson import RandomTerm, marginal_loglik
    >>> y, group = np.array([1.0, 3.0, 2.0, 5.0]), np.array([0, 0, 1, 1])
    >>> V = 4.0 * (0.25 * (group[:, None] == group) + np.eye(4))
    >>> marginal_loglik(y, np.ones(4), RandomTerm(group), [0.5], 2.0, beta=[2.5])  # doctest: +ELLIPSIS
    -7.8746...
    >>> float(multivariate_normal(np.full(4, 2.5), V).logpdf(y))  # doctest: +ELLIPSIS
    -7.8746...
    """
    check_reml(reml)
    variance = _positive_square(sigma)
    if beta is not None and (reml or X is None):
        raise errors_marginal.beta_and_reml() if reml else errors_marginal.beta_without_x()
    is_terms = isinstance(Z, RandomTerm) or (isinstance(Z, list | tuple) and any(isinstance(t, RandomTerm) for t in Z))
    parts = _from_terms if is_terms else _from_matrix
    n, p, log_det_v, log_det_x, pwrss = parts(y, X, Z, theta, beta, weights, offset)
    df = n - p if reml else n
    total = df * np.log(2 * np.pi * variance) + log_det_v + pwrss / variance + (log_det_x if reml else 0.0)
    return float(-0.5 * total)


Parts = tuple[int, int, float, float, float]
"""n, rank of X, log|V|, log|X'V⁻¹X|, and the minimum of the penalised sum of squares; V in units of sigma²."""


def _from_terms(
    y: ArrayLike,
    X: ArrayLike | None,
    terms: RandomTerm | Iterable[RandomTerm],
    theta: Any,
    beta: ArrayLike | None,
    weights: ArrayLike | None,
    offset: ArrayLike | None,
) -> Parts:
    """By the core."""
    inputs = gather(X, terms, weights, offset, is_estimated=False)
    size = sum(len(term.columns) * (len(term.columns) + 1) // 2 for term in inputs.terms)
    at = checked_theta("theta", theta, size)
    response = inputs.response(y)
    x = inputs.x
    if beta is not None:
        response, x = np.ascontiguousarray(response - _mean(inputs, _checked_beta(beta, len(x)))), []
    codes, levels, layout = share_factors(inputs.terms)
    try:
        problem = CompiledProblem(response, x, codes, levels, layout, inputs.weights, 0)
    except UNUSABLE as bad:
        raise inputs.explain(bad, y) from None
    found, pwrss = _solved(problem, response, at)
    log_weights = 0.0 if inputs.weights is None else float(np.log(inputs.weights).sum())
    return inputs.n, len(problem.kept), found.log_det_l - log_weights, found.log_det_rx, pwrss


def _solved(problem: CompiledProblem, response: Vector, theta: Vector) -> tuple[Solution, float]:
    """What follows from theta, and pwrss: zero for a response of which nothing but rounding is left."""
    any_other = np.random.default_rng(0).normal(size=len(response))  # the determinants are the same
    for y in (response, any_other):
        with suppress(ValueError):  # there is no criterion, sigma being profiled out; here it is given
            found = problem.solve(y, theta, False)
            if np.isfinite(found.log_det_l):
                return found, found.pwrss if y is response else 0.0
    raise errors_marginal.no_density()


def _mean(inputs: Inputs, beta: Vector) -> Vector:
    columns = zip(inputs.x, beta, strict=True)
    return sum((c if column is None else c * column for column, c in columns), np.zeros(inputs.n))


def _from_matrix(
    y: ArrayLike,
    X: ArrayLike | None,
    Z: Any,
    theta: Any,
    beta: ArrayLike | None,
    weights: ArrayLike | None,
    offset: ArrayLike | None,
) -> Parts:
    """By a factorisation of M = Lambda'Z'WZ Lambda + I, of all columns that are multiplied by V⁻¹."""
    z = _matrix("Z", Z)
    n, q = z.shape
    root = np.sqrt(_positive(_vector("weights", weights, n)))
    residual = _vector("y", y, n) - (0.0 if offset is None else _vector("offset", offset, n))
    x = np.zeros((n, 0)) if X is None else _columns(X, n)
    if beta is not None:
        residual, x = residual - x @ _checked_beta(beta, x.shape[1]), x[:, :0]
    right_x, right_y = x * root[:, None], residual * root
    p = x.shape[1]
    right = np.column_stack([right_x, _without(right_x, right_y)])
    with np.errstate(over="ignore", invalid="ignore"):
        weighted = z * root[:, None] if isinstance(z, np.ndarray) else z.multiply(root[:, None]).tocsc()
        scaled = weighted @ _factor(theta, q)
        gram = scaled.T @ scaled
    solve, log_det = _factorised(gram)
    modes = solve(np.asarray(scaled.T @ right))
    rest = right - scaled @ modes
    products = rest.T @ rest + modes.T @ modes  # [X y]'V⁻¹[X y]
    triangle = np.linalg.cholesky(products[:p, :p])
    projected = np.linalg.solve(triangle, products[:p, p])
    log_det_x = 2.0 * float(np.log(np.diag(triangle)).sum())
    pwrss = float(products[p, p] - projected @ projected)
    return n, p, log_det - 2.0 * float(np.log(root).sum()), log_det_x, pwrss


def _without(x: Matrix, y: Vector) -> Vector:
    """What ordinary least squares leaves of y: the density is the same function of it, without cancellation."""
    sizes = np.linalg.norm(x, axis=0)
    columns = x / np.where(sizes > 0, sizes, 1.0)
    coefficients, _, rank, _ = np.linalg.lstsq(columns, y, rcond=max(x.shape) * np.finfo(float).eps)
    if rank < x.shape[1]:
        raise errors_marginal.dependent_columns(int(rank), x.shape[1])
    return np.asarray(y - columns @ coefficients)


def _factorised(gram: Any) -> tuple[Callable[[Matrix], Matrix], float]:
    """A function that solves with M = gram + I, and log|M|."""
    q = gram.shape[0]
    if not np.isfinite(gram if isinstance(gram, np.ndarray) else gram.data).all():
        raise errors_marginal.no_density()
    if isinstance(gram, np.ndarray):
        try:
            triangle = np.linalg.cholesky(gram + np.eye(q))
        except np.linalg.LinAlgError:
            raise errors_marginal.no_density() from None
        log_det = 2.0 * float(np.log(np.diag(triangle)).sum())
        return lambda b: np.linalg.solve(triangle.T, np.linalg.solve(triangle, b)), log_det
    from scipy import sparse
    from scipy.sparse.linalg import splu

    options = {"SymmetricMode": True}
    try:
        lu = splu(sparse.csc_matrix(gram + sparse.eye_array(q)), "MMD_AT_PLUS_A", 0.0, options=options)
    except RuntimeError:
        raise errors_marginal.no_density() from None
    return lu.solve, float(np.log(np.abs(lu.U.diagonal())).sum())


def _matrix(name: str, value: Any) -> Any:
    """A matrix of finite numbers, dense or sparse by columns."""
    from scipy import sparse

    if not sparse.issparse(value) and (isinstance(value, str) or not hasattr(value, "__len__")):
        raise errors_marginal.random_part(value)
    found: Any = sparse.csc_array(value, dtype=np.float64) if sparse.issparse(value) else as_float(name, value)
    if found.ndim != 2:
        raise errors_fit.wrong_shape(name, found.shape, "(number of rows, number of columns)")
    values = found.data if sparse.issparse(found) else found.ravel()
    if not np.isfinite(values).all():
        bad = np.flatnonzero(~np.isfinite(values))[0]
        row = found.indices[bad] if sparse.issparse(found) else bad // found.shape[1]
        raise errors_fit.not_finite(name, int(row), float(values[bad]))
    return found


def _factor(theta: Any, q: int) -> Any:
    """Lambda, (q, q)."""
    from scipy import sparse

    given = theta if sparse.issparse(theta) else as_float("theta", theta)
    if given.shape not in ((), (q,), (q, q)):
        raise errors_marginal.factor_shape(given.shape, q)
    if len(given.shape) == 2:
        return _matrix("theta", given)
    if not np.isfinite(given).all():
        raise errors_fit.bad_theta("theta", theta, max(given.size, 1))
    return sparse.diags_array(np.broadcast_to(given, (q,)), format="csc")


def _vector(name: str, values: ArrayLike | None, n: int) -> Vector:
    """(n,) finite numbers; None counts as ones."""
    if values is None:
        return np.ones(n)
    vector = as_float(name, values)
    if vector.shape != (n,):
        raise errors_fit.wrong_shape(name, vector.shape, f"({n},)")
    if not np.isfinite(vector).all():
        row = int(np.argmin(np.isfinite(vector)))
        raise errors_fit.not_finite(name, row, float(vector[row]))
    return vector


def _columns(values: ArrayLike, n: int) -> Matrix:
    matrix = as_float("X", values)
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    if matrix.ndim != 2 or len(matrix) != n:
        raise errors_fit.wrong_shape("X", matrix.shape, f"({n}, number of columns)")
    if not np.isfinite(matrix).all():
        row, column = map(int, np.argwhere(~np.isfinite(matrix))[0])
        raise errors_fit.not_finite(f"column {column} of X", row, float(matrix[row, column]))
    return matrix


def _checked_beta(beta: ArrayLike, p: int) -> Vector:
    found = as_float("beta", beta)
    if found.shape != (p,):
        raise errors_fit.wrong_shape("beta", found.shape, f"({p},)")
    if not np.isfinite(found).all():
        raise errors_fit.not_finite("beta", int(np.argmin(np.isfinite(found))), float(found[~np.isfinite(found)][0]))
    return found


def _positive(weights: Vector) -> Vector:
    if not weights.min() > 0:
        raise errors_fit.weights_not_positive(int(np.argmin(weights)), float(weights.min()))
    return weights


def _positive_square(sigma: Any) -> float:
    value = as_float("sigma", sigma)
    if isinstance(sigma, bool) or value.shape != () or not 1e-150 <= value <= 1e150:
        raise errors_marginal.sigma_invalid(sigma)
    return float(value) ** 2
