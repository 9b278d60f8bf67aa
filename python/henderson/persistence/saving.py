"""`fit.save(path)`: a fitted model as a file that other machines can load, without its data if so wished."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from henderson import _version, errors_persistence
from henderson.absent import AbsentRows
from henderson.persistence.archive import FORMAT, FORMAT_VERSION, path_of, write_archive
from henderson.persistence.designs import write_design, write_products, write_rows
from henderson.persistence.values import Json, Writer

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

FACTS = ("residual_quantiles", "variance_shares", "mean_products", "level_sizes", "estimability")
TYPES = (1, 2, 3)


def save(model: LinearMixedModel, path: str | os.PathLike[str], *, rows: bool = False) -> None:
    """Write the fit to a file that `henderson.load` reads, on any machine.

    Parameters
    ----------
    path
        Name of the file; one that exists is replaced once the new one is complete.
    rows
        Keep the values at the rows used as well, so that residuals, refits, the bootstrap and everything else work on
        the loaded fit. By default it can do what needs no rows: estimates, summary, tests, intervals, marginal means,
        random effects, predictions and simulations for new data.

    Raises
    ------
    DataError
        A level or a constant of the fit is of a type that the file cannot hold.
    MixedModelError
        The file cannot be written.

    Notes
    -----
    A zip with ``model.json`` and ``arrays/*.npy``; loading it runs no code. The format is described in the
    documentation. Without rows the file still has the sums of squares and products that determine the fit, group by
    group: of a group with a single row, they are that row. It is smaller, not anonymous.

    Examples
    --------
    >>> import henderson as hd
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sleep.henderson"
    >>> fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    >>> fit.save(path)
    >>> bool((hd.load(path).fixef == fit.fixef).all())
    True
    """
    file = path_of(path)
    if rows and isinstance(model.design.y, AbsentRows):
        raise errors_persistence.needs_rows_to_save()
    writer = Writer()
    manifest = _manifest(writer, model, rows)
    write_archive(file, manifest, writer.arrays)


def _manifest(writer: Writer, model: LinearMixedModel, rows: bool) -> Json:
    stand_in = model.stand_in
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "henderson": _version.__version__,
        "formula": model.formula,
        "is_reml": model.is_reml,
        "call": [list(line) for line in model.call],
        "design": write_design(writer, model.design),
        "rows": write_rows(writer, model.design) if rows else None,
        "products": None if rows else write_products(writer, stand_in.design, stand_in._y),
        "kept": list(model.kept),
        "optimum": writer.value(model.optimum, "optimum"),
        "solution": writer.value(model.solution, "solution"),
        "information": writer.value(model.information, "information"),
        "satterthwaite": writer.value(model._satterthwaite, "satterthwaite"),
        "facts": _facts(writer, model),
    }


def _facts(writer: Writer, model: LinearMixedModel) -> dict[str, Any]:
    facts = model.row_facts
    found = {name: writer.value(getattr(facts, name), f"facts.{name}") for name in FACTS}
    contrasts = {kind: facts.term_contrasts(kind) for kind in TYPES}
    return found | {"term_contrasts": writer.value(contrasts, "facts.term_contrasts")}
