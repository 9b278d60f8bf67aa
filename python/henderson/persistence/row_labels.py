"""Row labels of a table, a pandas Index, as values of a file."""

from __future__ import annotations

from typing import Any

import numpy as np

from henderson.persistence.values import Json, Reader, Writer


def write_labels(writer: Writer, index: Any) -> Json:
    """Row labels; None for row numbers."""
    if index is None:
        return None
    import pandas as pd

    if isinstance(index, pd.RangeIndex):
        return {"kind": "range", "range": [index.start, index.stop, index.step], "names": _names(writer, index)}
    if isinstance(index, pd.MultiIndex):
        levels = [_values(writer, level) for level in index.levels]
        codes = [writer.array(np.asarray(own), "labels.codes") for own in index.codes]
        return {"kind": "product", "levels": levels, "codes": codes, "names": _names(writer, index)}
    return {"kind": "values", **_values(writer, index), "names": _names(writer, index)}


def _names(writer: Writer, index: Any) -> Json:
    return writer.value(list(index.names), "labels")


def _values(writer: Writer, index: Any) -> Json:
    return {"values": writer.value(np.asarray(index), "labels"), "type": str(index.dtype)}


def read_labels(reader: Reader, json: Json) -> Any:
    """The pandas Index of a table."""
    if json is None:
        return None
    import pandas as pd

    names = reader.value(json["names"])
    if json["kind"] == "range":
        start, stop, step = json["range"]
        return pd.RangeIndex(start, stop, step, name=names[0])
    if json["kind"] == "product":
        codes = [reader.value(own) for own in json["codes"]]
        return pd.MultiIndex([_read_values(reader, level) for level in json["levels"]], codes, names=names)
    return _read_values(reader, json).rename(names[0])


def _read_values(reader: Reader, json: Json) -> Any:
    import pandas as pd

    values = pd.Index(reader.value(json["values"]))
    if str(values.dtype) == json["type"]:
        return values
    try:
        return values.astype(json["type"])
    except (TypeError, ValueError):  # such as a type of another library
        return values
