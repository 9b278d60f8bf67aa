"""PX-EM: EM in a larger model, in which the random effects may be multiplied by a matrix, b = A b*.

The data say nothing about A and Sigma* apart, only about Sigma = A Sigma* A'. But the EM step in the larger model goes
further: A is the regression of y - X beta on the columns Z b, as far as these are known (Liu, Rubin and Wu 1998). With
A = I + D for each term, D solves

    sum_j (Z_j'W Z_j) D E[b_j b_j' | y]  =  sum_j E[Z_j'W e b_j' | y]  =  -sigma² G Psi

which is the gradient again. Then Sigma <- A Sigma_EM A'. With several terms each has its own regression; should these
together go too far, the D are divided by the number of terms, with which they cannot.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from henderson.solvers.em import expected_factors
from henderson.solvers.point import Matrix, Model, Point, Vector, theta_of, triangular


class PXEM:
    """The steps of PX-EM, as `loop.minimise` takes them.

    Z_j'W Z_j of each level and, for REML, Z'W X are formed once: no step depends on the number of rows.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    def candidates(self, at: Point) -> Iterator[Vector]:
        """A step of PX-EM, one with shorter expansions where there are several terms, one of EM."""
        plain = expected_factors(at, self._model.levels)
        expansions = self._expansions(at)
        for share in (1.0, 1.0 / len(plain)) if len(plain) > 1 else (1.0,):
            steps = zip(expansions, plain, strict=True)
            yield theta_of([triangular(factor + share * d @ factor) for d, factor in steps])
        yield theta_of(plain)

    def _expansions(self, at: Point) -> list[Matrix]:
        """D of each term, (s, s)."""
        variance = at.solution.sigma**2
        found = []
        rest = zip(self._level_products, self._expected_squares(at), at.factors, at.slopes, strict=True)
        for products, squares, factor, slope in rest:
            size = len(factor)
            normal = products.reshape(-1, size * size).T @ squares.reshape(-1, size * size)  # (a c), (b d)
            normal = normal.reshape((size,) * 4).transpose(0, 2, 1, 3).reshape(size * size, size * size)
            found.append(_regression(normal, factor, slope, variance))
        return found

    def _expected_squares(self, at: Point) -> list[Matrix]:
        """E[b_j b_j' | y] of each level, per term (levels, s, s)."""
        model, solution = self._model, at.solution
        variances = model.problem.conditional_variances(model.y, at.theta, model.is_reml)
        squares = [own + b[:, :, None] * b[:, None, :] for own, b in zip(variances, solution.b, strict=True)]
        if model.is_reml and len(solution.beta):
            root = solution.sigma * np.linalg.cholesky(solution.unscaled_vcov)
            effects = model.problem.solve_random(at.theta, self._products_with_fixed) @ root
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


def _regression(normal: Matrix, factor: Matrix, slope: Matrix, variance: float) -> Matrix:
    """Solve for D, with columns of unit length; no expansion where nothing determines it."""
    size = len(factor)
    try:
        right = -variance * (np.linalg.solve(factor.T, slope) @ factor.T).ravel()
        scale = np.sqrt(np.where(np.diag(normal) > 0, np.diag(normal), 1.0))
        found = np.linalg.solve(normal / np.outer(scale, scale), right / scale) / scale
    except np.linalg.LinAlgError:
        found = np.zeros(size * size)
    expansion: Matrix = found.reshape(size, size)
    return expansion if np.isfinite(expansion).all() else np.zeros((size, size))


def _product(one: Vector | None, other: Vector | None) -> Vector | None:
    """The product of two columns, None for a column of ones."""
    if one is None or other is None:
        return other if one is None else one
    return one * other
