"""Responses simulated from a fitted model, at the rows of the fit or at new ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import draws as engines
from henderson import errors, errors_simulation, random_selection, truth
from henderson.draws import DrawnTerm, NormalDraws, add_effects, residual_sd
from henderson.newdata import NewTerm, design_for, number_or_column
from henderson.residuals import marginal_mean
from henderson.tables import open_table

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Codes = NDArray[np.int32]

NEW_GROUPS = ("draw", "population", "error", "nan")


def simulate(
    model: LinearMixedModel,
    n: int = 1,
    *,
    newdata: Any = None,
    conditional: bool = False,
    re: Any = None,
    seed: int | None = None,
    weights: Any = None,
    offset: Any = None,
    new_groups: str = "draw",
) -> pd.DataFrame:
    """Draw responses from the model, with its estimates for the truth.

    Parameters
    ----------
    n
        Number of responses.
    newdata
        A table to simulate for; its response may be absent. None: the rows of the fit.
    conditional
        False: random effects are drawn, for known levels too: the data of other subjects. True: the estimated random
        effects are kept and only residuals are drawn: other data of the same subjects.
    re
        Which random terms are kept at their estimates, the others being drawn; as in `predict`: "all", a grouping
        factor, ``"(1 | item)"`` or a list of these.
    seed
        The same seed gives the same responses to the last bit, and the first 10 of 100 are those of ``simulate(10)``.
        None draws a seed; ``result.attrs["seed"]`` names it.
    weights
        For new rows: a column name, one value per row, or a number. None: the column of that name that the model was
        fitted with, 1 if it was fitted without.
    offset
        For new rows, likewise; 0 if the model was fitted without.
    new_groups
        Levels in `newdata` that the model was not fitted to: "draw" effects for them whatever is kept; "population",
        effects of zero; "error"; "nan".

    Returns
    -------
    DataFrame
        One row per row of the data, columns sim_1, sim_2, ...; NaN where `newdata` has a missing value.

    Raises
    ------
    DataError
        A column that the model needs is absent, an argument means nothing.

    Notes
    -----
    y = X beta + offset + Z b + e with b ~ N(0, Sigma) independent between levels and e_i ~ N(0, sigma² / w_i). Without
    `newdata` these are the responses that `bootstrap` fits for the same seed. Rows of `newdata` that have the same
    level, known or new, share its effects. Responses are on the scale of the left side of the formula: logarithms,
    where log(y) was fitted.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> drawn = fit.simulate(3, seed=1)
    >>> drawn.shape, list(drawn.columns)
    ((180, 3), ['sim_1', 'sim_2', 'sim_3'])
    >>> fit.refit(drawn["sim_1"]).converged
    True
    """
    import pandas as pd

    count, seed = engines.checked_count(n), engines.checked_seed(seed)
    _check_choices(conditional, new_groups)
    kept = _kept_terms(model, "all" if conditional and re is None else re)
    if newdata is None:
        for name, value in (("weights", weights), ("offset", offset)):
            if value is not None:
                raise errors_simulation.rows_argument_needs_newdata(name)
        source, index = _at_own_rows(model, kept), model.index
    else:
        source, index = _at_new_rows(model, newdata, kept, weights, offset, new_groups)
    values = drawn(source, seed, count)
    table = pd.DataFrame(values.T, index=index, columns=[f"sim_{i + 1}" for i in range(count)], copy=False)
    table.attrs["seed"] = seed
    return table


def drawn(source: NormalDraws, seed: int, count: int) -> Matrix:
    """Responses (count, n): those of the blocks, in order."""
    rows = len(source.mean)
    if not rows:
        return np.empty((count, 0))
    result = np.empty((count, rows))
    size = engines.block_size(rows)
    for block, first, wanted in engines.blocks(rows, count):
        result[first : first + wanted] = source(engines.generator(seed, block), size)[:wanted]
    return result


def _check_choices(conditional: Any, new_groups: Any) -> None:
    if not isinstance(conditional, bool | np.bool_):
        raise errors.argument_type("conditional", conditional, "True or False; for some random terms use re=")
    if not isinstance(new_groups, str) or new_groups not in NEW_GROUPS:
        raise errors.choice("new_groups", new_groups, NEW_GROUPS)


def _kept_terms(model: LinearMixedModel, value: Any) -> frozenset[int]:
    """The random terms that are kept at their estimates."""
    selection = random_selection.select(model.design, value)
    for t in selection.chosen:
        if t in selection.left_out:
            term = model.design.formula.random_terms[model.design.terms[t].part]
            raise errors_simulation.part_of_a_term(term.text)
    return frozenset(selection.chosen)


def _at_own_rows(model: LinearMixedModel, kept: frozenset[int]) -> NormalDraws:
    """Draws at the rows of the fit."""
    full = engines.parametric_draws(model)
    mean = marginal_mean(model)[None]
    for t in sorted(kept):
        term = full.terms[t]
        add_effects(mean, model.solution.b[t][None], term.codes, term.columns)
    return replace(full, mean=mean[0], terms=tuple(term for t, term in enumerate(full.terms) if t not in kept))


# ------------------------------------------------------------------------------------------------------------ new rows


def _at_new_rows(
    model: LinearMixedModel, newdata: Any, kept: frozenset[int], weights: Any, offset: Any, new_groups: str
) -> tuple[NormalDraws, Any]:
    """Draws at the rows of a table, and its row labels."""
    recipe, table = model.design.recipe, open_table(newdata)
    if recipe.offset is not None and recipe.offset_column is None and offset is None:
        raise errors_simulation.rows_argument_missing("offset")
    rows = design_for(table, model.design, offset=offset)
    unseen = {name: levels for name, levels in rows.unseen.items() if levels}
    if unseen and new_groups == "error":
        raise errors_simulation.new_groups(unseen)
    own = truth.of_model(model)
    mean = np.zeros((1, rows.n))
    if rows.offset is not None:
        mean += rows.offset
    for j, coefficient in zip(model.kept, own.beta, strict=True):
        column = rows.x[j]
        mean += coefficient if column is None else coefficient * column
    terms = []
    for t, term in rows.terms.items():
        groups = groups_of(term)
        mean[0, groups.codes < 0] = np.nan
        if new_groups == "nan" and term.is_new is not None:
            mean[0, term.is_new] = np.nan
        if t in kept:
            _add_estimates(mean, model.solution.b[t], term)
        if t not in kept or (new_groups == "draw" and term.is_new is not None):
            terms.append(_drawn_term(groups, term, own.factors[t], t in kept, new_groups))
    return NormalDraws(mean[0], residual_sd(own.sigma, row_weights(model, table, weights)), tuple(terms)), rows.index


@dataclass(frozen=True, eq=False)
class Groups:
    """The levels at new rows: code (n,) of each row, -1 where missing; number of known levels before the new ones."""

    codes: Codes
    count: int
    known: int


def groups_of(term: NewTerm) -> Groups:
    """Number the levels that occur, known ones by their code and new ones after them."""
    assert term.codes is not None
    present = np.unique(term.codes[term.codes >= 0])
    codes = np.searchsorted(present, term.codes).astype(np.int32)
    codes[term.codes < 0] = -1
    count = len(present)
    if term.is_new is not None and term.new_codes is not None:
        codes[term.is_new] = term.new_codes[term.is_new] + len(present)
        count += int(term.new_codes.max()) + 1
    return Groups(codes, count, len(present))


def _add_estimates(mean: Matrix, effects: Matrix, term: NewTerm) -> None:
    """Add the estimated effects of the known levels."""
    assert term.codes is not None
    padded = np.vstack([effects, np.zeros((1, effects.shape[1]))])  # code -1: zero
    add_effects(mean, padded[None], term.codes, term.columns)


def _drawn_term(groups: Groups, term: NewTerm, factor: Matrix, is_kept: bool, new_groups: str) -> DrawnTerm:
    """A term whose effects are drawn; rows whose effects are not get columns of zeros."""
    off = groups.codes < 0
    if is_kept:
        off = off | (groups.codes < groups.known)
    if new_groups == "population" and term.is_new is not None:
        off = off | term.is_new
    columns = term.columns
    if off.any():
        columns = tuple(np.where(off, 0.0, 1.0 if column is None else column) for column in columns)
    return DrawnTerm(np.maximum(groups.codes, 0), columns, max(groups.count, 1), factor)


def row_weights(model: LinearMixedModel, table: Any, weights: Any) -> Vector | None:
    """The weights of new rows, None for those of an unweighted model."""
    if weights is None:
        if not model.design.recipe.is_weighted:
            return None
        weights = model.design.recipe.weights_column
        if weights is None:
            raise errors_simulation.rows_argument_missing("weights")
        if table.column(weights) is None:
            raise errors_simulation.rows_column_missing("weights", weights)
    values = number_or_column(table, "weights", weights)
    assert values is not None
    bad = (values <= 0) | np.isinf(values)
    if bad.any():
        row = int(np.argmax(bad))
        raise errors_simulation.weights_new_invalid(row, float(values[row]))
    return values
