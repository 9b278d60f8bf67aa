"""`henderson.load(path)`: the fitted model of a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_persistence
from henderson.compiling import compile_design
from henderson.conversion import minus
from henderson.design import DesignMatrices
from henderson.model import LinearMixedModel
from henderson.persistence import formulas, trust
from henderson.persistence.archive import path_of, read_archive
from henderson.persistence.designs import read_design, read_products, read_rows
from henderson.persistence.saving import FACTS
from henderson.persistence.values import Json, Reader
from henderson.row_facts import RowFacts

SHARED = ("kept", "optimum", "solution", "information", "_satterthwaite")
"""What a fit and the one that stands in for it where only cross-products matter have in common."""


def load(
    path: str | os.PathLike[str], *, context: Mapping[str, Any] | None = None, allow_code: bool = False
) -> LinearMixedModel:
    """Read a fit that ``fit.save(path)`` wrote.

    Parameters
    ----------
    path
        Name of the file.
    context
        The functions that the formula uses besides those of its language; files hold none.
    allow_code
        Accept a formula with Python code in braces, ``{...}``, which predictions run. For files you trust.

    Returns
    -------
    LinearMixedModel
        The same estimates, summary and predictions. A fit saved without its rows says so when something needs them.

    Raises
    ------
    MixedModelError
        There is no such file, it is damaged, or a newer version has written it.
    DataError
        The formula uses functions that `context` does not give.
    FormulaError
        The formula contains code.

    Notes
    -----
    Loading runs no code from the file.

    Examples
    --------
    >>> import henderson as hd
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "cake.henderson"
    >>> cake = hd.datasets.load_cake()
    >>> hd.lmer("angle ~ recipe + scale(temp) + (1 | recipe:replicate)", cake).save(path)
    >>> fit = hd.load(path)
    >>> fit.emmeans("recipe").to_frame()["estimate"].round(2).tolist()
    [33.12, 31.64, 31.6]
    >>> fit.resid
    Traceback (most recent call last):
    henderson.errors.DataError: This fit was loaded without its rows from ...
    """
    file = path_of(path)
    if context is not None and not isinstance(context, Mapping):
        raise errors_persistence.context_type(context)
    given = dict(context or {})

    def read(manifest: Json, arrays: Callable[[str], NDArray[Any]]) -> LinearMixedModel:
        return _read(manifest, Reader(arrays), file, given, allow_code)

    found: LinearMixedModel = read_archive(file, read)
    return found


def _read(manifest: Json, reader: Reader, path: Path, given: Mapping[str, Any], allow_code: bool) -> LinearMixedModel:
    own = manifest["design"]
    context, missing = formulas.read_context(reader, own["context"], given)
    if missing:
        raise errors_persistence.context_missing(str(path), missing, manifest["formula"])
    if not allow_code:
        code = trust.untrusted(formulas.expressions(formulas.read_formula(reader, own["formula"])), context)
        if code is not None:
            raise errors_persistence.code_refused(str(path), code)
    design = read_design(reader, own, str(path), context)
    if manifest["rows"] is not None:
        design = read_rows(reader, manifest["rows"], design)
        return _model(manifest, reader, design, design)
    rows = read_products(reader, manifest["products"], design)
    model = _model(manifest, reader, design, rows)
    model._stand_in = LinearMixedModel(rows, model._problem, None, model._y, model.is_reml, model.call)
    model._stand_in.__dict__.update({name: model.__dict__[name] for name in SHARED})
    return model


def _model(manifest: Json, reader: Reader, design: DesignMatrices, rows: DesignMatrices) -> LinearMixedModel:
    """A fit of a design, on rows that are its own or stand for them; what it found is as it was saved."""
    y = rows.y if rows.offset is None else minus(rows.y, rows.offset)
    call = tuple((label, value) for label, value in manifest["call"])
    model = LinearMixedModel(design, compile_design(rows, y, 0), None, y, manifest["is_reml"], call)
    found: dict[str, Any] = {name: reader.value(manifest[name]) for name in ("kept", "optimum", "solution")}
    found |= {"information": reader.value(manifest["information"])}
    found |= {"_satterthwaite": reader.value(manifest["satterthwaite"]), "row_facts": _facts(manifest, reader, model)}
    model.__dict__.update(found)
    _require_consistent(model)
    return model


def _facts(manifest: Json, reader: Reader, model: LinearMixedModel) -> RowFacts:
    facts = RowFacts(model)
    own = manifest["facts"]
    facts.__dict__.update({name: reader.value(own[name]) for name in FACTS})
    facts.__dict__["_term_contrasts"] = reader.value(own["term_contrasts"])
    return facts


def _require_consistent(model: LinearMixedModel) -> None:
    """Refuse arrays that do not belong together."""
    design, solution = model.design, model.solution
    sizes = [len(term.columns) for term in design.terms]
    shapes = [(design.factors[t.factor].n_levels, size) for t, size in zip(design.terms, sizes, strict=True)]
    rank = len(model.kept)
    checks = {
        "theta": np.shape(model.optimum.theta) == (sum(size * (size + 1) // 2 for size in sizes),),
        "beta": np.shape(solution.beta) == (rank,) and np.shape(solution.unscaled_vcov) == (rank, rank),
        "random effects": [np.shape(b) for b in solution.b] == shapes,
    }
    for name, fits in checks.items():
        if not fits:
            raise ValueError(f"{name}: shapes that do not belong together")
