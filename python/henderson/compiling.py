"""DesignMatrices -> CompiledProblem, and the words for what the core refuses."""

from __future__ import annotations

from henderson.compiled import CompiledProblem, Vector
from henderson.conversion import UNUSABLE, explain, explain_response, first_unusable
from henderson.design import DesignMatrices
from henderson.errors import DataError


def compile_design(design: DesignMatrices, y: Vector, threads: int) -> CompiledProblem:
    """Hand the columns of a design to the core; `y` has the offset subtracted."""
    codes = [factor.codes for factor in design.factors]
    levels = [factor.n_levels for factor in design.factors]
    terms = [(term.factor, term.columns) for term in design.terms]
    try:
        return CompiledProblem(y, design.x, codes, levels, terms, design.weights, threads, design.represented)
    except UNUSABLE as bad:
        raise _unusable(bad, design) from None


def _unusable(problem: ValueError, design: DesignMatrices) -> DataError:
    """Name the column and the row of the table that hold the value the core refused."""
    kind, index, row = problem.args
    label = row if design.rows is None else int(design.rows[row])
    if kind == "y":
        return explain_response(
            problem, f"The response {design.response_name}", design.y, design.offset, label, design.weights
        )
    if kind == "weights":
        assert design.weights is not None
        return explain(problem, "weights", design.weights, label)
    if kind == "x":
        name, column = f"The fixed-effects column {design.x_names[index]}", design.x[index]
    else:
        term = design.terms[index]
        k = first_unusable(term.columns, design.weights)
        name, column = f"The random-effects column {term.names[k]} of {term.group}", term.columns[k]
    assert column is not None  # the core cannot have refused what is not there
    return explain(problem, name, column, label, design.weights)
