"""The rows that predictions are made for: those of the fit or new ones, and which random effects take part in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_predict
from henderson.levels import level_text
from henderson.newdata import NewRows, NewTerm, design_for, number_or_column
from henderson.random_selection import Selection
from henderson.tables import open_table

if TYPE_CHECKING:
    from henderson.columns import Mask, Numbers
    from henderson.factors import Factor
    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Where = slice | NDArray[np.intp]
"""Some rows."""


@dataclass(frozen=True, eq=False)
class PredictionRows:
    """Rows to predict.

    Attributes
    ----------
    source
        Their columns.
    selection
        The random effects that take part.
    weights
        (n,) of observations in these rows, None for one each; NaN where missing.
    are_of_fit
        Whether these are the rows of the fit.
    """

    source: NewRows
    selection: Selection
    weights: Numbers | None
    are_of_fit: bool = False

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.source.n

    @property
    def has_effects(self) -> bool:
        """Whether any random effects take part."""
        return bool(self.selection.chosen)

    def fixed(self, columns: list[int], where: Where) -> Matrix:
        """Some columns of X at some rows, (m, columns)."""
        size = len(range(*where.indices(self.n))) if isinstance(where, slice) else len(where)
        matrix = np.ones((size, len(columns)))
        for place, j in enumerate(columns):
            column = self.source.x[j]
            if column is not None:
                matrix[:, place] = column[where]
        return matrix

    def random(self, t: int, effects: tuple[int, ...], where: Where, size: int) -> Matrix:
        """The columns of a random term at some rows, (m, s), zero but for some effects."""
        columns = self.source.terms[t].columns
        matrix = np.zeros((size, len(columns)))
        for k in effects:
            column = columns[k]
            matrix[:, k] = 1.0 if column is None else column[where]
        return matrix


def prediction_rows(
    model: LinearMixedModel,
    newdata: Any,
    selection: Selection,
    *,
    of_observations: bool,
    weights: Any = None,
    offset: Any = None,
) -> PredictionRows:
    """Look up what predictions need.

    Parameters
    ----------
    model
        A fitted model.
    newdata
        A table, None for the rows of the fit.
    selection
        The random effects that take part.
    of_observations
        Whether observations are predicted: the effects left out and the weights matter then.
    weights, offset
        Of new rows: a column name, an array or a number.
    """
    design = model.design
    if newdata is None:
        for what, value in (("weights", weights), ("offset", offset)):
            if value is not None:
                raise errors_predict.only_with_newdata(what)
        terms = {t: NewTerm(design.factors[term.factor].codes, term.columns) for t, term in enumerate(design.terms)}
        rows = NewRows(design.n, design.x, terms, design.offset, {}, design.index)
        return PredictionRows(rows, selection, design.weights, are_of_fit=True)
    recipe = design.recipe
    if offset is None and recipe.offset is not None and recipe.offset_column is None:
        raise errors_predict.offset_needed()
    table = open_table(newdata)
    wanted = selection.wanted(with_others=of_observations)
    rows = design_for(table, design, terms=wanted, offset=offset)
    if weights is None and recipe.is_weighted and of_observations:
        weights = recipe.weights_column
        if weights is None or weights not in table.names:
            raise errors_predict.weights_needed(weights)
    own = number_or_column(table, "weights", weights) if of_observations else None
    if own is not None and not ((own > 0) & (own < np.inf) | np.isnan(own)).all():
        row = int(np.argmin((own > 0) & (own < np.inf) | np.isnan(own)))
        raise errors_predict.weight_not_positive(row, float(own[row]))
    return PredictionRows(rows, selection, own)


def mean(model: LinearMixedModel, rows: PredictionRows) -> Vector:
    """X beta + Z b + offset with the random effects that take part, (n,); NaN where a value is missing.

    The effects of levels that the model was not fitted to are zero.
    """
    source = rows.source
    result = np.zeros(rows.n) if source.offset is None else np.array(source.offset, dtype=np.float64)
    for j, coefficient in zip(model.kept, model.solution.beta, strict=True):
        column = source.x[j]
        result += coefficient if column is None else coefficient * column
    for t, effects in rows.selection.chosen.items():
        term = source.terms[t]
        assert term.codes is not None
        modes = np.vstack([model.solution.b[t], np.zeros(len(term.columns))])  # code -1: the last row
        for k in effects:
            varying = np.ascontiguousarray(modes[:, k])[term.codes]
            column = term.columns[k]
            result += varying if column is None else varying * column
        missing = _missing(term)
        if missing is not None:
            result[missing] = np.nan
    return result


def new_levels(
    model: LinearMixedModel, rows: PredictionRows, new_groups: str
) -> tuple[Mask | None, errors_predict.PredictionWarning | None]:
    """Where levels occur that the model was not fitted to, None for nowhere, and what to say about them.

    Raises
    ------
    DataError
        There are some, and `new_groups` is "error".
    """
    design, source = model.design, rows.source
    is_new: Mask | None = None
    found: dict[str, tuple[str, ...]] = {}
    hints = ""
    for t in rows.selection.chosen:
        own = source.terms[t].is_new
        if own is None:
            continue
        is_new = own if is_new is None else is_new | own
        factor = design.factors[design.terms[t].factor]
        if factor.name not in found:
            found[factor.name] = source.unseen[factor.name]
            hints += (hint := _hint(factor, found[factor.name]))
            if new_groups == "error":
                labels = source.index[np.flatnonzero(own)].tolist()
                raise errors_predict.levels_new(factor.name, found[factor.name], labels, hint)
    warning = errors_predict.levels_new_warning(found, hints) if found and new_groups == "population" else None
    return is_new, warning


def _missing(term: NewTerm) -> Mask | None:
    """Rows without a level."""
    assert term.codes is not None
    if not len(term.codes) or term.codes.min() >= 0:
        return None
    return term.codes < 0 if term.is_new is None else (term.codes < 0) & ~term.is_new


def _hint(factor: Factor, unseen: tuple[str, ...]) -> str:
    """What to say where new levels read like known ones."""
    known = {level_text(label) for label in factor.labels.tolist()}
    alike = [text for text in unseen if text in known]
    return errors_predict.levels_alike_hint(factor.name, alike[0]) if alike else ""
