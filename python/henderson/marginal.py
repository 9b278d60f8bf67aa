"""The marginal view of a fit: the random effects integrated out, what is left of them is a covariance between rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_marginal, theta
from henderson.absent import require_rows
from henderson.levels import level_text

if TYPE_CHECKING:
    import pandas as pd

    from henderson.design import DesignMatrices
    from henderson.model import LinearMixedModel

Positions = NDArray[np.intp]

MOST_ROWS = 20_000


def marginal_cov(model: LinearMixedModel, rows: Any, *, by: str = "label") -> pd.DataFrame:
    """Covariance matrix of the responses of some rows, random effects integrated out.

    Parameters
    ----------
    rows
        Labels of rows in the table's index; a boolean mask: a Series with this index, or a value for each row used; a
        slice of positions; or levels of one or several grouping factors, ``{"Subject": 308}``, for the rows that have
        them all.
    by
        ``"label"``, or ``"position"`` if `rows` are row numbers 0, 1, ... among the rows used.

    Returns
    -------
    DataFrame
        (m, m), in squared units of the response, in the order of `rows`; at most 20,000 rows.

    Raises
    ------
    DataError
        There are no such rows, none or too many; or the fit was loaded without its rows.

    Notes
    -----
    Rows i and j of V = sigma² (Z Psi Z' + W⁻¹): sigma² times z_i' Psi_t z_j for each random term t in which both have
    the same level, and for i = j the residual variance sigma² / w_i. Rows that share no level are independent. The
    estimates are taken as known, the fixed effects too; for the variance of a prediction see `predict`.

    References
    ----------
    Laird, N. M. and Ware, J. H. (1982). Random-effects models for longitudinal data. Biometrics 38, 963-974.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> fit.marginal_cov({"Subject": "308"}).iloc[:3, :3].round(1).to_numpy().tolist()
    [[1267.0, 621.7, 631.3], [621.7, 1321.3, 711.0], [631.3, 711.0, 1445.7]]
    """
    import pandas as pd

    design = model.design
    require_rows(design.y)
    chosen = _positions(model, rows, by)
    if not 0 < len(chosen) <= MOST_ROWS:
        raise errors_marginal.too_many_rows(len(chosen), MOST_ROWS) if len(chosen) else errors_marginal.no_rows()
    relative = theta.covariances(np.asarray(model.optimum.theta), [len(term.columns) for term in design.terms])
    total = np.zeros((len(chosen), len(chosen)))
    for term, psi in zip(design.terms, relative, strict=True):
        z = np.column_stack([np.ones(len(chosen)) if c is None else c[chosen] for c in term.columns])
        codes = design.factors[term.factor].codes[chosen]
        products = z @ psi @ z.T
        products *= np.equal.outer(codes, codes)
        total += products
    noise = np.ones(len(chosen)) if design.weights is None else 1.0 / design.weights[chosen]
    same = np.nonzero(np.equal.outer(chosen, chosen))
    total[same] += noise[same[0]]
    total *= model.sigma**2
    labels = model.index[chosen]
    return pd.DataFrame(total, index=labels, columns=labels)


def _positions(model: LinearMixedModel, rows: Any, by: Any) -> Positions:
    """Positions among the rows used."""
    if not isinstance(by, str) or by not in ("label", "position"):
        raise errors_marginal.by_unknown(by)
    n = model.design.n
    if isinstance(rows, Mapping):
        if not rows:
            raise errors_marginal.no_factor([factor.name for factor in model.design.factors])
        return np.flatnonzero(np.all([_has_level(model.design, *item) for item in rows.items()], axis=0))
    if isinstance(rows, slice):
        return _sliced(rows, n)
    values = _as_list(rows)
    is_flag = [isinstance(value, bool | np.bool_) for value in values]
    if any(is_flag):
        if not all(is_flag):
            raise errors_marginal.mask_missing()
        return _masked(model, rows, np.array(values, dtype=bool))
    return _at_labels(model, values) if by == "label" else _at_positions(values, n)


def _masked(model: LinearMixedModel, rows: Any, mask: NDArray[np.bool_]) -> Positions:
    """Positions where the mask is true; that of a Series is aligned, rows left out of the fit having no part."""
    index: Any = getattr(rows, "index", None)
    if hasattr(index, "get_indexer") and not index.equals(model.index):
        at = index.get_indexer(model.index) if index.is_unique else np.array([-1])
        if at.min() < 0:
            raise errors_marginal.mask_index()
        mask = mask[at]
    if len(mask) != model.design.n:
        raise errors_marginal.mask_length(len(mask), model.design.n)
    return np.flatnonzero(mask)


def _sliced(rows: slice, n: int) -> Positions:
    try:
        return np.arange(n, dtype=np.intp)[rows]
    except (TypeError, ValueError):
        raise errors_marginal.rows_type(rows) from None


def _as_list(rows: Any) -> list[Any]:
    """Several rows, or one."""
    if isinstance(rows, str | bytes | tuple) or not hasattr(rows, "__iter__"):
        return [rows]
    shape = getattr(rows, "shape", None)
    if shape is not None and len(shape) != 1:
        raise errors_marginal.rows_type(rows)
    return list(rows)


def _at_labels(model: LinearMixedModel, labels: list[Any]) -> Positions:
    """Positions of all rows with these labels, label after label."""
    from pandas.errors import InvalidIndexError

    index = model.index
    found = []
    for label in labels:
        try:
            at = index.get_loc(label)
        except (KeyError, TypeError, ValueError, InvalidIndexError):
            raise errors_marginal.label_unknown(label) from None
        found.append([at] if isinstance(at, int) else np.arange(len(index))[at])
    return np.concatenate(found).astype(np.intp) if found else np.zeros(0, dtype=np.intp)


def _at_positions(values: list[Any], n: int) -> Positions:
    for value in values:
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not 0 <= value < n:
            raise errors_marginal.position_invalid(value, n)
    return np.array(values, dtype=np.intp)


def _has_level(design: DesignMatrices, name: Any, level: Any) -> NDArray[np.bool_]:
    """(n,) whether the grouping factor has this level there; the level itself or its text."""
    factor = next((factor for factor in design.factors if factor.name == name), None)
    if factor is None:
        raise errors_marginal.factor_unknown(name, [factor.name for factor in design.factors])
    texts = [level_text(label) for label in factor.labels.tolist()]
    wanted = level_text(level)
    if wanted not in texts:
        raise errors_marginal.level_unknown(factor.name, level, [texts[code] for code in factor.order])
    return np.asarray(factor.codes == texts.index(wanted))
