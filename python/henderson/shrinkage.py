"""Shrinkage: how far the coefficients of each group are pulled from the group's own data towards the fixed effects.

With Z_j, W_j the rows of group j, Sigma the covariance matrix of its effects and A_j = Z_j'W_j Z_j,

    partial_j - complete = S_j (none_j - complete)      S_j = Sigma (Sigma + sigma² A_j⁻¹)⁻¹

in any design, if the coefficients without pooling, none_j, are those of the response less the other random effects. For
a random intercept S_j = tau² / (tau² + sigma² / n_j).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, theta
from henderson.formatting import format_column, matrix
from henderson.levels import level_text

if TYPE_CHECKING:
    import pandas as pd

    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

SHOWN = 20
"""Levels that are printed."""
DEPENDENT = 1e-11
"""Columns are linearly dependent within a group when their correlation matrix has an eigenvalue this small."""


@dataclass(frozen=True, eq=False, repr=False)
class GroupShrinkage:
    """No pooling, partial pooling and complete pooling of the coefficients of one grouping factor.

    Attributes
    ----------
    group
        Name of the grouping factor.
    levels
        Its J levels, in the order of `ranef`.
    names
        The s effects of a level, of all random terms of the factor.
    n_rows
        Rows of each level, shape (J,).
    no_pooling
        Least-squares coefficients of each level alone, shape (J, s); NaN where its rows do not determine them.
    partial_pooling
        Fixed effects plus conditional modes (BLUPs), shape (J, s): as in `coef`.
    complete_pooling
        Fixed effects, shape (s,); zero for an effect that has none.
    matrices
        The shrinkage matrices S_j, shape (J, s, s).
    eigenvalues
        Theirs, increasing, each between 0 (complete pooling) and 1 (none), shape (J, s).
    reliability
        1 - conditional variance / variance of each effect, shape (J, s): 0 where the variance is zero.
    """

    group: str
    levels: NDArray[Any]
    names: tuple[str, ...]
    n_rows: NDArray[np.intp]
    no_pooling: Matrix
    partial_pooling: Matrix
    complete_pooling: Vector
    matrices: NDArray[np.float64]
    eigenvalues: Matrix
    reliability: Matrix

    def __len__(self) -> int:
        return len(self.levels)

    @property
    def factors(self) -> Vector:
        """Shrinkage factor of each level, shape (J,): the mean eigenvalue of its matrix, tr(S_j) / s."""
        return np.asarray(self.eigenvalues.mean(axis=1))

    def matrix(self, level: Any) -> pd.DataFrame:
        """Shrinkage matrix of one level: how its effects (rows) follow from deviations without pooling (columns)."""
        import pandas as pd

        texts = [level_text(label) for label in self.levels.tolist()]
        if level_text(level) not in texts:
            raise errors.choice("level", level, texts)
        names = list(self.names)
        return pd.DataFrame(self.matrices[texts.index(level_text(level))], index=names, columns=names)

    def to_frame(self) -> pd.DataFrame:
        """One row per level and effect; see `Shrinkage.to_frame`."""
        import pandas as pd

        size = len(self.names)
        by_level = {"level": self.levels, "n": self.n_rows}
        factors = {"shrinkage": self.factors, "shrinkage_min": self.eigenvalues[:, 0]}
        factors["shrinkage_max"] = self.eigenvalues[:, -1]
        columns: dict[str, Any] = {"group": [self.group] * (size * len(self))}
        columns |= {name: np.repeat(values, size) for name, values in by_level.items()}
        columns["term"] = list(self.names) * len(self)
        columns["no_pooling"] = self.no_pooling.ravel()
        columns["partial_pooling"] = self.partial_pooling.ravel()
        columns["complete_pooling"] = np.tile(self.complete_pooling, len(self))
        columns |= {name: np.repeat(values, size) for name, values in factors.items()}
        columns["reliability"] = self.reliability.ravel()
        return pd.DataFrame(columns)

    def __str__(self) -> str:
        shown, size = min(len(self), SHOWN), len(self.names)
        values = (self.no_pooling, self.partial_pooling, np.tile(self.complete_pooling, (len(self), 1)))
        columns = [_first_of(size, [str(count) for count in self.n_rows[:shown]])]
        header = ["Rows"]
        if size > 1:
            columns.append(list(self.names) * shown)
            header.append("Effect".ljust(max(map(len, self.names))))
        cells = [_cells(np.concatenate([own[:shown, k] for own in values])) for k in range(size)]
        for place, title in enumerate(("No pooling", "Partial", "Complete")):
            columns.append([cells[k][place * shown + j] for j in range(shown) for k in range(size)])
            header.append(title)
        factors = {"Shrinkage": self.factors}
        if size > 1:
            factors |= {"From": self.eigenvalues[:, 0], "To": self.eigenvalues[:, -1]}
        for title, factor in factors.items():
            columns.append(_first_of(size, [f"{value:.3f}" for value in factor[:shown]]))
            header.append(title)
        columns.append([f"{value:.3f}" for value in self.reliability[:shown].ravel()])
        header.append("Reliability")
        if size > 1:
            columns[1] = [name.ljust(max(map(len, self.names))) for name in columns[1]]
        rows = _first_of(size, [level_text(label) for label in self.levels[:shown].tolist()])
        lines = [f"Shrinkage of the effects of {self.group} ({len(self)} levels)"]
        lines += matrix([f" {row}" for row in rows], header, columns, width=100)
        if shown < len(self):
            lines.append(f" ... and {len(self) - shown} more levels; .to_frame() has all")
        middle = np.quantile(self.factors, [0.0, 0.5, 1.0])
        lines.append("Shrinkage factors: {:.3f} (smallest), {:.3f} (median), {:.3f} (largest)".format(*middle))
        return "\n".join(line.rstrip() for line in lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = self.to_frame().drop(columns="group")
        return f"<div class='henderson'><p>Shrinkage: {self.group}</p>{table.to_html(index=False, max_rows=60)}</div>"


@dataclass(frozen=True, eq=False, repr=False)
class Shrinkage:
    """Shrinkage by grouping factor: print it, ``found["Subject"]`` for one factor, `to_frame` for all numbers.

    Attributes
    ----------
    groups
        By name of the grouping factor.
    """

    groups: dict[str, GroupShrinkage]

    def __getitem__(self, group: str) -> GroupShrinkage:
        """Of one grouping factor."""
        if group not in self.groups:
            raise errors.choice("The grouping factor", group, list(self.groups))
        return self.groups[group]

    def __iter__(self) -> Iterator[str]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def to_frame(self) -> pd.DataFrame:
        """One row per grouping factor, level and effect.

        Returns
        -------
        DataFrame
            Columns group, level, n (rows of the level), term (the effect), no_pooling, partial_pooling,
            complete_pooling, shrinkage (factor of the level: for several effects the mean eigenvalue of its matrix),
            shrinkage_min and shrinkage_max (the smallest and the largest eigenvalue), reliability.
        """
        import pandas as pd

        return pd.concat([group.to_frame() for group in self.groups.values()], ignore_index=True)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.groups.values()))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join(group._repr_html_() for group in self.groups.values())


def shrinkage(model: LinearMixedModel, term: str | None = None, *, conditional: bool = True) -> Shrinkage:
    """Each group's coefficients without pooling, as predicted and with complete pooling; and the shrinkage factors.

    Parameters
    ----------
    term
        A grouping factor, or the label of a random term: all terms of its factor are taken together, as in `ranef`.
        None: all factors.
    conditional
        What the coefficients without pooling are fitted to. True: the response less all other effects, those of the
        other grouping factors included; the identity below then is exact. False: the response less the fixed effects
        only, which is the group as it is in the data. Without other grouping factors both are the same.

    Returns
    -------
    Shrinkage
        Print it; ``.to_frame()``; ``found["Subject"].matrices`` for the shrinkage matrices.

    Raises
    ------
    DataError
        `term` is no grouping factor and no random term.

    Notes
    -----
    With Z_j the columns of the random effects in the n_j rows of level j, W_j their weights, A_j = Z_j'W_j Z_j and
    Sigma the covariance matrix of the effects,

        S_j = Sigma (Sigma + sigma² A_j⁻¹)⁻¹        partial_j - complete = S_j (none_j - complete)

    which for a random intercept is tau² / (tau² + sigma² / n_j) (with weights, n_j is their sum). Its eigenvalues lie
    between 0 and 1; their mean, tr(S_j) / s, is given as the shrinkage factor of a level with several effects.

    S_j takes all other effects as known. The reliability of an effect, 1 - conditional variance / variance, does not:
    it is the squared correlation of the effect and its prediction, given the fixed effects. With one grouping factor
    it is the diagonal of I - (conditional variance) Sigma⁻¹ = S_j for a scalar effect; with crossed or nested factors
    it is smaller than the shrinkage factor, the more so the less the levels of the factors can be told apart.

    References
    ----------
    Robinson, G. K. (1991). That BLUP is a good thing: the estimation of random effects. Statistical Science 6, 15-32.
    Gelman, A. and Pardoe, I. (2006). Bayesian measures of explained variance and pooling in multilevel (hierarchical)
    models. Technometrics 48, 241-251.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Yield ~ 1 + (1 | Batch)", hd.datasets.load_dyestuff())
    >>> print(fit.shrinkage())
    Shrinkage of the effects of Batch (6 levels)
       Rows No pooling Partial Complete Shrinkage Reliability
     A    5     1505.0  1509.9   1527.5     0.783       0.783
     B    5     1528.0  1527.9   1527.5     0.783       0.783
     C    5     1564.0  1556.1   1527.5     0.783       0.783
     D    5     1498.0  1504.4   1527.5     0.783       0.783
     E    5     1600.0  1584.2   1527.5     0.783       0.783
     F    5     1470.0  1482.5   1527.5     0.783       0.783
    Shrinkage factors: 0.783 (smallest), 0.783 (median), 0.783 (largest)
    """
    design = model.design
    residuals = np.asarray(model.residuals("response" if conditional else "marginal"), dtype=np.float64)
    chosen = _factors(design, term)
    return Shrinkage({design.factors[i].name: _of_factor(model, i, residuals, conditional) for i in chosen})


def _factors(design: DesignMatrices, term: str | None) -> list[int]:
    """Indices of the grouping factors asked for, in the order of `ranef`."""
    if term is None:
        return list(dict.fromkeys(each.factor for each in design.terms))
    for each in design.terms:
        if term in (each.group, each.label):
            return [each.factor]
    labels = dict.fromkeys(name for each in design.terms for name in (each.group, each.label))
    raise errors.choice("term", term, list(labels))


def _of_factor(model: LinearMixedModel, index: int, residuals: Vector, conditional: bool) -> GroupShrinkage:
    design = model.design
    factor = design.factors[index]
    terms = [t for t, term in enumerate(design.terms) if term.factor == index]
    names = tuple(name for t in terms for name in design.terms[t].names)
    columns = [column for t in terms for column in design.terms[t].columns]
    modes = np.hstack([model.solution.b[t] for t in terms])
    gram, with_residuals = _products(columns, factor.codes, factor.n_levels, design.weights, residuals)
    deviations = _least_squares(gram, with_residuals)
    if conditional:  # the residuals have lost the group's own effects
        deviations += modes
    lam = _relative_factor(model, terms)
    matrices, eigenvalues = _shrinkage_matrices(lam, gram)
    fixed = dict(zip((design.x_names[j] for j in model.kept), model.solution.beta, strict=True))
    complete = np.array([fixed.get(name, 0.0) for name in names])
    order = factor.order
    return GroupShrinkage(
        factor.name,
        factor.levels,
        names,
        np.bincount(factor.codes, minlength=factor.n_levels)[order],
        (complete + deviations)[order],
        (complete + modes)[order],
        complete,
        matrices[order],
        eigenvalues[order],
        _reliability(model, terms, lam)[order],
    )


def _products(
    columns: list[Any], codes: NDArray[np.int32], levels: int, weights: Vector | None, residuals: Vector
) -> tuple[NDArray[np.float64], Matrix]:
    """Z_j'W_j Z_j, shape (J, s, s), and Z_j'W_j r_j, shape (J, s), of every level."""
    size = len(columns)
    w = np.ones(len(codes)) if weights is None else weights
    weighted = [w if column is None else w * column for column in columns]
    gram, product = np.empty((levels, size, size)), np.empty((levels, size))
    for a in range(size):
        product[:, a] = np.bincount(codes, weighted[a] * residuals, minlength=levels)
        for b in range(a, size):
            both = weighted[a] if columns[b] is None else weighted[a] * columns[b]
            gram[:, a, b] = gram[:, b, a] = np.bincount(codes, both, minlength=levels)
    return gram, product


def _least_squares(gram: NDArray[np.float64], product: Matrix) -> Matrix:
    """Coefficients of each level, shape (J, s); NaN for those that its rows do not determine."""
    length = np.sqrt(np.einsum("jkk->jk", gram))
    scale = np.where(length > 0, length, 1.0)
    values, vectors = np.linalg.eigh(gram / (scale[:, :, None] * scale[:, None, :]))
    is_null = values <= DEPENDENT
    inverse = np.where(is_null, 0.0, 1.0 / np.where(is_null, 1.0, values))
    along = np.einsum("jkm,jk->jm", vectors, product / scale)
    result = np.einsum("jkm,jm->jk", vectors, inverse * along) / scale
    missing = np.einsum("jkm,jm->jk", vectors**2, is_null.astype(np.float64))  # share of e_k that no row sees
    result[missing > 1e-6] = np.nan
    return np.asarray(result)


def _relative_factor(model: LinearMixedModel, terms: list[int]) -> Matrix:
    """Of all effects of a grouping factor, block-diagonal over its terms, shape (s, s)."""
    sizes = [len(term.columns) for term in model.design.terms]
    blocks = theta.relative_factors(np.asarray(model.optimum.theta), sizes)
    lam = np.zeros((sum(sizes[t] for t in terms),) * 2)
    start = 0
    for t in terms:
        lam[start : start + sizes[t], start : start + sizes[t]] = blocks[t]
        start += sizes[t]
    return lam


def _shrinkage_matrices(lam: Matrix, gram: NDArray[np.float64]) -> tuple[NDArray[np.float64], Matrix]:
    """S_j = lam (lam'A_j lam + I)⁻¹ lam'A_j, which inverts neither A_j nor Sigma; and its eigenvalues."""
    inner = lam.T @ gram @ lam
    inner = 0.5 * (inner + inner.transpose(0, 2, 1))
    matrices = lam @ np.linalg.solve(inner + np.eye(len(lam)), lam.T @ gram)
    own = np.maximum(np.linalg.eigvalsh(inner), 0.0)
    return matrices, own / (1.0 + own)


def _reliability(model: LinearMixedModel, terms: list[int], lam: Matrix) -> Matrix:
    variance = model.sigma**2 * np.sum(lam**2, axis=1)
    arrays = [np.einsum("jkk->jk", model.conditional_variance_arrays[t]) for t in terms]
    with np.errstate(divide="ignore", invalid="ignore"):
        known = 1.0 - np.hstack(arrays) / variance
    return np.where(variance > 0, np.clip(known, 0.0, 1.0), 0.0)


def _cells(values: Vector) -> list[str]:
    """Numbers of one effect: five significant digits of the largest, as many decimals for all."""
    largest = float(np.nanmax(np.abs(values)))
    decimals = 4 - int(np.floor(np.log10(largest))) if largest > 0 else 0
    return format_column(np.round(values, decimals).tolist(), 15)


def _first_of(size: int, cells: list[str]) -> list[str]:
    """Cells of the levels, on the first of their lines."""
    return [cell if k == 0 else "" for cell in cells for k in range(size)]
