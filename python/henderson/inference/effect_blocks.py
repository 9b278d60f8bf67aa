"""The posterior covariance of the random effects among effects that belong together, and what theta does to it.

H = Lam (Lam'Z'W Z Lam + I)⁻¹ Lam' is block diagonal by component: when all grouping factors are nested in one of them,
the random effects of different levels of that one have nothing in common. Such a matrix is kept packed,

    packed[i, place(j)] = H_ij        for effects i and j of one component

(q, width) with the width of the largest component, and to apply H to a packed matrix is to apply it to its columns.
Crossed factors are one component, and packed is then all of H.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson import theta
from henderson.inference import products
from henderson.inference.clusters import outermost

if TYPE_CHECKING:
    from scipy import sparse

    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Stack = NDArray[np.float64]
Indices = NDArray[np.intp]

SOLVED_TOGETHER = 512


@dataclass(frozen=True, eq=False)
class Packing:
    """Which random effects belong together; vectors over the random effects are in the order of the columns of Z.

    Attributes
    ----------
    component, place
        (q,) component of each random effect and its place in it.
    width
        Size of the largest component.
    """

    component: Indices
    place: Indices
    width: int

    def units(self) -> Matrix:
        """The identity, packed, shape (q, width)."""
        result = np.zeros((len(self.place), self.width))
        result[np.arange(len(self.place)), self.place] = 1.0
        return result

    def gather(self, packed: Matrix, which: Indices) -> Stack:
        """Blocks (B, m, m) among the effects `which` (B, m); -1 stands for none and gives zeros."""
        rows, columns = which[:, :, None], which[:, None, :]
        together = (rows >= 0) & (columns >= 0) & (self.component[rows] == self.component[columns])
        return np.where(together, packed[rows, self.place[columns]], 0.0)


@dataclass(frozen=True, eq=False)
class ThetaChange:
    """What a change of one element of theta does.

    With dPsi its effect on Lam Lam', F = Z'V⁻¹X basis, and

        D = I - Z'W Z H        so that  Z'P = [D  -F] [Z  xt]'W^(1/2)

    for P = V⁻¹ - V⁻¹X(X'V⁻¹X)⁻¹X'V⁻¹ and xt the adjusted columns of X times the basis:

    Attributes
    ----------
    effects
        D'dPsi D, packed, shape (q, width).
    mixed
        D'dPsi F, shape (q, p).
    fixed
        F'dPsi F, shape (p, p).
    effect_scores
        D'dPsi Z'P y, shape (q,).
    fixed_scores
        F'dPsi Z'P y, shape (p,).
    """

    effects: Matrix
    mixed: Matrix
    fixed: Matrix
    effect_scores: Vector
    fixed_scores: Vector


def packing(design: DesignMatrices) -> Packing:
    """Find the random effects that belong together."""
    outer = outermost(design)
    parts = []
    for t, term in enumerate(design.terms):
        factor = design.factors[term.factor]
        own = np.zeros(factor.n_levels, dtype=np.intp)
        if outer is not None:
            own[products.level_positions(design, t)[factor.codes]] = outer.codes
        parts.append(np.repeat(own, len(term.columns)))
    return _placed(np.concatenate(parts))


@dataclass(frozen=True, eq=False)
class Effects:
    """The columns of Z in coordinates in which those of a term are orthonormal, W^(1/2) Z_t = Q R; b_t becomes R b_t.

    Predictors that are far from zero would cost digits otherwise. Everything here and in the deletions is in these
    coordinates, H too.

    Attributes
    ----------
    which, values
        For each row and each column of a random term its random effect and its value, both (n, s1 + s2 + ...).
    triangles
        R (s, s) per term.
    """

    model: LinearMixedModel
    which: Indices
    values: Matrix
    triangles: tuple[Matrix, ...]

    def solve(self, values: Matrix) -> Matrix:
        """H times `values` (q, m)."""
        if not values.shape[1]:
            return values
        solved = self.model.solve_random(self._mapped(values, [triangle.T for triangle in self.triangles]))
        return self._mapped(solved, self.triangles)

    def matrix(self) -> sparse.csr_array:
        """Z, sparse."""
        from scipy import sparse

        n, size = self.which.shape
        pointers = np.arange(n + 1) * size
        shape = (n, sum(b.size for b in self.model.solution.b))
        return sparse.csr_array((self.values.ravel(), self.which.ravel(), pointers), shape=shape)

    def _mapped(self, values: Matrix, triangles: Sequence[Matrix]) -> Matrix:
        parts = products.unstacked(self.model.design, values)
        return products.stacked([triangle @ part for triangle, part in zip(triangles, parts, strict=True)])


def effects_of(model: LinearMixedModel) -> Effects:
    """Gather the columns of Z."""
    design = model.design
    which, values, triangles, first = [], [], [], 0
    for t, term in enumerate(design.terms):
        factor, size = design.factors[term.factor], len(term.columns)
        orthonormal, triangle = products.orthonormal(design, t)
        levels = first + products.level_positions(design, t)[factor.codes] * size
        which += [levels + a for a in range(size)]
        values.append(orthonormal)
        triangles.append(triangle)
        first += factor.n_levels * size
    return Effects(model, np.column_stack(which), np.concatenate(values, axis=1), tuple(triangles))


def theta_changes(
    effects: Effects, kept: Indices, found: Packing, posterior: Matrix, adjusted: Matrix
) -> Iterator[ThetaChange]:
    """What changes of theta[kept] do, one after the other.

    Parameters
    ----------
    effects
        Of a fitted model.
    kept
        Indices into theta.
    found
        Of the random effects.
    posterior
        H, packed.
    adjusted
        (n, p) adjusted columns of X times the basis, and times the square roots of the weights.
    """
    from scipy import sparse

    Z = effects.matrix()
    residuals = np.asarray(effects.model.residuals("pearson"))[:, None]
    scores, fixed = Z.T @ residuals, Z.T @ adjusted
    squares = sparse.csr_array(Z.T @ Z)
    complement = found.units() - squares @ posterior

    def complemented(values: Matrix) -> Matrix:
        """D'values, for (q, m) or for packed values."""
        return values - effects.solve(squares @ values)

    for index in kept:
        changed_scores, changed = (theta_change(effects, int(index), values) for values in (scores, fixed))
        yield ThetaChange(
            effects=complemented(theta_change(effects, int(index), complement)),
            mixed=complemented(changed),
            fixed=fixed.T @ changed,
            effect_scores=complemented(changed_scores)[:, 0],
            fixed_scores=(fixed.T @ changed_scores)[:, 0],
        )


def theta_change(effects: Effects, index: int, values: Matrix) -> Matrix:
    """The derivative of Lam Lam' in an element of theta, times `values` (q, m)."""
    design = effects.model.design
    sizes = [len(term.columns) for term in design.terms]
    factors = theta.relative_factors(effects.model.optimum.theta, sizes)
    parts = products.unstacked(design, values)
    result = [np.zeros_like(part) for part in parts]
    for t, (lam, triangle) in enumerate(zip(factors, effects.triangles, strict=True)):
        columns, rows = np.triu_indices(len(lam))
        if index < len(rows):
            direction, loading = triangle[:, rows[index]], triangle @ lam[:, columns[index]]
            result[t] = (
                direction[:, None] * (loading @ parts[t])[:, None] + loading[:, None] * (direction @ parts[t])[:, None]
            )
            break
        index -= len(rows)
    return products.stacked(result)


def posterior_between(effects: Effects, found: Packing, which: Indices) -> Stack:
    """Blocks of H (B, m, m) among the effects `which` (B, m), -1 for none, by solving for all that occur."""
    used = np.unique(which[which >= 0])
    own = _placed(found.component[used])
    among = np.empty((len(used), own.width))
    for start in range(0, own.width, SOLVED_TOGETHER):
        part = np.flatnonzero((own.place >= start) & (own.place < start + SOLVED_TOGETHER))
        units = np.zeros((len(found.place), min(SOLVED_TOGETHER, own.width - start)))
        units[used[part], own.place[part] - start] = 1.0
        among[:, start : start + units.shape[1]] = effects.solve(units)[used]
    return own.gather(among, np.where(which >= 0, np.searchsorted(used, which), -1))


def _placed(component: Indices) -> Packing:
    """Number the effects of each component."""
    order = np.argsort(component, kind="stable")
    sizes = np.bincount(component)
    place = np.empty(len(component), dtype=np.intp)
    place[order] = np.arange(len(component)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return Packing(component, place, int(sizes.max()))
