"""The posterior covariance of the random effects: its products with vectors, and what it does to each row.

H = Lambda (Lambda'Z'WZ Lambda + I)⁻¹ Lambda' is never formed: the core solves with the Cholesky factor of the fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from henderson import errors_fit
from henderson.absent import require_rows
from henderson.conversion import as_float
from henderson.inference import products

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


def solve_random(model: LinearMixedModel, rhs: ArrayLike) -> Matrix:
    """Multiply by the posterior covariance of the random effects, in units of sigma².

    Parameters
    ----------
    rhs
        Vectors over the random effects, shape (q, m) or (q,), in the order of the columns of `Z`.

    Returns
    -------
    ndarray
        H rhs, of the same shape.

    Raises
    ------
    DataError
        `rhs` has not q rows, or has values that are not finite.

    Notes
    -----
    H = Lambda (Lambda'Z'WZ Lambda + I)⁻¹ Lambda' at the estimated theta. Given y and beta the random effects have the
    covariance matrix sigma² H, and with V = Cov(y), sigma² V⁻¹ v = W v - W Z H Z'W v. One factorisation serves all
    columns; they are solved for in blocks, by several threads.

    Examples
    --------
    >>> import henderson as hd
    >>> import numpy as np
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> first = fit.solve_random(np.eye(36)[:, :2])[:2]  # of the first subject's two effects
    >>> bool(np.allclose(fit.sigma**2 * first, fit.conditional_variances["Subject"].loc["308"]))
    True
    """
    design = model.design
    given = as_float("rhs", rhs)
    size = sum(design.factors[term.factor].n_levels * len(term.columns) for term in design.terms)
    if given.ndim not in (1, 2) or given.shape[0] != size:
        raise errors_fit.wrong_shape("rhs", given.shape, f"({size}, m) or ({size},)")
    if not np.isfinite(given).all():
        row = int(np.argwhere(~np.isfinite(given))[0][0])
        raise errors_fit.not_finite("rhs", row, float(given[row][~np.isfinite(given[row])].flat[0]))
    order = _order_of_codes(design)
    columns = given.reshape(size, -1)
    problem, theta = model._problem, model.optimum.theta
    if order is None:
        return problem.solve_random(theta, np.asfortranarray(columns)).reshape(given.shape)
    solved = problem.solve_random(theta, np.asfortranarray(columns[order]))
    result = np.empty_like(solved)
    result[order] = solved
    return result.reshape(given.shape)


def random_leverages(model: LinearMixedModel) -> Vector:
    """Leverage of each row through the random effects, the fixed effects given: w_i z_i'H z_i, shape (n,).

    The diagonal of Z H Z'W, exactly; H as in `solve_random`. Their sum is the number of degrees of freedom that the
    random effects take, between 0 (no variance) and the rank of Z.
    """
    require_rows(model.design.y)
    return model._problem.random_leverages(model.optimum.theta)


def _order_of_codes(design: DesignMatrices) -> NDArray[np.intp] | None:
    """Where the core's rows, by code, are among those of Z, by sorted level; None where the two orders agree."""
    parts, start, same = [], 0, True
    for t, term in enumerate(design.terms):
        size = len(term.columns)
        position = products.level_positions(design, t)
        same = same and bool((np.diff(position) == 1).all())
        parts.append((start + position[:, None] * size + np.arange(size)).ravel())
        start += len(position) * size
    return None if same else np.concatenate(parts)
