"""A design as values of a file: always its names, levels and codings; on request its rows.

Without rows, every vector over them becomes a guard (`absent`), and beside the design there are rows that stand for
them in all cross-products (`compression`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson.absent import AbsentRows, SummarisedRows, fingerprint_of, groups_fingerprint, mean_of
from henderson.columns import Numbers
from henderson.compression import compressed
from henderson.contrasts import as_contrast
from henderson.design import DesignMatrices, RandomTerm, Recipe
from henderson.factors import Factor
from henderson.inference.grid_columns import summarised
from henderson.levels import Categories
from henderson.persistence import formulas
from henderson.persistence.row_labels import read_labels, write_labels
from henderson.persistence.values import Json, Reader, Writer
from henderson.subdesign import design_of

PLAIN = ("response_name", "data_name", "n_dropped", "n_zero_weight", "n_excluded")
SUMMARY = ("fingerprint", "mean", "smallest", "largest", "distinct", "cells", "counts")

# ------------------------------------------------------------------------------------------------------------- writing


def write_design(writer: Writer, design: DesignMatrices) -> Json:
    """Everything but the rows; of these their number, fingerprints, and summaries of the columns behind X."""
    recipe = design.recipe
    variables = [
        [writer.value(node, "variable"), writer.value(known, f"variable.{known.label}")]
        for node, known in recipe.variables.items()
    ]
    return {
        "formula": formulas.write_formula(writer, design.formula),
        **{name: getattr(design, name) for name in PLAIN},
        "rows": design.n,
        "x": [
            {"name": name, "fingerprint": _mark(column)} for name, column in zip(design.x_names, design.x, strict=True)
        ],
        "terms": [_write_term(term) for term in design.terms],
        "factors": [_write_factor(writer, factor) for factor in design.factors],
        "response": {"fingerprint": fingerprint_of(design.y)},
        "weights": None if design.weights is None else {"fingerprint": fingerprint_of(design.weights)},
        "offset": None if design.offset is None else {"mean": mean_of(design.offset)},
        "offset_argument": _write_argument(recipe),
        "weights_argument": {"is_given": recipe.is_weighted, "column": recipe.weights_column},
        "arguments": _write_arguments(writer, recipe.arguments),
        "variables": variables,
        "states": formulas.write_states(writer, recipe.states),
        "context": formulas.write_context(writer, recipe.context),
        "columns": _write_columns(writer, design),
    }


def _mark(column: Any) -> str | None:
    """The fingerprint of a column, None for a column of ones."""
    return None if column is None else fingerprint_of(column)


def _write_term(term: RandomTerm) -> Json:
    return {
        "group": term.group,
        "label": term.label,
        "factor": term.factor,
        "names": list(term.names),
        "part": term.part,
        "fingerprints": [_mark(column) for column in term.columns],
    }


def _write_factor(writer: Writer, factor: Factor) -> Json:
    where = f"factor.{factor.name}"
    parts = {name: writer.value(getattr(factor, name), where) for name in ("parts", "combinations", "variables")}
    return {"name": factor.name, **parts, "fingerprint": groups_fingerprint(factor.codes)}


def _write_argument(recipe: Recipe) -> Json:
    return {"column": recipe.offset_column, "mean": None if recipe.offset is None else mean_of(recipe.offset)}


def _write_arguments(writer: Writer, arguments: Mapping[str, Any]) -> Json:
    """The other arguments of the fit that were given; contrasts in full."""
    contrasts = {name: as_contrast(name, value) for name, value in arguments.get("contrasts", {}).items()}
    return writer.value({**arguments, **({"contrasts": contrasts} if contrasts else {})}, "arguments")


def _write_columns(writer: Writer, design: DesignMatrices) -> Json:
    """Kinds and levels of the columns behind the fixed effects, and what reference grids ask of their values."""
    columns = design.recipe.columns
    if isinstance(design.y, AbsentRows):
        summaries = {name: _own_summary(values) for name, values in columns.items()}
    else:
        summaries = summarised(columns, design.n, fingerprint_of)
    result = {}
    for name, values in columns.items():
        levels = values.levels if isinstance(values, Categories) else None
        summary = summaries.get(name, {})
        own = {key: writer.value(summary[key], f"column.{name}.{key}") for key in SUMMARY if key in summary}
        result[name] = {"levels": writer.value(levels, f"column.{name}"), "summary": own}
    return result


def _own_summary(values: Any) -> dict[str, Any]:
    summary: Any = values.codes if isinstance(values, Categories) else values
    names = SUMMARY if isinstance(summary, SummarisedRows) else SUMMARY[:1]
    kept = {name: getattr(summary, "average" if name == "mean" else name) for name in names}
    return {name: value for name, value in kept.items() if value is not None}


def write_rows(writer: Writer, design: DesignMatrices) -> Json:
    """The values of the variables at the rows used, and where these are in the table."""
    recipe, own_values = design.recipe, design.values
    values = [
        [writer.value(node, "value"), writer.value(value, f"value.{place}")]
        for place, (node, value) in enumerate(own_values.items())
    ]
    parts = {"weights": design.weights, "offset": design.offset, "offset_argument": recipe.offset}
    return {
        "response": writer.array(design.y, "response"),
        **{name: writer.value(value, name) for name, value in parts.items()},
        "codes": [writer.array(factor.codes, f"codes.{place}") for place, factor in enumerate(design.factors)],
        "values": values,
        "columns": {name: writer.value(value, f"column.{name}") for name, value in recipe.columns.items()},
        "positions": writer.value(design.rows, "positions"),
        "labels": write_labels(writer, design.table_index),
    }


def write_products(writer: Writer, design: DesignMatrices, y: Numbers) -> Json:
    """Rows that stand for those of the design in all cross-products."""
    small = design if design.represented is not None else compressed(design, y)
    assert small.represented is not None
    return {
        "represented": list(small.represented),
        "y": writer.array(small.y, "products.y"),
        "x": [writer.value(column, "products.x") for column in small.x],
        "terms": [[writer.value(column, "products.z") for column in term.columns] for term in small.terms],
        "codes": [writer.array(factor.codes, "products.codes") for factor in small.factors],
    }


# ------------------------------------------------------------------------------------------------------------- reading


def read_design(reader: Reader, json: Json, path: str, context: Mapping[str, Any]) -> DesignMatrices:
    """The design with guards in place of all vectors over the rows."""
    n = json["rows"]
    columns = {name: _read_column(reader, own, n, path) for name, own in json["columns"].items()}
    argument = json["offset_argument"]
    recipe = Recipe(
        variables={reader.value(node): reader.value(variable) for node, variable in json["variables"]},
        states=formulas.read_states(reader, json["states"]),
        offset_column=argument["column"],
        context=context,
        columns=columns,
        offset=_mean_only(argument, n, path),
        is_weighted=json["weights_argument"]["is_given"],
        weights_column=json["weights_argument"]["column"],
        arguments=reader.value(json["arguments"]),
    )
    guard: Any = AbsentRows(n, path)
    own_weights = json["weights"]
    weights: Any = None if own_weights is None else AbsentRows(n, path, own_weights["fingerprint"])
    response: Any = AbsentRows(n, path, json["response"]["fingerprint"])
    return DesignMatrices(
        y=response,
        x=[_guard(own["fingerprint"], n, path) for own in json["x"]],
        x_names=tuple(own["name"] for own in json["x"]),
        terms=tuple(_read_term(own, n, path) for own in json["terms"]),
        factors=tuple(_read_factor(reader, own, n, path) for own in json["factors"]),
        weights=weights,
        offset=_mean_only(json["offset"], n, path),
        formula=formulas.read_formula(reader, json["formula"]),
        rows=guard,
        recipe=recipe,
        values=guard,
        table_index=guard,
        **{name: json[name] for name in PLAIN},
    )


def _guard(fingerprint: str | None, n: int, path: str) -> Any:
    return None if fingerprint is None else AbsentRows(n, path, fingerprint)


def _mean_only(json: Json, n: int, path: str) -> Any:
    return None if json is None or json["mean"] is None else SummarisedRows(n, path, mean=json["mean"])


def _read_column(reader: Reader, json: Json, n: int, path: str) -> Any:
    own = {name: reader.value(value) for name, value in json["summary"].items()}
    fingerprint = own.pop("fingerprint", "")
    summary: Any = SummarisedRows(n, path, fingerprint, **own) if own else AbsentRows(n, path, fingerprint)
    return summary if json["levels"] is None else Categories(summary, reader.value(json["levels"]), all_used=True)


def _read_term(json: Json, n: int, path: str) -> RandomTerm:
    columns = tuple(_guard(fingerprint, n, path) for fingerprint in json["fingerprints"])
    return RandomTerm(json["group"], json["label"], json["factor"], tuple(json["names"]), columns, json["part"])


def _read_factor(reader: Reader, json: Json, n: int, path: str) -> Factor:
    codes: Any = AbsentRows(n, path, json["fingerprint"])
    parts, combinations, variables = (reader.value(json[name]) for name in ("parts", "combinations", "variables"))
    return Factor(json["name"], codes, parts, combinations, variables)


def read_rows(reader: Reader, json: Json, guarded: DesignMatrices) -> DesignMatrices:
    """The design with its rows; its columns are made again of the values of the variables."""
    weights, offset, argument, positions = (
        reader.value(json[name]) for name in ("weights", "offset", "offset_argument", "positions")
    )
    columns = {name: reader.value(value) for name, value in json["columns"].items()}
    codes: list[NDArray[np.int32]] = [reader.value(own) for own in json["codes"]]
    given = replace(
        guarded,
        y=reader.value(json["response"]),
        factors=tuple(replace(factor, codes=own) for factor, own in zip(guarded.factors, codes, strict=True)),
        weights=weights,
        offset=offset,
        rows=positions,
        recipe=replace(guarded.recipe, columns=columns, offset=argument),
        values={reader.value(node): reader.value(value) for node, value in json["values"]},
        table_index=read_labels(reader, json["labels"]),
    )
    return design_of(guarded.formula, given)


def read_products(reader: Reader, json: Json, guarded: DesignMatrices) -> DesignMatrices:
    """A design on the rows that stand for those of the fit; see `compression.compressed`."""
    terms = zip(guarded.terms, json["terms"], strict=True)
    factors = zip(guarded.factors, json["codes"], strict=True)
    n, log_weights = json["represented"]
    return replace(
        guarded,
        y=reader.value(json["y"]),
        x=[reader.value(column) for column in json["x"]],
        terms=tuple(replace(term, columns=tuple(reader.value(column) for column in own)) for term, own in terms),
        factors=tuple(replace(factor, codes=reader.value(own)) for factor, own in factors),
        weights=None,
        offset=None,
        represented=(n, log_weights),
    )
