"""Tables in and out: CSV, TSV, JSON lines and Parquet files, bundled data sets, standard input and output."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from henderson import datasets, errors_cli, errors_fit
from henderson.export import plain
from henderson.levels import level_text
from henderson.persistence.archive import write_whole

if TYPE_CHECKING:
    import argparse

    import pandas as pd

STANDARD = "-"
SEPARATORS = {"csv": ",", "tsv": "\t"}
LINES = {"jsonl", "ndjson"}
PARQUET = {"parquet", "pq"}
READABLE = "a .csv, .tsv, .jsonl or .parquet file (the first three also .gz), or - for CSV on standard input"
WRITABLE = "a .csv, .tsv, .jsonl or .parquet file"


def read_table(source: str, as_text: Collection[str] = ()) -> Any:
    """Load a bundled data set by name, or read a file, or CSV from standard input.

    Parameters
    ----------
    source
        Name of a data set or of a file, or "-".
    as_text
        Columns whose values are text, whatever they look like.
    """
    path = Path(source)
    if source == STANDARD:
        data = _parsed(io.BytesIO(sys.stdin.buffer.read()), "csv", "standard input", as_text, None)
    elif source in datasets.NAMES and not path.is_file():
        data = datasets.load(source)
    elif not path.is_file():
        raise errors_fit.dataset_unreadable(source, datasets.NAMES)
    else:
        data = _parsed(path, _kind(path), source, as_text, "infer")
    for name in as_text:
        if name in data.columns and data[name].dtype.kind in "iufb":
            data[name] = [level_text(value) for value in data[name].tolist()]
    data.attrs["name"] = "" if source == STANDARD else source if source in datasets.NAMES else path.name
    return data


def _kind(path: Path) -> str:
    return path.name.lower().removesuffix(".gz").rpartition(".")[2]


def _parsed(content: Any, kind: str, name: str, as_text: Collection[str], compression: Any) -> Any:
    import pandas as pd

    try:
        if kind in SEPARATORS:
            types = dict.fromkeys(as_text, str)
            return pd.read_csv(content, sep=SEPARATORS[kind], dtype=types, compression=compression)
        if kind in LINES:
            return pd.read_json(content, lines=True, dtype=False, compression=compression)  # JSON has types
        if kind in PARQUET:
            return pd.read_parquet(content)
    except ImportError:
        raise errors_fit.dependency_missing("pyarrow", "Reading Parquet files", "arrow") from None
    except (OSError, ValueError) as reason:  # includes the parser's errors and wrong encodings
        raise errors_fit.file_unreadable(name, reason) from None
    raise errors_cli.file_type(name, READABLE)


def emit(options: argparse.Namespace, text: str) -> None:
    """Print a text, or write it to the file of ``--output``."""
    if options.output is None:
        print(text)
    else:
        write_whole(Path(options.output), lambda file: file.write((text + "\n").encode()))


def emit_table(options: argparse.Namespace, table: pd.DataFrame) -> None:
    """Write a table to the file of ``--output``; else print it as CSV, or as JSON with ``--json``."""
    if options.digits is not None:
        table = rounded(table, options.digits)
    if options.output is not None:
        write_table(table, Path(options.output))
    elif options.json:
        print(records(table))
    else:
        print(table.to_csv(index=False, lineterminator="\n"), end="")


def rounded(table: pd.DataFrame, digits: int) -> pd.DataFrame:
    """The table with so many significant digits."""
    result = table.copy()
    for name in result.columns:
        if result[name].dtype.kind == "f":
            result[name] = [float(f"{value:.{digits}g}") for value in result[name].tolist()]
    return result


def beside(data: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """The columns of a table and those that were computed for its rows."""
    import pandas as pd

    taken = [str(name) for name in found.columns if name in data.columns]
    if taken:
        raise errors_cli.columns_taken(taken)
    return pd.concat([data, found], axis=1)


def records(table: pd.DataFrame) -> str:
    """A table as a JSON list with an object for each row."""
    rows = [{str(name): plain(_scalar(value)) for name, value in row.items()} for row in table.to_dict("records")]
    return json.dumps(rows, indent=2, allow_nan=False, ensure_ascii=False)


def _scalar(value: Any) -> Any:
    """A cell as JSON has it: dates and the like as text."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return value.item() if hasattr(value, "item") else str(value)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table in the format that the name of the file asks for."""
    kind = path.name.lower().rpartition(".")[2]
    if kind in SEPARATORS:
        content = table.to_csv(index=False, sep=SEPARATORS[kind], lineterminator="\n").encode()
    elif kind in LINES:
        content = table.to_json(orient="records", lines=True, double_precision=15, force_ascii=False).encode()
    elif kind == "json":
        content = (records(table) + "\n").encode()
    elif kind in PARQUET:
        content = _parquet(table)
    else:
        raise errors_cli.file_type(str(path), WRITABLE)
    write_whole(path, lambda file: file.write(content))


def _parquet(table: pd.DataFrame) -> bytes:
    content = io.BytesIO()
    try:
        table.to_parquet(content, index=False)
    except ImportError:
        raise errors_fit.dependency_missing("pyarrow", "Writing Parquet files", "arrow") from None
    return content.getvalue()
