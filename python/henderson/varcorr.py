"""Variances, standard deviations and correlations of the random effects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors, theta
from henderson.formatting import format_column, matrix

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Matrix = NDArray[np.float64]
RESIDUAL = "Residual"


@dataclass(frozen=True, eq=False)
class TermCovariance:
    """Covariance matrix of the effects of one random term.

    Attributes
    ----------
    group
        Label of the term: its grouping factor, with ``.1``, ``.2``, ... for further terms on the same factor.
    names
        Names of the s effects.
    covariance
        Shape (s, s).
    """

    group: str
    names: tuple[str, ...]
    covariance: Matrix

    @property
    def std_dev(self) -> NDArray[np.float64]:
        """Standard deviations, shape (s,)."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def correlation(self) -> Matrix:
        """Correlation matrix, shape (s, s); NaN where a variance is zero."""
        sd = self.std_dev
        with np.errstate(invalid="ignore"):
            return self.covariance / np.outer(sd, sd)


@dataclass(frozen=True, eq=False)
class VarCorr:
    """Covariance matrices of all random terms, and the residual standard deviation.

    Prints as lme4's ``VarCorr``; `to_frame` gives the same numbers as a table, ``varcorr["Subject"]`` the covariance
    matrix of one term, iteration the labels.

    Attributes
    ----------
    terms
        One `TermCovariance` per random term, in the order of theta.
    sigma
        Residual standard deviation.
    """

    terms: tuple[TermCovariance, ...]
    sigma: float

    def __getitem__(self, group: str) -> pd.DataFrame:
        import pandas as pd

        for term in self.terms:
            if term.group == group:
                names = list(term.names)
                return pd.DataFrame(term.covariance, index=names, columns=names)
        raise errors.choice("The random term", group, list(self))

    def __iter__(self) -> Iterator[str]:
        return (term.group for term in self.terms)

    def __len__(self) -> int:
        return len(self.terms)

    def to_frame(self) -> pd.DataFrame:
        """One row per variance and covariance, as lme4's ``as.data.frame(VarCorr(fit))``.

        Returns
        -------
        DataFrame
            Columns grp, var1, var2, vcov (variance or covariance) and sdcor (standard deviation or correlation). Within
            a term the variances come first; the last row is the residual variance.
        """
        import pandas as pd

        rows: list[tuple[str, str | None, str | None, float, float]] = []
        for term in self.terms:
            sd, correlation = term.std_dev, term.correlation
            rows += [(term.group, name, None, sd[i] ** 2, sd[i]) for i, name in enumerate(term.names)]
            rows += [
                (term.group, name, term.names[j], term.covariance[j, i], correlation[j, i])
                for i, name in enumerate(term.names)
                for j in range(i + 1, len(term.names))
            ]
        rows.append((RESIDUAL, None, None, self.sigma**2, self.sigma))
        columns: list[Any] = [list(column) for column in zip(*rows, strict=True)]
        labels = {name: pd.Series(columns[i], dtype=object) for i, name in enumerate(("grp", "var1", "var2"))}
        return pd.DataFrame(labels | {"vcov": columns[3], "sdcor": columns[4]})

    def lines(self, digits: int = 5, *, variance: bool = False) -> list[str]:
        """Lines of the printed table.

        Parameters
        ----------
        digits
            Significant digits of the standard deviations; correlations have digits - 2 decimals.
        variance
            Show variances too.
        """
        names = [name for term in self.terms for name in term.names] + [""]
        groups = [cell for term in self.terms for cell in [term.group] + [""] * (len(term.names) - 1)] + [RESIDUAL]
        sd = np.concatenate([*(term.std_dev for term in self.terms), [self.sigma]])
        header, columns = ["Groups", "Name"], [groups, names]
        if variance:
            header.append("Variance")
            columns.append(format_column(sd**2, digits))
        header.append("Std.Dev.")
        columns.append(format_column(sd, digits))
        correlations = self._correlation_columns(max(2, digits - 2))
        header += ["Corr", *[""] * len(correlations)][: len(correlations)]
        return matrix([""] * len(names), header, columns + correlations, left=True)

    def _correlation_columns(self, decimals: int) -> list[list[str]]:
        width = max((len(term.names) for term in self.terms), default=1) - 1
        columns: list[list[str]] = [[] for _ in range(width)]
        for term in self.terms:
            below = np.tril_indices(len(term.names), -1)
            places = zip(*(axis.tolist() for axis in below), strict=True)
            cells = dict(zip(places, _fixed(term.correlation[below], decimals), strict=True))
            for i in range(len(term.names)):
                for j in range(width):
                    columns[j].append(cells.get((i, j), ""))
        for column in columns:
            column.append("")
        return columns

    def __str__(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from henderson.markup import varcorr_html

        return varcorr_html(self)


def _fixed(values: NDArray[np.float64], decimals: int) -> list[str]:
    cells = ["NaN" if np.isnan(value) else f"{value:.{decimals}f}" for value in values]
    width = max((len(cell) for cell in cells), default=0)
    return [cell.rjust(width) for cell in cells]


def varcorr(model: LinearMixedModel) -> VarCorr:
    """Covariance matrices of the random effects of a fitted model."""
    terms = model.design.terms
    sigma = model.sigma
    relative = theta.covariances(model.optimum.theta, [len(term.names) for term in terms])
    return VarCorr(
        tuple(
            TermCovariance(term.label, term.names, sigma**2 * matrix)
            for term, matrix in zip(terms, relative, strict=True)
        ),
        sigma,
    )
