"""Whether one model is a special case of another, and how many variances it has less."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson.absent import AbsentRows, fingerprint_of, groups_fingerprint
from henderson.design import stack

if TYPE_CHECKING:
    from henderson.design import DesignMatrices, RandomTerm
    from henderson.factors import Factor

Vector = NDArray[np.float64]
Columns = Sequence[Vector | None]

TOLERANCE = 1e-8
"""A column is a combination of others when this much of its length, or less, is left unexplained."""


def spans(large: Columns, small: Columns, n: int) -> bool:
    """Whether every column of `small` is a linear combination of those of `large`.

    Of fits that were loaded without their rows: whether it is one of them.
    """
    is_absent = any(isinstance(column, AbsentRows) for column in (*large, *small))
    mark = fingerprint_of if is_absent else id
    known = {mark(column) for column in large}
    others = [column for column in small if mark(column) not in known]  # shared ones need no look
    if not others:
        return True
    if not large or is_absent:
        return False
    wanted = stack(others, n)
    basis = _orthonormal(stack(list(large), n))
    left = wanted - basis @ (basis.T @ wanted)
    lengths = np.linalg.norm(wanted, axis=0)
    return bool((np.linalg.norm(left, axis=0) <= TOLERANCE * lengths).all())


def _orthonormal(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    """An orthonormal basis of what the columns span, shape (n, rank)."""
    scaled = columns / np.maximum(np.linalg.norm(columns, axis=0), np.finfo(float).tiny)
    basis, triangle = np.linalg.qr(scaled)
    left, singular, _ = np.linalg.svd(triangle)
    kept = singular > TOLERANCE * singular.max(initial=0.0)
    return np.asarray(basis @ left[:, kept])


def same_fixed_effects(one: DesignMatrices, other: DesignMatrices) -> bool:
    """Whether the fixed effects of two designs span the same space."""
    return fixed_effects_nested(one, other) and fixed_effects_nested(other, one)


def fixed_effects_nested(small: DesignMatrices, large: DesignMatrices) -> bool:
    """Whether the fixed effects of one design are among those of the other."""
    return spans(large.x, small.x, small.n)


def variances_added(small: DesignMatrices, large: DesignMatrices) -> int | None:
    """How many variances of the larger model are zero in the smaller one; None if its random part is not nested.

    Correlations that the larger model adds do not count.
    """
    places = {i: _same_factor(factor, large.factors) for i, factor in enumerate(small.factors)}
    covered = [0] * len(large.terms)
    for term in small.terms:
        columns: Columns = term.columns
        home = _home(columns, places[term.factor], large)
        if home is None:
            factor, columns = _divided(term, small.factors[term.factor], large)
            home = _home(columns, factor, large)
        if home is None:
            return None
        covered[home] += len(columns)
    return sum(max(0, len(term.columns) - count) for term, count in zip(large.terms, covered, strict=True))


def _home(columns: Columns, factor: int | None, large: DesignMatrices) -> int | None:
    """The smallest term of the larger model, on the same factor, whose effects include these."""
    fitting = [
        place
        for place, other in enumerate(large.terms)
        if other.factor == factor and len(columns) <= len(other.columns) and spans(other.columns, columns, large.n)
    ]
    return min(fitting, key=lambda place: len(large.terms[place].columns), default=None)


def _divided(term: RandomTerm, factor: Factor, large: DesignMatrices) -> tuple[int | None, Columns]:
    """A term such as (1 | g:f) as one on g: the place of g in the larger model, and the columns for each level of f.

    Its effects are those of (0 + f | g) with equal variances and no correlations.
    """
    for place, other in enumerate(large.factors):
        rest = [j for j, variable in enumerate(factor.variables) if variable not in other.variables]
        is_coarser = len(rest) + len(other.variables) == len(factor.variables) > len(rest) > 0
        if not is_coarser or factor.combinations is None or isinstance(factor.codes, AbsentRows):
            continue
        _, kind = np.unique(factor.combinations[:, rest], axis=0, return_inverse=True)
        kinds = np.reshape(kind, -1)[factor.codes]
        levels = range(int(kind.max()) + 1)
        if len(levels) * len(term.columns) <= max(len(wide.columns) for wide in large.terms):
            own = [1.0 if column is None else column for column in term.columns]
            return place, [np.where(kinds == level, column, 0.0) for level in levels for column in own]
    return None, term.columns


def _same_factor(factor: Factor, others: Sequence[Factor]) -> int | None:
    """The factor among `others` that puts the same rows together."""
    for place, other in enumerate(others):
        if same_groups(factor, other):
            return place
    return None


def same_groups(one: Factor, other: Factor) -> bool:
    """Whether two factors put the same rows together."""
    if one.n_levels != other.n_levels:
        return False
    if isinstance(one.codes, AbsentRows) or isinstance(other.codes, AbsentRows):
        return groups_fingerprint(one.codes) == groups_fingerprint(other.codes)
    if one.codes is other.codes:
        return True
    image = np.full(one.n_levels, -1, dtype=np.int64)
    image[one.codes] = other.codes  # the last row of each level decides; all others must agree
    return bool((image[one.codes] == other.codes).all())
