"""The quadratic forms of the moment estimators, and their expectations.

With the rows multiplied by the roots of their weights, let A_0 = I and A_k = I - Z_k (Z_k'Z_k)⁻¹ Z_k', which centres
within the levels of factor k. Form k is the residual sum of squares of a regression on the columns of X and, for k > 0,
on the levels of factor k:

    U_k = y'Q_k y,    Q_k = A_k - A_k X (X'A_k X)⁺ X'A_k,    k = 0 .. K

    E U_k = sigma² (n - r_k) + sum_m sigma_m² tr(Z_m'Q_k Z_m),    r_k = rank [Z_k X]

Everything follows from sums by level and tables of pairs of factors. One factor: Henderson's method III. X a column of
ones: Henderson's method I for crossed and nested factors, which for two is Gao and Owen's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from henderson import errors_moments
from henderson.moments.crosstabs import CrossTabs
from henderson.moments.rows import Matrix, Vector
from henderson.moments.sums import Sums

DEPENDENT = 1e-10
"""A column is determined by others if less than this of its squared length is its own."""
ROUNDING = 1e-24
"""A column whose values differ by less than the root of this, relative to their size, is constant."""
INSEPARABLE = 1e-10
"""Smallest singular value, relative to the largest, of a system of moment equations that can be solved."""


@dataclass(frozen=True, eq=False)
class Form:
    """One quadratic form y'Q_k y.

    Attributes
    ----------
    factor
        The factor within whose levels it centres; None for k = 0.
    value
        y'Q_k y.
    df
        n - r_k.
    inverse
        (X'A_k X)⁺, (p, p).
    cross
        Per factor m: Z_m'A_k X (J_m, p).
    diagonals
        Per factor m: the diagonal of Z_m'Q_k Z_m (J_m,).
    """

    factor: int | None
    value: float
    df: float
    inverse: Matrix
    cross: tuple[Matrix, ...]
    diagonals: tuple[Vector, ...]

    @cached_property
    def traces(self) -> Vector:
        """tr(Z_m'Q_k Z_m) of every factor (K,)."""
        return np.array([diagonal.sum() for diagonal in self.diagonals])


def independent_columns(sums: Sums) -> list[int]:
    """Indices of columns that the earlier ones do not determine."""
    xx = sums.xx
    least = ROUNDING * sums.weight * sums.x_shift**2  # what is left of a constant column when it was shifted
    kept: list[int] = []
    for j in range(len(xx)):
        rest = float(xx[j, j])
        if kept:
            rest -= float(xx[j, kept] @ np.linalg.lstsq(xx[np.ix_(kept, kept)], xx[kept, j], rcond=None)[0])
        if rest > DEPENDENT * xx[j, j] and xx[j, j] > least[j]:
            kept.append(j)
    return kept


def forms(sums: Sums, tabs: CrossTabs) -> list[Form]:
    """Form 0 and the form of every factor."""
    return [_form(sums, tabs, k) for k in (None, *range(len(sums.factors)))]


def system(parts: list[Form]) -> Matrix:
    """(K + 1, K + 1) T, so that E U = T (sigma_1², .., sigma_K², sigma²)."""
    return np.array([[*form.traces, form.df] for form in parts])


def solve(parts: list[Form], names: list[str]) -> tuple[Vector, Matrix]:
    """The unbiased estimates (K + 1,) and T⁻¹."""
    matrix = system(parts)
    scaled = matrix / np.maximum(np.abs(matrix).max(axis=1, keepdims=True), 1.0)
    singular = np.linalg.svd(scaled, compute_uv=False)
    if not singular[-1] > INSEPARABLE * singular[0]:
        raise errors_moments.not_separable(names)
    inverse = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    return inverse @ np.array([form.value for form in parts]), inverse


def _form(sums: Sums, tabs: CrossTabs, k: int | None) -> Form:
    inside, with_y, y_squared = sums.xx, sums.xy, sums.yy
    df = float(sums.n)
    if k is not None:
        own = sums.factors[k]
        means = own.x * own.inverse[:, None]
        inside = inside - own.x.T @ means
        with_y = with_y - means.T @ own.y
        y_squared -= float(own.y @ (own.y * own.inverse))
        df -= own.used
    inverse, rank = _pseudo_inverse(inside, np.diag(sums.xx))
    cross = tuple(_cross(sums, tabs, m, k) for m in range(len(sums.factors)))
    diagonals = []
    for m, c in enumerate(cross):
        diagonal = np.zeros(len(c)) if m == k else sums.factors[m].weights.copy()
        if k is not None and m != k:
            diagonal -= tabs.squares(m, k) @ sums.factors[k].inverse
        diagonals.append(diagonal - np.einsum("ij,jk,ik->i", c, inverse, c, optimize=True))
    value = y_squared - float(with_y @ inverse @ with_y)
    return Form(k, max(value, 0.0), df - rank, inverse, cross, tuple(diagonals))


def _cross(sums: Sums, tabs: CrossTabs, m: int, k: int | None) -> Matrix:
    """Z_m'A_k X, zero for a column of ones."""
    factor = sums.factors[m]
    if k is None:
        return factor.x
    if m == k:
        return np.zeros_like(factor.x)
    cross = np.zeros_like(factor.x)
    own = sums.factors[k]
    for j in range(cross.shape[1]):
        if not np.array_equal(own.x[:, j], own.weights):
            cross[:, j] = factor.x[:, j] - tabs.times(m, k, own.x[:, j] * own.inverse)
    return cross


def _pseudo_inverse(matrix: Matrix, scale: Vector) -> tuple[Matrix, int]:
    """Of X'A_k X, whose columns had the squared lengths `scale` before they were centred; and its rank."""
    if not len(matrix):
        return matrix, 0
    root = np.sqrt(np.where(scale > 0, scale, 1.0))
    values, vectors = np.linalg.eigh(matrix / np.outer(root, root))
    is_found = values > DEPENDENT
    vectors = vectors[:, is_found] / root[:, None]
    return (vectors / values[is_found]) @ vectors.T, int(is_found.sum())
