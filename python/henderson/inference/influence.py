"""What single rows, or groups of rows, do to a fit: Cook's distances, DFBETAS and their kin, without fitting again."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_inference
from henderson.formatting import WIDTH, abbreviate, format_column, matrix
from henderson.inference.case_deletion import Deletions, Rows, delete_each_row, scaled_rows
from henderson.inference.clusters import Clusters, intersection, resolve_several
from henderson.inference.effect_blocks import Packing, ThetaChange, packing, theta_changes
from henderson.inference.group_deletion import delete_each_group, delete_independent_groups

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

MOST_ELEMENTS = 300_000_000
"""Numbers kept at once for the random effects (2.4 GB); if it takes more, theta and sigma are not updated."""
SHOWN, COEFFICIENTS_SHOWN = 10, 3


@dataclass(frozen=True, eq=False)
class Influence:
    """The fit without each row, or without each group of rows: G deletions.

    Prints the most influential ones; `to_frame` gives everything. What refers to fixed effects is exact at the
    estimated theta; `theta`, `sigma` and `sdcor` are one step from there.

    Attributes
    ----------
    group
        Name of what is left out one at a time: "row", or the grouping factor.
    labels
        (G,) what the deletions are called.
    n_rows
        (G,) rows left out.
    names
        Names of the p fixed effects kept.
    estimates
        (p,) their estimates with all rows.
    notes
        What the user should know.
    """

    group: str
    labels: Any
    n_rows: NDArray[np.intp]
    names: tuple[str, ...]
    estimates: Vector
    notes: tuple[str, ...]
    _columns: dict[str, Vector]
    _dfbeta: Matrix
    _std_errors: Matrix
    _theta: Matrix
    _theta_names: tuple[str, ...]
    _sdcor: Matrix
    _sdcor_names: tuple[str, ...]

    @property
    def cooks_distance(self) -> pd.Series[float]:
        """Cook's distance: (beta - beta_(g))' Cov(beta)⁻¹ (beta - beta_(g)) / p."""
        return self._series("cooks_distance")

    @property
    def mdffits(self) -> pd.Series[float]:
        """The same with the covariance matrix of beta_(g), estimated without the rows: a squared DFFITS over p."""
        return self._series("mdffits")

    @property
    def covratio(self) -> pd.Series[float]:
        """``|Cov(beta_(g))| / |Cov(beta)|``: above 1, the rows make the estimates more precise."""
        return self._series("covratio")

    @property
    def leverage(self) -> pd.Series[float]:
        """Leverage of the row; of a group, the sum over its rows."""
        return self._series("leverage")

    @property
    def sigma(self) -> pd.Series[float]:
        """Residual standard deviation without the rows."""
        return self._series("sigma")

    @property
    def dfbeta(self) -> pd.DataFrame:
        """By how much the rows raise each estimate, beta - beta_(g), shape (G, p)."""
        return self._table(self._dfbeta, self.names)

    @property
    def dfbetas(self) -> pd.DataFrame:
        """`dfbeta` in units of the standard errors of beta_(g), shape (G, p)."""
        return self._table(self._dfbeta / self._std_errors, self.names)

    @property
    def fixef(self) -> pd.DataFrame:
        """Fixed effects without the rows, beta_(g), shape (G, p)."""
        return self._table(self.estimates - self._dfbeta, self.names)

    @property
    def theta(self) -> pd.DataFrame:
        """Relative covariance parameters without the rows, shape (G, K)."""
        return self._table(self._theta, self._theta_names)

    @property
    def sdcor(self) -> pd.DataFrame:
        """Standard deviations and correlations of the random effects, and sigma, without the rows."""
        return self._table(self._sdcor, self._sdcor_names)

    def to_frame(self) -> pd.DataFrame:
        """One row per deletion: n_rows, leverage, cooks_distance, mdffits, covratio, dfbetas_*, sd_*, cor_*, sigma."""
        import pandas as pd

        dfbetas = self.dfbetas.add_prefix("dfbetas_")
        return pd.concat([self._series("n_rows").astype(int), self._numbers(), dfbetas, self.sdcor], axis=1)

    def to_text(self, rows: int = SHOWN, digits: int = 4) -> str:
        """The deletions with the largest Cook's distances as a table."""
        labels, header, columns = self._largest(rows, digits)
        what = "row" if self.group == "row" else f"level of {self.group}"
        count = len(self.n_rows)
        lines = [f"Influence of each {what} ({count}): largest Cook's distances"]
        lines += matrix(labels, header, columns)
        above = int(np.sum(np.nan_to_num(self._columns["cooks_distance"]) > 4.0 / count))
        lines.append(f"Cook's distance > 4/{count} = {4.0 / count:.3g}: {above} of {count}")
        for note in self.notes:
            lines += ["", *textwrap.wrap(note, WIDTH)]
        return "\n".join(line.rstrip() for line in lines)

    def _largest(self, rows: int, digits: int) -> tuple[list[str], list[str], list[list[str]]]:
        """Row labels, column names and cells of the printed table."""
        cook = np.nan_to_num(self._columns["cooks_distance"], nan=-1.0)
        order = np.argsort(-cook, kind="stable")[:rows]
        dfbetas = (self._dfbeta / self._std_errors)[order]
        sizes = np.nanmax(np.abs(dfbetas), axis=0, initial=0.0)
        most = np.sort(np.argsort(-sizes, kind="stable")[:COEFFICIENTS_SHOWN])
        table = {"rows": self.n_rows.astype(float), "leverage": self._columns["leverage"]}
        if self.group == "row":
            del table["rows"]
        table |= {"Cook's D": self._columns["cooks_distance"], "MDFFITS": self._columns["mdffits"]}
        shown = {name: values[order] for name, values in table.items()}
        short = abbreviate(self.names, 6)
        shown |= {f"dfb.{short[j]}": np.round(dfbetas[:, j], digits - 1) for j in most}
        shown["sigma"] = self._columns["sigma"][order]
        cells = [format_column(values.tolist(), digits) for values in shown.values()]
        return [str(label) for label in np.asarray(self.labels)[order]], list(shown), cells

    def _numbers(self) -> pd.DataFrame:
        import pandas as pd

        names = ("leverage", "cooks_distance", "mdffits", "covratio")
        return pd.concat([self._series(name) for name in names], axis=1)

    def _series(self, name: str) -> pd.Series[float]:
        import pandas as pd

        values = self.n_rows if name == "n_rows" else self._columns[name]
        return pd.Series(values, index=self._index(), name=name)

    def _table(self, values: Matrix, names: tuple[str, ...]) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(values, index=self._index(), columns=list(names))

    def _index(self) -> pd.Index[Any]:
        import pandas as pd

        return self.labels if isinstance(self.labels, pd.Index) else pd.Index(self.labels, name=self.group)

    def __len__(self) -> int:
        return len(self.n_rows)

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from henderson.markup import table_html

        labels, header, columns = self._largest(SHOWN, 4)
        rows = [[label, *cells] for label, *cells in zip(labels, *columns, strict=True)]
        return table_html(f"Influence by {self.group}: largest Cook's distances", ["", *header], rows)


def influence(model: LinearMixedModel, group: Any = None) -> Influence:
    """What leaving out each row, or each group of rows, does to the fit: Cook's distance, DFBETAS, variances.

    Parameters
    ----------
    group
        None: each row. The name of a grouping factor: each of its levels. A list of names: each combination of their
        levels that occurs. An array with one label per row: each label.

    Returns
    -------
    Influence
        Print it for the most influential; `.cooks_distance`, `.dfbetas`, `.dfbeta`, `.mdffits`, `.covratio`,
        `.leverage`, `.theta`, `.sigma`, `.sdcor`, `.to_frame()`.

    Raises
    ------
    DataError
        `group` is not a grouping factor, or its labels do not fit the rows.

    Notes
    -----
    Fixed effects and residual sum of squares without the rows I are exact at the estimated theta: with V = Cov(y) /
    sigma² and P = V⁻¹ - V⁻¹X(X'V⁻¹X)⁻¹X'V⁻¹,

        beta_(I) = beta - (X'V⁻¹X)⁻¹ (V⁻¹X)_I' P_II⁻¹ (P y)_I        r²_(I) = r² - (P y)_I' P_II⁻¹ (P y)_I

    The variance parameters (theta, sigma) move by one step, -J⁻¹g: g is the exact gradient of the criterion without the
    rows, J the Hessian for the whole data times the share of the rows that are left. Parameters at the boundary stay
    there. Where a fixed effect cannot be estimated without the rows all values are NaN.

    Unlike lme4's, `dfbeta` is beta - beta_(I), as in Belsley et al. and in R's `lm`.

    References
    ----------
    Belsley, D. A., Kuh, E. and Welsch, R. E. (1980). Regression Diagnostics. Wiley.
    Christensen, R., Pearson, L. M. and Johnson, W. (1992). Case-deletion diagnostics for mixed models. Technometrics
    34, 38-45.
    Demidenko, E. and Stukel, T. A. (2005). Influence analysis for linear mixed-effects models. Statistics in Medicine
    24, 893-909.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> found = fit.influence("Subject")
    >>> found.cooks_distance.nlargest(2).round(3)
    Subject
    309    0.149
    335    0.129
    Name: cooks_distance, dtype: float64
    """
    groups = None if group is None else intersection(resolve_several(model.design, group, what="group"))
    rows = scaled_rows(model)
    found = packing(model.design)
    kept = model.information.kept
    elements = len(found.place) * found.width
    if groups is None:
        changes, _ = _changes(rows, found, kept) if 4 * elements <= MOST_ELEMENTS else (None, None)
        deletions = delete_each_row(rows, found, changes, sigma=model.sigma, reml=model.is_reml)
    elif (len(kept) + 2) * elements <= MOST_ELEMENTS:
        changes, posterior = _changes(rows, found, kept)
        deletions = delete_each_group(model, rows, groups, found, posterior, list(changes))
    elif groups.contain_all(model.design):
        deletions = delete_independent_groups(model, rows, groups)
    else:
        deletions = delete_each_group(model, rows, groups, found, None, None)
    return _assembled(model, groups, deletions)


def _changes(rows: Rows, found: Packing, kept: NDArray[np.intp]) -> tuple[Iterator[ThetaChange], Matrix]:
    """What changes of theta do, and the posterior covariance of the random effects, packed."""
    posterior = rows.effects.solve(found.units())
    return theta_changes(rows.effects, kept, found, posterior, rows.adjusted), posterior


def _assembled(model: LinearMixedModel, groups: Clusters | None, found: Deletions) -> Influence:
    n, p = model.nobs, len(model.kept)
    names = tuple(model.design.x_names[i] for i in model.kept)
    df = n - found.removed - (p if model.is_reml else 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(df > 0, (model.solution.pwrss - found.pwrss) / df, np.nan)
        own = model.sigma**2
        columns = {
            "leverage": found.leverage,
            "cooks_distance": found.distance / (p * own),
            "mdffits": found.distance_without / (p * variance),
            "covratio": np.exp(found.log_det) * (variance / own) ** p,
        }
    at, sigma = _updated(model, found, variance)
    columns["sigma"] = sigma
    lost = np.flatnonzero(np.isnan(found.pwrss))
    labels: Any = model.index if groups is None else groups.labels
    notes = []
    if len(lost):
        notes.append(errors_inference.inestimable_note([str(labels[i]) for i in lost]))
    if found.slopes is None:
        notes.append(errors_inference.variances_not_updated_note())
    sdcor_names, sdcor = _standard_deviations(model, at, sigma)
    return Influence(
        group="row" if groups is None else groups.name,
        labels=labels,
        n_rows=found.removed,
        names=names,
        estimates=model.solution.beta,
        notes=tuple(notes),
        _columns=columns,
        _dfbeta=-found.change,
        _std_errors=np.sqrt(variance[:, None] * found.variance),
        _theta=at,
        _theta_names=tuple(model.theta.index),
        _sdcor=sdcor,
        _sdcor_names=sdcor_names,
    )


def _updated(model: LinearMixedModel, found: Deletions, variance: Vector) -> tuple[Matrix, Vector]:
    """The new theta (G, K) and sigma (G,) after one step; at the old theta if there are no slopes."""
    estimate = np.asarray(model.optimum.theta, dtype=np.float64)
    at = np.tile(estimate, (len(variance), 1))
    at[np.isnan(variance)] = np.nan
    if found.slopes is None:
        return at, np.sqrt(variance)
    information, sigma = model.information, model.sigma
    df = model.nobs - found.removed - (len(model.kept) if model.is_reml else 0)
    slope = 2.0 * df / sigma - 2.0 * (model.solution.pwrss - found.pwrss) / sigma**3
    left = 1.0 - found.removed / model.nobs
    along = np.column_stack([found.slopes, slope]) @ information.basis
    steps = -(along @ information.covariance_along / (2.0 * left[:, None])) @ information.basis.T
    at[:, information.kept] += steps[:, :-1]
    diagonal = _diagonal([len(term.columns) for term in model.design.terms])
    at[:, diagonal] = np.maximum(at[:, diagonal], 0.0)
    return at, np.maximum(sigma + steps[:, -1], 0.0)


def _diagonal(sizes: Sequence[int]) -> NDArray[np.bool_]:
    """Which elements of theta are on the diagonal of their relative factor, (K,)."""
    return np.concatenate([np.equal(*np.triu_indices(size)) for size in sizes])


def _standard_deviations(model: LinearMixedModel, at: Matrix, sigma: Vector) -> tuple[tuple[str, ...], Matrix]:
    """Standard deviations, correlations and sigma of each deletion, with lme4's names."""
    terms = model.design.terms
    names, columns, first = [], [], 0
    for term in terms:
        size = len(term.columns)
        across, rows = np.triu_indices(size)
        lam = np.zeros((len(at), size, size))
        lam[:, rows, across] = at[:, first : first + len(rows)]
        first += len(rows)
        covariance = lam @ lam.transpose(0, 2, 1)
        sd = np.sqrt(np.einsum("gii->gi", covariance))
        for i, name in enumerate(term.names):
            names.append(f"sd_{name}|{term.label}")
            columns.append(sigma * sd[:, i])
            for j in range(i):
                names.append(f"cor_{name}.{term.names[j]}|{term.label}")
                with np.errstate(divide="ignore", invalid="ignore"):
                    columns.append(covariance[:, i, j] / (sd[:, i] * sd[:, j]))
    return (*names, "sigma"), np.column_stack([*columns, sigma])
