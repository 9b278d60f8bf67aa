"""What the data can and cannot tell apart: grouping factors, columns of random terms, columns of X."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from henderson import errors_models
from henderson.inference import nesting
from henderson.summary import term_label

if TYPE_CHECKING:
    from henderson.design import DesignMatrices, RandomTerm
    from henderson.factors import Factor
    from henderson.model import LinearMixedModel

Matrix = NDArray[np.float64]

COLLINEAR = 30.0
"""A scaled condition number above this says that columns are nearly collinear (Belsley, Kuh and Welsch 1980)."""
FEW_LEVELS = 5
"""With fewer levels than this a variance is hardly determined."""
UNBALANCED = 4.0
"""A factor is badly unbalanced when its levels, weighted by their rows, are this many times larger than on average."""


@dataclass(frozen=True, eq=False)
class Collinearity:
    """How well the columns of X can be told apart.

    Attributes
    ----------
    condition
        Largest over smallest singular value, columns scaled to length one.
    names
        The columns most involved in the weakest direction.
    """

    condition: float
    names: tuple[str, ...]


def collinearity(model: LinearMixedModel) -> Collinearity:
    """Scaled condition number of the columns of X that were kept, and the columns behind it."""
    design = model.design
    if not model.kept:
        return Collinearity(1.0, ())
    x = design.x_matrix()[:, model.kept]
    if design.weights is not None:
        x *= np.sqrt(design.weights)[:, None]
    _, singular, directions = np.linalg.svd(np.linalg.qr(x / np.linalg.norm(x, axis=0), mode="r"))
    parts = (directions / singular[:, None]) ** 2  # rows: directions; a column's sum is its variance inflation
    shares = parts[-1] / parts.sum(axis=0)
    names = [design.x_names[j] for j in model.kept]
    order = np.argsort(-shares, kind="stable")
    involved = [i for i in order if shares[i] > 0.5] or list(order[:2])
    return Collinearity(float(singular[0] / singular[-1]), tuple(names[i] for i in sorted(involved)))


def confounded(model: LinearMixedModel) -> list[str]:
    """Sentences about variances that cannot be told apart."""
    design = model.design
    texts = []
    for one, other in combinations(design.terms, 2):
        if nesting.same_groups(design.factors[one.factor], design.factors[other.factor]) and _overlap(
            design.n, one, other
        ):
            first, second = (f"({term_label(term.names, term.group)})" for term in (one, other))
            texts.append(errors_models.terms_overlap(first, second))
    for factor, term in [(design.factors[term.factor], term) for term in design.terms]:
        if _is_among_fixed_effects(model, factor, term):
            texts.append(errors_models.term_among_fixed_effects(f"({term_label(term.names, term.group)})"))
    missing = len(model.information.hessian) - model.information.rank
    if missing and not texts:
        texts.append(errors_models.information_deficient(missing))
    return texts


def _overlap(n: int, one: RandomTerm, other: RandomTerm) -> bool:
    """Whether some combination of the columns of one term is one of the other's."""
    columns = [*one.columns, *other.columns]
    return any(
        nesting.spans([c for j, c in enumerate(columns) if j != i], [columns[i]], n) for i in range(len(columns))
    )


def _is_among_fixed_effects(model: LinearMixedModel, factor: Factor, term: RandomTerm) -> bool:
    """Whether the fixed effects have an effect of each column of the term for each level."""
    design = model.design
    if len(model.kept) < factor.n_levels:
        return False
    fixed = [design.x[j] for j in model.kept]
    for column in term.columns:
        values = np.ones(design.n) if column is None else column
        wanted = [np.where(factor.codes == level, values, 0.0) for level in range(factor.n_levels)]
        if not nesting.spans(fixed, wanted, design.n):
            return False
    return True


def weak_terms(design: DesignMatrices) -> list[str]:
    """Sentences about random terms that the data say little about."""
    texts = []
    for term in design.terms:
        factor = design.factors[term.factor]
        label = f"({term_label(term.names, term.group)})"
        effects = factor.n_levels * len(term.columns)
        if effects > 0.8 * design.n:
            texts.append(errors_models.nearly_as_many_effects(label, effects, design.n))
        for name, column in zip(term.names, term.columns, strict=True):
            if column is not None and _is_constant_within(factor, column):
                texts.append(errors_models.slope_constant_within(name, factor.name))
    return texts


def _is_constant_within(factor: Factor, column: NDArray[np.float64]) -> bool:
    some_row = np.empty(factor.n_levels, dtype=np.intp)
    some_row[factor.codes] = np.arange(len(column))
    return bool((column[some_row][factor.codes] == column).all())


@dataclass(frozen=True)
class Sizes:
    """The rows of the levels of a grouping factor.

    Attributes
    ----------
    name
        Of the factor.
    levels, smallest, largest
        Number of levels, rows of the smallest and the largest.
    mean, weighted
        Mean rows of a level, and of the level of a row (sum n_j² / n).
    single
        Share of the levels that have one row.
    """

    name: str
    levels: int
    smallest: int
    largest: int
    mean: float
    weighted: float
    single: float

    @property
    def text(self) -> str:
        """In words."""
        rows = f"{self.smallest}" if self.smallest == self.largest else f"{self.smallest} to {self.largest}"
        each = " each" if self.smallest == self.largest else ""
        return f"{self.name}: {self.levels} levels of {rows} row{'' if rows == '1' else 's'}{each}"

    def concerns(self) -> list[str]:
        """Sentences about few or badly unbalanced levels."""
        texts = []
        if self.levels < FEW_LEVELS:
            texts.append(errors_models.few_levels(self.name, self.levels))
        if self.weighted > UNBALANCED * self.mean:
            texts.append(errors_models.unbalanced(self.name, self.largest, self.mean))
        if self.single > 0.5:
            texts.append(errors_models.single_rows(self.name, self.single))
        return texts


def sizes(factor: Factor, n: int) -> Sizes:
    """Count the rows of each level."""
    counts = np.bincount(factor.codes, minlength=factor.n_levels)
    return Sizes(
        factor.name,
        factor.n_levels,
        int(counts.min()),
        int(counts.max()),
        n / factor.n_levels,
        float(np.sum(counts.astype(float) ** 2) / n),
        float(np.mean(counts == 1)),
    )
