"""The variance of predictions: fixed and random effects jointly, and how it depends on the variance parameters.

For a function x'beta + z'b of fixed and random effects, Henderson's mixed-model equations give the variance of the
error of its prediction, at known theta and in units of sigma²,

    v = z'H z + d'Phi d        d = x - X'W Z H z        Phi = (X'V⁻¹X)⁻¹        H = (Z'W Z + Psi⁻¹)⁻¹

with Psi = Lam Lam'. The inverse of their matrix has the rows of z in a = H (z - Z'W X Phi d), and

    dv = r'(dPsi) r            r = Psi⁻¹a

for a change of Psi. A level that the data do not have adds z'Psi z. No matrix is larger than q by a chunk of rows.

All this is done in coordinates in which the origin of a predictor costs no digits: with N of `satterthwaite.origin` and
R of `products.triangle`, x N⁻¹ and z_t R⁻¹ stand for x and z_t, and R lam_t for lam_t.

References
----------
Henderson, C. R. (1975). Best linear unbiased estimation and prediction under a selection model. Biometrics 31, 423-447.
McLean, R. A., Sanders, W. L. and Stroup, W. W. (1991). A unified approach to mixed linear models. The American
Statistician 45, 54-64.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson import theta
from henderson.inference import products, satterthwaite
from henderson.inference.cross_products import cross_product_zx, cross_product_zz
from henderson.inference.prediction_blocks import LevelBlocks

if TYPE_CHECKING:
    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

CHUNK_VALUES = 2**22
"""Numbers in a work array, at most,"""
FEWEST = 16
"""or so many columns: a factorisation serves all of them."""
FEW = 500
"""Rows of the fit that are not worth a shortcut."""
CONDITION = 1e-6
"""A relative factor with unit rows and a singular value below this is not inverted."""


@dataclass(frozen=True, eq=False)
class KnownEffects:
    """Random effects of m rows that the model has conditional modes of.

    Attributes
    ----------
    units
        Row of each in the random effects, (m, columns): term after term, code after code, the effects of a level side
        by side. Anything where the level is not known.
    z
        What they are multiplied with, (m, columns): zero where the level is not known.
    terms
        The random term of each column.
    """

    units: NDArray[np.intp]
    z: Matrix
    terms: tuple[int, ...]


class Variances:
    """Variances of prediction errors at the estimates of a fit, in units of sigma², and their derivatives.

    All rows and matrices are in its coordinates: see `centred` and `mapped`.

    Parameters
    ----------
    model
        A fitted model.
    """

    def __init__(self, model: LinearMixedModel) -> None:
        self.model = model
        design = model.design
        self.sizes = tuple(len(term.names) for term in design.terms)
        self.levels = tuple(design.factors[term.factor].n_levels for term in design.terms)
        totals = [size * levels for size, levels in zip(self.sizes, self.levels, strict=True)]
        self.starts = tuple(np.cumsum([0, *totals]).tolist())

    # ----------------------------------------------------------------------------------------- what serves all rows

    @cached_property
    def origin(self) -> Matrix:
        """N, shape (p, p)."""
        return satterthwaite.origin(self.model.stand_in)

    @cached_property
    def triangles(self) -> list[Matrix]:
        """R per term, (s, s); one for a single effect."""
        design = self.model.stand_in.design
        return [products.triangle(design, t) if size > 1 else np.eye(1) for t, size in enumerate(self.sizes)]

    def centred(self, x: Matrix) -> Matrix:
        """Rows of the columns of X that were kept, (m, p), in these coordinates."""
        result: Matrix = x @ np.linalg.inv(self.origin)
        return result

    def mapped(self, t: int, z: Matrix) -> Matrix:
        """Rows of the columns of a random term, (m, s), in these coordinates."""
        result: Matrix = z @ np.linalg.inv(self.triangles[t])
        return result

    def of_coefficients(self, covariance: Matrix) -> Matrix:
        """A covariance matrix of the fixed effects, (p, p), in these coordinates."""
        return self.origin @ covariance @ self.origin.T

    @cached_property
    def unscaled(self) -> Matrix:
        """Phi, shape (p, p)."""
        return self.of_coefficients(self.model.solution.unscaled_vcov)

    @cached_property
    def cross(self) -> Matrix:
        """Z'W X of the columns kept, shape (q, p)."""
        return cross_product_zx(self._design(), satterthwaite.centred_columns(self.model.stand_in))

    def _design(self) -> DesignMatrices:
        return products.mapped_columns(self.model.stand_in.design, self.triangles)

    @cached_property
    def solved(self) -> Matrix:
        """H Z'W X, shape (q, p)."""
        return self.solve(self.cross)

    @cached_property
    def factors(self) -> list[Matrix]:
        """R lam per term, (s, s)."""
        found = theta.relative_factors(np.asarray(self.model.optimum.theta), self.sizes)
        return [triangle @ lam for triangle, lam in zip(self.triangles, found, strict=True)]

    @cached_property
    def is_invertible(self) -> list[bool]:
        """Whether Psi_t can be inverted without loss."""
        ranks = self.model.optimum.ranks
        return [rank == len(lam) and _is_invertible(lam) for rank, lam in zip(ranks, self.factors, strict=True)]

    @cached_property
    def directions(self) -> list[tuple[int, Vector, Vector]]:
        """For each direction of theta in `Information`: the term, the column of lam that changes and its change."""
        return [
            (part.term, self.factors[part.term][:, part.column], move)
            for part in self.model.information.directions
            for move in (self.triangles[part.term][:, part.column :] @ part.basis).T
        ]

    @cached_property
    def moved_projections(self) -> list[Matrix]:
        """H Psi⁻¹ (dPsi) Z'V⁻¹X for each direction, (q, p) each."""
        projected = self.unshrunk(self.cross, self.solved)
        return [self.moved(i, projected) for i in range(len(self.directions))]

    @cached_property
    def _by_level(self) -> LevelBlocks:
        return LevelBlocks(self)

    def solve(self, right: Matrix) -> Matrix:
        """H times `right`, (q, m) each."""
        given = np.asfortranarray(self._by_triangles(right, is_transposed=True))
        solved = self.model._problem.solve_random(self.model.optimum.theta, given)
        return self._by_triangles(solved, is_transposed=False)

    def _by_triangles(self, values: Matrix, *, is_transposed: bool) -> Matrix:
        """R or R' times the effects of each level, (q, m)."""
        if max(self.sizes) == 1:
            return values
        result = np.array(values, order="F")
        for t, triangle in enumerate(self.triangles):
            if len(triangle) > 1:
                place = slice(self.starts[t], self.starts[t + 1])
                blocks = values[place].T.reshape(-1, self.levels[t], self.sizes[t])
                blocks = blocks @ (triangle if is_transposed else triangle.T)
                result[place] = blocks.reshape(len(blocks), -1).T
        return result

    def unshrunk(self, right: Matrix, solved: Matrix) -> Matrix:
        """Psi⁻¹ H times `right`, which is right - Z'W Z H right, (q, m); zero for terms without variance.

        The second form holds for singular Psi too, but needs a pass over the rows.
        """
        ranks = self.model.optimum.ranks
        if any(rank > 0 and not simple for rank, simple in zip(ranks, self.is_invertible, strict=True)):
            result = right - cross_product_zz(self._design(), solved)
        else:
            result = np.empty_like(right)
        for t, (start, stop) in enumerate(pairwise(self.starts)):
            if ranks[t] == 0:
                result[start:stop] = 0.0
            elif self.is_invertible[t]:
                result[start:stop] = self.by_precision(t, solved[start:stop])
        return result

    def by_precision(self, t: int, effects: Matrix) -> Matrix:
        """Psi_t⁻¹ times some effects of a term, (levels s, m) each."""
        inverse = np.linalg.inv(self.factors[t])
        if len(inverse) == 1:
            result: Matrix = effects * inverse[0, 0] ** 2
            return result
        blocks = effects.T.reshape(-1, self.levels[t], self.sizes[t]) @ (inverse.T @ inverse)
        return blocks.reshape(len(blocks), -1).T

    def moved(self, i: int, effects: Matrix) -> Matrix:
        """H Psi⁻¹ (dPsi) times `effects` along a direction, (q, m) each."""
        t, loading, move = self.directions[i]
        start, stop = self.starts[t], self.starts[t + 1]
        own = effects[start:stop].T.reshape(-1, self.levels[t], self.sizes[t])
        change = (own @ move)[..., None] * loading + (own @ loading)[..., None] * move
        right = np.zeros(effects.shape, order="F")
        right[start:stop] = change.reshape(len(own), stop - start).T
        if self.is_invertible[t]:
            right[start:stop] = self.by_precision(t, right[start:stop])
            return self.solve(right)
        return right - self.solve(cross_product_zz(self._design(), right))

    # ------------------------------------------------------------------------------------------------ for some rows

    def prepares(self, rows: int, *, are_of_fit: bool, with_slopes: bool) -> bool:
        """Whether sums for all rows at once are less work than solving for each of so many rows."""
        columns = sum(levels * size for levels, size in zip(self.levels, self.sizes, strict=True))
        if with_slopes:
            columns *= 1 + len(self.directions)
        return len(self.model.design.factors) > 1 and rows > (FEW if are_of_fit else columns)

    def of_known(self, x: Matrix, known: KnownEffects | None, *, with_slopes: bool) -> tuple[Matrix, Vector, Matrix]:
        """Of x'beta + z'b with random effects that the data have.

        Parameters
        ----------
        x
            (m, p) columns kept.
        known
            The random effects, None for none.
        with_slopes
            Whether the derivatives are wanted.

        Returns
        -------
        adjusted, variance, slopes
            d, (m, p); z'H z, (m,), to which d'Phi d is to be added; derivatives of the sum along `directions`, (m, k).
        """
        if known is None or known.units.shape[1] == 0:
            adjusted = x
            variance = np.zeros(len(x))
            slopes = self.slopes_of_fixed(x) if with_slopes else np.zeros((len(x), 0))
            return adjusted, variance, slopes
        if len(self.model.design.factors) == 1:
            return self._by_level.of_rows(x, known, with_slopes=with_slopes)
        return self._by_solving(x, known, with_slopes=with_slopes)

    def rows_per_chunk(self, columns: int, *, is_prepared: bool) -> int:
        """How many rows with so many random effects to ask for at once."""
        width: int = 4 * (len(self.unscaled) + columns + 1) * max(columns, 1)
        if len(self.model.design.factors) > 1 and columns and not is_prepared:
            return max(FEWEST, CHUNK_VALUES // int(self.starts[-1]))
        return max(1, CHUNK_VALUES // width)

    def slopes_of_fixed(self, d: Matrix) -> Matrix:
        """d'(dPhi) d for each direction of theta, (m, k)."""
        slopes = [np.einsum("mp,mp->m", d @ own, d) for own in self._changes_of_fixed]
        return np.column_stack([np.zeros((len(d), 0)), *slopes])

    @cached_property
    def _changes_of_fixed(self) -> list[Matrix]:
        derivatives = self.model._satterthwaite.derivatives[:-1] / self.model.sigma**2
        return [self.of_coefficients(own) for own in derivatives]

    def _by_solving(self, x: Matrix, known: KnownEffects, *, with_slopes: bool) -> tuple[Matrix, Vector, Matrix]:
        """With a solution of q equations for each distinct row."""
        rows, first, inverse = _distinct(x, known)
        units, values = known.units[first], known.z[first]
        adjusted = x[first] - np.einsum("mc,mcp->mp", values, self.solved[units], optimize=True)
        through = adjusted @ self.unscaled  # Phi d
        right = -(through @ self.cross.T).T
        columns = np.broadcast_to(np.arange(rows)[:, None], units.shape)
        np.add.at(right, (units, columns), values)
        found = self.solve(right)  # a
        variance = np.einsum("mc,mc->m", values, found[units, columns])
        variance += np.einsum("mp,mp->m", x[first] - adjusted, through)
        slopes = np.zeros((rows, 0))
        if with_slopes:
            slopes = self._squares(self.unshrunk(right, found))
        return adjusted[inverse], variance[inverse], slopes[inverse]

    def _squares(self, r: Matrix) -> Matrix:
        """r'(dPsi) r for each direction of theta, (m, k); r is (q, m)."""
        slopes = np.empty((r.shape[1], len(self.directions)))
        for i, (t, loading, move) in enumerate(self.directions):
            own = r[self.starts[t] : self.starts[t + 1]].T.reshape(-1, self.levels[t], self.sizes[t])
            slopes[:, i] = 2.0 * np.einsum("mj,mj->m", own @ loading, own @ move)
        return slopes

    def of_new_levels(self, t: int, z: Matrix, *, with_slopes: bool) -> tuple[Vector, Matrix]:
        """Variance z'Psi_t z of effects of levels that the data do not have, (m,), and its derivatives, (m, k)."""
        variance = np.square(z @ self.factors[t]).sum(axis=1)
        if not with_slopes:
            return variance, np.zeros((len(z), 0))
        slopes = np.zeros((len(z), len(self.directions)))
        for i, (term, loading, move) in enumerate(self.directions):
            if term == t:
                slopes[:, i] = 2.0 * (z @ loading) * (z @ move)
        return variance, slopes


def _is_invertible(lam: Matrix) -> bool:
    lengths = np.linalg.norm(lam, axis=1)
    if not lengths.all():
        return False
    return bool(np.linalg.svd(lam / lengths[:, None], compute_uv=False)[-1] > CONDITION)


def _distinct(x: Matrix, known: KnownEffects) -> tuple[int, NDArray[np.intp], NDArray[np.intp]]:
    """Number of distinct rows, where each first occurs, and which of them each row is."""
    if len(x) == 1:
        return 1, np.zeros(1, dtype=np.intp), np.zeros(1, dtype=np.intp)
    table = np.column_stack([x, known.z, known.units.astype(np.float64)])
    _, first, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return len(first), first, inverse.reshape(-1)
