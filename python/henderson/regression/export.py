"""Regression tables handed to the packages maketables and great_tables, and through them to Word."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from henderson import errors_fit, errors_reports

if TYPE_CHECKING:
    from henderson.regression.table import RegressionTable


def as_mtable(table: RegressionTable) -> Any:
    """A ``maketables.MTable`` of the cells."""
    try:
        from maketables import MTable
    except ImportError:
        raise errors_fit.dependency_missing("maketables", "This format", "tables") from None
    import pandas as pd

    cells = table.to_cells()
    cells.index.names = [None, None]
    if any(response != table.names[place] for place, response in enumerate(table.responses)):
        cells.columns = pd.MultiIndex.from_tuples(list(zip(table.responses, table.names, strict=True)))
    return MTable(cells, notes=" ".join(table.notes), caption=table.caption or None)


def as_great_table(table: RegressionTable) -> Any:
    """A ``great_tables.GT`` of the cells, grouped by part."""
    try:
        from great_tables import GT
    except ImportError:
        raise errors_fit.dependency_missing("great_tables", "This format", "tables") from None
    import pandas as pd

    rows = [(part.title, row.label, *row.cells) for part in table.parts for row in part.rows]
    fits = [f"fit_{place}" for place in range(len(table.names))]
    frame = pd.DataFrame(rows, columns=["part", "row", *fits])
    result = GT(frame, rowname_col="row", groupname_col="part").cols_label(dict(zip(fits, table.names, strict=True)))
    for response in dict.fromkeys(table.responses):
        own = [name for name, of in zip(fits, table.responses, strict=True) if of == response]
        result = result.tab_spanner(label=response, columns=own, gather=False)
    result = result.cols_align(align="center", columns=fits)
    if table.caption:
        result = result.tab_header(title=table.caption)
    for note in table.notes:
        result = result.tab_source_note(note)
    return result


def write_docx(table: RegressionTable, path: str | PathLike[str]) -> None:
    """Write the table that maketables makes for Word."""
    try:
        target = Path(fspath(path))
    except TypeError:
        raise errors_reports.path_invalid(path) from None
    if not target.parent.is_dir():
        raise errors_reports.folder_missing(str(target.parent))
    as_mtable(table).make(type="docx").save(str(target))
