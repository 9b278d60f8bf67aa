"""Steps of the loadings L of a term, b = L u with u ~ N(0, sigma² I): regressions of y - X beta on Z, per term.

    EM    sum_j (Z_j'W Z_j) D E[u_j u_j' | y]                   =  sum_j E[Z_j'W e u_j' | y]  =  -sigma² G L
    MM    sum_j (Z_j'W Z_j) D u_j u_j'  +  sigma² S D           =  -sigma² G L

D is the change of L, e = y - X beta - Z b. For EM the u_j are known as far as the data say; for MM they stay where they
are, and log|V| is replaced by its tangent, S_t = sum_j [Z'V⁻¹Z]_jj. All is in the coordinates D = [L N] C, in which the
right side is the slope that a `Point` has. Several terms that together go too far have their steps divided by their
number, with which they cannot: the function that each of them minimises is convex in all L together.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from henderson.solvers.point import FLAT, Matrix, Model, Point, Vector


class Loadings:
    """How the loadings of each term change.

    Z_j'W Z_j of each level and, for REML, Z'W X are formed once: no step depends on the number of rows.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    def expected(self, at: Point) -> list[Matrix]:
        """D of each term for EM, (s, r)."""
        variance, found = at.solution.sigma**2, []
        squares = self._expected_squares(at)
        for own, products, known, slope in zip(at.spectra, self._level_products, squares, at.slopes, strict=True):
            basis, to_u = own.basis, own.to_factors
            normal = _normal(basis.T @ products @ basis, to_u @ known @ to_u.T)
            found.append(basis @ _solved(normal, -variance * slope))
        return found

    def majorised(self, at: Point) -> list[Matrix]:
        """D of each term for MM, (s, r)."""
        variance, found = at.solution.sigma**2, []
        tangents = self._model.problem.traces(at.filled)
        terms = zip(at.spectra, self._level_products, at.modes, tangents, at.slopes, strict=True)
        for own, products, u, tangent, slope in terms:
            basis = own.basis
            normal = _normal(basis.T @ products @ basis, u[:, :, None] * u[:, None, :])
            normal += variance * np.kron(basis.T @ tangent @ basis, np.eye(own.rank))
            found.append(basis @ _solved(normal, -variance * slope))
        return found

    def _expected_squares(self, at: Point) -> list[Matrix]:
        """E[b_j b_j' | y] of each level, per term (levels, s, s)."""
        model, solution = self._model, at.solution
        variances = model.problem.conditional_variances(model.y, at.filled, model.is_reml)
        squares = [own + b[:, :, None] * b[:, None, :] for own, b in zip(variances, solution.b, strict=True)]
        if model.is_reml and len(solution.beta):
            root = solution.sigma * np.linalg.cholesky(solution.unscaled_vcov)
            effects = model.problem.solve_random(at.filled, self._products_with_fixed) @ root
            start = 0
            for own, size, m in zip(squares, model.sizes, model.levels, strict=True):
                part = effects[start : start + size * m].reshape(m, size, -1)
                own += part @ part.transpose(0, 2, 1)
                start += size * m
        return squares

    @cached_property
    def _level_products(self) -> list[Matrix]:
        """Z_j'W Z_j, per term (levels, s, s)."""
        _, codes, levels, terms, weights = self._model.problem.arrays
        found = []
        for factor, columns in terms:
            products = np.empty((levels[factor], len(columns), len(columns)))
            for a, left in enumerate(columns):
                for b, right in enumerate(columns[: a + 1]):
                    values = _product(_product(left, right), weights)
                    products[:, a, b] = products[:, b, a] = np.bincount(codes[factor], values, levels[factor])
            found.append(products)
        return found

    @cached_property
    def _products_with_fixed(self) -> Matrix:
        """Z'W X over the columns of X that were kept, (q, p), in the order of the core."""
        problem = self._model.problem
        x, codes, levels, terms, weights = problem.arrays
        columns = []
        for j in problem.kept:
            scaled = _product(x[j], weights)
            parts = [
                np.stack([np.bincount(codes[f], _product(scaled, z), levels[f]) for z in own], axis=1)
                for f, own in terms
            ]
            columns.append(np.concatenate([np.asarray(part, dtype=np.float64).ravel() for part in parts]))
        return np.asfortranarray(np.stack(columns, axis=1))


def shares(terms: int) -> tuple[float, ...]:
    """The parts of the steps of so many terms that are tried."""
    return (1.0,) if terms < 2 else (1.0, 1.0 / terms)


def _normal(products: Matrix, squares: Matrix) -> Matrix:
    """The matrix of C -> sum_j products_j C squares_j, C row after row, (s r, s r)."""
    m, s, r = len(products), products.shape[1], squares.shape[1]
    sums = products.reshape(m, s * s).T @ squares.reshape(m, r * r)  # (a c), (d b)
    return sums.reshape(s, s, r, r).transpose(0, 3, 1, 2).reshape(s * r, s * r)


def _solved(normal: Matrix, right: Matrix) -> Matrix:
    """C (s, r), by columns of unit length; zero in directions that nothing determines."""
    scale = np.sqrt(np.where(np.diag(normal) > 0, np.diag(normal), 1.0))
    try:
        found, *_ = np.linalg.lstsq(normal / np.outer(scale, scale), right.ravel() / scale, rcond=FLAT)
    except np.linalg.LinAlgError:
        return np.zeros(right.shape)
    change: Matrix = (found / scale).reshape(right.shape)
    return change


def _product(one: Vector | None, other: Vector | None) -> Vector | None:
    """The product of two columns, None for a column of ones."""
    if one is None or other is None:
        return other if one is None else one
    return one * other
