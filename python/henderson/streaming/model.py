"""A fit that was updated from its cross-products."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from henderson import errors_streaming
from henderson.compiling import compile_design
from henderson.conversion import minus
from henderson.levels import Categories
from henderson.model import LinearMixedModel, Vector
from henderson.persistence import saving
from henderson.row_facts import RowFacts
from henderson.streaming.ledger import whole_number
from henderson.streaming.problem import StreamedProblem

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from henderson import _core
    from henderson.design import DesignMatrices
    from henderson.inference.variance_shares import VarianceShares

SHARED = ("kept", "optimum", "solution")


def without_rows(model: StreamedModel) -> DesignMatrices:
    """The design of a streamed fit: names and levels of the last rows, and guards in place of vectors over the rows."""
    rows, ledger = model._rows, model._problem.ledger
    guard: Any = model._y
    columns: dict[str, Any] = {
        name: Categories(guard, value.levels, value.all_used) if isinstance(value, Categories) else guard
        for name, value in rows.recipe.columns.items()
    }
    return replace(
        rows,
        y=guard,
        x=[None if column is None else guard for column in rows.x],
        terms=tuple(
            replace(term, columns=tuple(None if column is None else guard for column in term.columns))
            for term in rows.terms
        ),
        factors=tuple(factor.at(guard) for factor in rows.factors),
        weights=guard if ledger.is_weighted else None,
        offset=guard if ledger.has_offset else None,
        rows=guard,
        recipe=replace(rows.recipe, columns=columns, offset=guard if ledger.has_argument else None),
        values=guard,
        table_index=guard,
        represented=None if ledger.is_real else (whole_number(ledger.nobs), 0.0),
    )


def all_rows(model: StreamedModel) -> LinearMixedModel:
    """The same fit with all its rows in one place; of rows that are not known, ones that stand for them."""
    if model._stand_in is None:
        design = model._problem.ledger.stacked()
        y = design.y if design.offset is None else minus(design.y, design.offset)
        problem = compile_design(design, y, model._problem.threads)
        model._stand_in = LinearMixedModel(design, problem, None, y, model.is_reml, model.call)
        model._stand_in.__dict__.update({name: getattr(model, name) for name in SHARED})
    return model._stand_in


def facts(model: StreamedModel) -> RowFacts:
    """Facts about the rows, from all of them."""
    own = all_rows(model)
    return own.row_facts if model._problem.ledger.is_real else UnknownFacts(own)


def on_all_rows(name: str) -> Any:
    """A property or method that needs values at the rows: that of the stand-in."""
    own = LinearMixedModel.__dict__[name]

    def get(model: StreamedModel) -> Any:
        if model._problem.ledger.is_real:
            return getattr(model.stand_in, name)
        return own.__get__(model, type(model))  # some need no rows after all; others say what is not known

    return property(get, doc=own.__doc__)


class StreamedModel(LinearMixedModel):
    """A fit that was updated from its cross-products, with `stand_in`, the same fit with all rows, made when needed."""

    _problem: StreamedProblem

    def __init__(
        self,
        design: DesignMatrices,
        problem: StreamedProblem,
        found: _core.Optimum | None,
        y: Vector,
        reml: bool,
        call: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """`design`: of the rows that came last, with all names and levels; `y`: the guard of the problem."""
        self._rows = design
        self._y = y
        self.is_reml = reml
        self._problem = problem
        self._found = found
        self._stand_in = None
        self.call = call

    design = cached_property(without_rows)

    stand_in = property(all_rows)

    row_facts = cached_property(facts)

    fitted = on_all_rows("fitted")
    fitted_values = on_all_rows("fitted_values")
    fittedvalues = on_all_rows("fittedvalues")
    resid = on_all_rows("resid")
    residuals = on_all_rows("residuals")
    quantile_residuals = on_all_rows("quantile_residuals")
    index = on_all_rows("index")
    augment = on_all_rows("augment")
    model_matrix = on_all_rows("model_matrix")
    Z = on_all_rows("Z")

    emmeans = on_all_rows("emmeans")
    emtrends = on_all_rows("emtrends")
    drop1 = on_all_rows("drop1")
    ranova = on_all_rows("ranova")
    step = on_all_rows("step")
    power = on_all_rows("power")
    bootstrap = on_all_rows("bootstrap")
    simulate = on_all_rows("simulate")
    refit = on_all_rows("refit")
    to_marginaleffects = on_all_rows("to_marginaleffects")

    leverage = on_all_rows("leverage")
    random_leverages = on_all_rows("random_leverages")
    influence = on_all_rows("influence")
    shrinkage = on_all_rows("shrinkage")
    marginal_cov = on_all_rows("marginal_cov")
    check = on_all_rows("check")
    diagnose = on_all_rows("diagnose")
    normality = on_all_rows("normality")
    levene = on_all_rows("levene")
    breusch_pagan = on_all_rows("breusch_pagan")
    autocorrelation = on_all_rows("autocorrelation")
    plot = on_all_rows("plot")

    def predict(self, newdata: Any = None, **options: Any) -> Any:
        """Predict rows of a table, as every fit does; None for those of the fit."""
        if newdata is None and self._problem.ledger.is_real:
            return self.stand_in.predict(**options)
        return super().predict(newdata, **options)

    def save(self, path: str | os.PathLike[str], *, rows: bool = False) -> None:
        """Write the fit to a file, as a fit with all its rows."""
        if not self._problem.ledger.is_real:
            raise errors_streaming.rows_unknown("A file of a fit")
        saving.save(self.stand_in, path, rows=rows)


class UnknownFacts(RowFacts):
    """Facts about rows of which only cross-products are known."""

    @cached_property
    def residual_quantiles(self) -> Vector | None:
        """They are left out of the summary."""
        return None

    @cached_property
    def variance_shares(self) -> VarianceShares:
        """The mean variance of the rows is not known."""
        raise errors_streaming.rows_unknown("The mean variance of the rows")

    @cached_property
    def mean_products(self) -> tuple[NDArray[Any], ...]:
        """Z'Z / n is not known."""
        raise errors_streaming.rows_unknown("The mean variance of the rows")

    @cached_property
    def level_sizes(self) -> tuple[NDArray[Any], ...]:
        """The number of rows of a level is not known."""
        raise errors_streaming.rows_unknown("The number of rows of each level")
