"""Covariance matrix of the moment estimates, without normality.

For independent effects with variances sigma_m² and fourth cumulants c_m (0 for normal ones; c_e those of the errors),

    Cov(U_k, U_l) = 2 tr(Q_k V Q_l V) + sum_m c_m sum_i (Z_m'Q_k Z_m)_ii (Z_m'Q_l Z_m)_ii + c_e sum_r (Q_k)_rr (Q_l)_rr

exactly, whatever the distributions. Traces of products are sums over the columns of a small basis where the number of
levels allows it, otherwise over random signs, with the diagonals, which are known and hold most of it, taken apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from henderson.moments.crosstabs import CrossTabs
from henderson.moments.forms import Form
from henderson.moments.rows import Matrix, Vector
from henderson.moments.sums import Sums

EXACT = 256
"""With no more levels than this the traces are exact."""
PROBES = 8
"""Vectors of random signs, otherwise."""


def covariance_of_forms(
    sums: Sums, tabs: CrossTabs, parts: Sequence[Form], variances: Vector, cumulants: Vector
) -> Matrix:
    """Cov(U_k, U_l), (K + 1, K + 1), at variances (sigma_1², .., sigma²) and fourth cumulants in the same order."""
    effects, error = variances[:-1], float(variances[-1])
    total = np.zeros((len(parts), len(parts)))
    pairs = _pair_traces(sums, tabs, parts, effects)
    for a, one in enumerate(parts):
        for b, other in enumerate(parts[: a + 1]):
            squares = [np.sum(x * y) for x, y in zip(one.diagonals, other.diagonals, strict=True)]
            value = 2.0 * error**2 * _trace_of_product(sums, tabs, one, other)
            value += 4.0 * error * pairs[0][a, b] + 2.0 * pairs[1][a, b]
            value += float(np.dot(cumulants[:-1], squares))
            value += float(cumulants[-1]) * _error_squares(sums, tabs, one, other)
            total[a, b] = total[b, a] = value
    return total


def _trace_of_product(sums: Sums, tabs: CrossTabs, one: Form, other: Form) -> float:
    """tr(Q_k Q_l)."""
    k, m = one.factor, other.factor
    if k is None or m is None or k == m:
        return min(one.df, other.df)
    first, second = sums.factors[k], sums.factors[m]
    trace = sums.n - (sums.n - one.df) - (sums.n - other.df)
    trace += float(first.inverse @ (tabs.squares(k, m) @ second.inverse))  # projections on Z_k and on Z_m
    for factor, form, index in ((first, other, k), (second, one, m)):
        c = form.cross[index]
        trace += float(np.sum((c.T @ (c * factor.inverse[:, None])) * form.inverse))
    inside = sums.xx - first.x.T @ (first.x * first.inverse[:, None])
    both = inside - one.cross[m].T @ (second.x * second.inverse[:, None])  # X'A_k A_m X
    return trace + float(np.sum((both @ other.inverse @ both.T) * one.inverse))


def _error_squares(sums: Sums, tabs: CrossTabs, one: Form, other: Form) -> float:
    """Sum over the rows of (Q_k)_rr (Q_l)_rr; each row's leverage on the covariates is taken as their mean."""
    n = sums.n
    total = float(n)
    for form in (one, other):
        total -= 0.0 if form.factor is None else sums.factors[form.factor].used
    k, m = one.factor, other.factor
    if k is not None and m is not None:
        first = sums.factors[k]
        total += float(np.sum(first.inverse**2 * first.rows)) if k == m else _meeting(sums, tabs, k, m)
    shares = [(n - (0 if f.factor is None else sums.factors[f.factor].used) - f.df) / n for f in (one, other)]
    ones = [n - (0 if f.factor is None else sums.factors[f.factor].used) for f in (one, other)]
    return total - shares[0] * ones[1] - shares[1] * ones[0] + shares[0] * shares[1] * n


def _meeting(sums: Sums, tabs: CrossTabs, k: int, m: int) -> float:
    return float(sums.factors[k].inverse @ tabs.times(k, m, sums.factors[m].inverse))


def _pair_traces(sums: Sums, tabs: CrossTabs, parts: Sequence[Form], effects: Vector) -> tuple[Matrix, Matrix]:
    """tr(Q_k Q_l V_z) and tr(Q_k V_z Q_l V_z), where V_z = sum_m sigma_m² Z_m Z_m', for all pairs of forms."""
    size = len(parts)
    first, second = np.zeros((size, size)), np.zeros((size, size))
    d = [np.full(len(factor), value) for factor, value in zip(sums.factors, effects, strict=True)]
    for a, one in enumerate(parts):
        for b, other in enumerate(parts):
            if one.factor is None or other.factor is None or a == b:
                first[a, b] = effects @ (parts[max(a, b)].traces)
            pairs = zip(one.diagonals, other.diagonals, effects, strict=True)
            second[a, b] = sum(float(np.sum(x * y)) * value**2 for x, y, value in pairs)
    if len(sums.factors) == 1:
        second[0, 0] = effects[0] ** 2 * _square_of_single(sums, parts[0])
        return first, second
    probes = _probes([len(factor) for factor in sums.factors])
    count = 1 if probes[1] else probes[0][0].shape[1]
    v = [np.sqrt(scale)[:, None] * part for scale, part in zip(d, probes[0], strict=True)]
    images = _Images(sums, tabs, v)
    applied = [images.apply(form) for form in parts]
    off = [
        [image - diagonal[:, None] * part for image, diagonal, part in zip(one[0], form.diagonals, v, strict=True)]
        for one, form in zip(applied, parts, strict=True)
    ]
    for a in range(size):
        for b in range(size):
            second[a, b] += (
                sum(float(np.sum(x * y * s[:, None])) for x, y, s in zip(off[a], off[b], d, strict=True)) / count
            )
            if parts[a].factor is not None and parts[b].factor is not None and a != b:
                first[a, b] = images.product(parts[a], applied[a], applied[b]) / count
    return first, second


def _square_of_single(sums: Sums, form: Form) -> float:
    """tr((Z'Q_0 Z)²) for a single factor, as Henderson's method III has it."""
    factor = sums.factors[0]
    gram = factor.x.T @ factor.x @ form.inverse
    cross = np.sum((factor.x.T @ (factor.x * factor.weights[:, None])) * form.inverse)
    return float(np.sum(factor.weights**2) - 2.0 * cross + np.sum(gram * gram.T))


def _probes(levels: Sequence[int]) -> tuple[list[Matrix], bool]:
    """Per factor (J, r): the columns of the identity if they are few, else random signs; and which."""
    total = sum(levels)
    signs = np.random.default_rng(20170301)
    whole = np.eye(total) if total <= EXACT else signs.choice([-1.0, 1.0], (total, PROBES))
    return np.split(whole, np.cumsum(levels)[:-1]), total <= EXACT


class _Images:
    """Q_k Z v for vectors v, kept as Z a + X b: Q_k stays in the span of Z and X."""

    def __init__(self, sums: Sums, tabs: CrossTabs, v: list[Matrix]) -> None:
        self.sums, self.tabs, self.v = sums, tabs, v
        self.gram = [self._gram_times(k) for k in range(len(v))]
        self.xz = sum(factor.x.T @ part for factor, part in zip(sums.factors, v, strict=True))

    def _gram_times(self, k: int) -> Matrix:
        """Z_k'Z v."""
        total = self.sums.factors[k].weights[:, None] * self.v[k]
        for m, part in enumerate(self.v):
            if m != k:
                total = total + self.tabs.times(k, m, part)
        return total

    def apply(self, form: Form) -> tuple[list[Matrix], Matrix, Matrix | None, Matrix]:
        """Z'Q_k Z v, X'Q_k Z v, the change of a in block k, and b."""
        k, factors = form.factor, self.sums.factors
        if k is None:
            b = -form.inverse @ self.xz
            images = [gram + factor.x @ b for gram, factor in zip(self.gram, factors, strict=True)]
            return images, self.xz + self.sums.xx @ b, None, b
        own = factors[k]
        centred = self.gram[k] * own.inverse[:, None]
        b = -form.inverse @ (self.xz - own.x.T @ centred)
        change = -centred - own.inverse[:, None] * (own.x @ b)
        images = []
        for m, (gram, factor) in enumerate(zip(self.gram, factors, strict=True)):
            moved = own.weights[:, None] * change if m == k else self.tabs.times(m, k, change)
            images.append(gram + moved + factor.x @ b)
        return images, self.xz + own.x.T @ change + self.sums.xx @ b, change, b

    def product(
        self,
        form: Form,
        left: tuple[list[Matrix], Matrix, Matrix | None, Matrix],
        right: tuple[list[Matrix], Matrix, Matrix | None, Matrix],
    ) -> float:
        """Sum over the vectors v of v'Z'Q_k Q_l Z v."""
        total = sum(float(np.sum(part * image)) for part, image in zip(self.v, right[0], strict=True))
        if form.factor is not None and left[2] is not None:
            total += float(np.sum(left[2] * right[0][form.factor]))
        return total + float(np.sum(left[3] * right[1]))


def standard_errors(covariance: Matrix) -> NDArray[np.float64]:
    """Roots of the diagonal, NaN for what is negative."""
    values = np.diag(covariance)
    return np.where(values >= 0, np.sqrt(np.maximum(values, 0.0)), np.nan)
