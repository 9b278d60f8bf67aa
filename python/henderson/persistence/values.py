"""Values <-> JSON and arrays: numbers, text, dates, lists, arrays, and records of a closed set of types.

Numbers, text, true, false and null are themselves, lists are lists. Everything else is an object with one tag:

    {"float": "nan"}  {"tuple": [...]}  {"dict": [[key, value], ...]}  {"array": "name"}  {"labels": ...}
    {"date": ...}  {"time": ...}  {"duration": ...}  {"interval": [left, right, closed]}  {"period": ...}
    {"decimal": "1.10"}  {"record": "Levels", "fields": {...}}

Reading builds nothing but these values and the records named in `RECORDS`; no code of a file is run.
"""

from __future__ import annotations

import datetime
import decimal
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from henderson import coding, contrasts, errors_persistence, expression, factors, formula, levels, terms
from henderson import optimum as optima
from henderson.compiled import Solution
from henderson.inference import estimability, information, satterthwaite, variance_shares

Json = Any
Arrays = dict[str, NDArray[Any]]

RECORDS: dict[str, type] = {
    record.__name__: record
    for record in (
        *(expression.Name, expression.Constant, expression.Items, expression.Call, expression.Unary),
        *(expression.Binary, expression.Parentheses, expression.Code),
        *(terms.Term, terms.TermList, formula.Grouping, formula.RandomPart),
        *(coding.NumericVariable, coding.CategoricalVariable, contrasts.Contrast),
        *(levels.Levels, levels.Categories, factors.Factor),
        *(optima.Optimum, Solution, information.Information, information.Directions, satterthwaite.Satterthwaite),
        *(variance_shares.VarianceShares, estimability.Estimability),
    )
}
LEFT_OUT = {"span"}  # where an expression stands in a text: for error messages only
RENAMED = {"Levels": {"source": "labels"}}  # the field as it is in a file
NUMERIC = "biufMm"
"""Kinds of arrays that are written as such; those of objects are written value by value."""


@dataclass
class Writer:
    """Gathers the arrays of a file while its values become JSON.

    Attributes
    ----------
    arrays
        By name; an array that occurs twice is written once.
    """

    arrays: Arrays = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)

    def value(self, value: Any, where: str) -> Json:
        """A value as JSON; `where` says what it is, and names its arrays."""
        if value is None or isinstance(value, bool | str) or (type(value) is int):
            return value
        if isinstance(value, np.ndarray):
            return self.array(value, where)
        if isinstance(value, float | np.floating):
            return float(value) if math.isfinite(value) else {"float": repr(float(value))}
        if isinstance(value, np.timedelta64):  # an integer to numpy
            return scalar(value, where)
        if isinstance(value, np.bool_ | np.integer | np.str_):
            return value.item()
        if isinstance(value, list):
            return [self.value(entry, where) for entry in value]
        if isinstance(value, tuple):
            return {"tuple": [self.value(entry, where) for entry in value]}
        if isinstance(value, Mapping):
            pairs = [[self.value(key, where), self.value(own, f"{where}.{key}")] for key, own in value.items()]
            return {"dict": pairs}
        if type(value).__name__ in RECORDS and type(value) is RECORDS[type(value).__name__]:
            return self._record(value, where)
        return scalar(value, where)

    def array(self, values: NDArray[Any], where: str) -> Json:
        """A reference to an array of numbers or times; values of other types one by one."""
        if values.dtype.kind not in NUMERIC:
            return {"objects": [self.value(value, where) for value in values.tolist()]}
        if id(values) not in self._names:
            base = name = re.sub(r"[^\w.]+", "-", where)
            count = 1
            while name in self.arrays:
                count += 1
                name = f"{base}-{count}"
            self._names[id(values)] = name
            self.arrays[name] = values  # kept alive, so that no other array gets its id
        return {"array": self._names[id(values)]}

    def _record(self, value: Any, where: str) -> Json:
        kind = type(value).__name__
        renamed = RENAMED.get(kind, {})
        own = {}
        for part in fields(value):
            if part.name not in LEFT_OUT and not part.name.startswith("_"):
                name = renamed.get(part.name, part.name)
                own[name] = self.value(getattr(value, name), f"{where}.{name}")
        return {"record": kind, "fields": own}


@dataclass(frozen=True)
class Reader:
    """Makes values of JSON.

    Attributes
    ----------
    arrays
        Gives an array of the file by name.
    """

    arrays: Callable[[str], NDArray[Any]]

    def value(self, json: Json) -> Any:
        """The value that some JSON stands for."""
        if isinstance(json, list):
            return [self.value(entry) for entry in json]
        if not isinstance(json, dict):
            return json
        if "record" in json:
            return self._record(json)
        ((tag, content),) = json.items()
        match tag:
            case "array":
                return self.arrays(content)
            case "objects":
                return as_objects([self.value(entry) for entry in content])
            case "float":
                return float(content)
            case "tuple":
                return tuple(self.value(entry) for entry in content)
            case "dict":
                return {self.value(key): self.value(own) for key, own in content}
        return read_scalar(tag, content)

    def _record(self, json: Json) -> Any:
        kind = RECORDS[json["record"]]
        given = {name: self.value(own) for name, own in json["fields"].items()}
        names = RENAMED.get(json["record"], {})
        required = [part.name for part in fields(kind) if part.name not in LEFT_OUT and not part.name.startswith("_")]
        return kind(**{name: given[names.get(name, name)] for name in required})


def as_objects(values: list[Any]) -> NDArray[np.object_]:
    """A vector of objects, tuples among them."""
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result


def scalar(value: Any, where: str) -> Json:
    """A date, a time, an interval, a decimal number as JSON."""
    if isinstance(value, decimal.Decimal):
        return {"decimal": str(value)}
    if isinstance(value, np.datetime64 | np.timedelta64):
        kind = "time" if isinstance(value, np.datetime64) else "duration"
        return {kind: [int(value.astype(np.int64)), np.datetime_data(value.dtype)[0], "numpy"]}
    if isinstance(value, datetime.date | datetime.timedelta) or hasattr(value, "closed") or hasattr(value, "freqstr"):
        found = _of_pandas(value, where)
        if found is not None:
            return found
    raise errors_persistence.value_unsaveable(where, value)


def _of_pandas(value: Any, where: str) -> Json:
    import pandas as pd

    if isinstance(value, pd.Timestamp | pd.Timedelta):
        kind = "time" if isinstance(value, pd.Timestamp) else "duration"
        zone = getattr(value, "tz", None)
        return {kind: [value.as_unit("ns").value, value.unit, "" if zone is None else str(zone)]}
    if isinstance(value, pd.Interval):
        ends = [scalar_or_plain(end, where) for end in (value.left, value.right)]
        return {"interval": [*ends, value.closed]}
    if isinstance(value, pd.Period):
        return {"period": [value.ordinal, value.freqstr]}
    if isinstance(value, datetime.datetime):
        return None if value.tzinfo is not None else {"time": [value.isoformat(), "us", "datetime"]}
    if isinstance(value, datetime.timedelta):
        return {"duration": [value // datetime.timedelta(microseconds=1), "us", "datetime"]}
    return {"date": value.isoformat()} if type(value) is datetime.date else None


def scalar_or_plain(value: Any, where: str) -> Json:
    """One value as JSON."""
    return Writer().value(value, where)


def _end(json: Json) -> Any:
    """The end of an interval: a number or a time."""
    if not isinstance(json, dict):
        return json
    ((tag, content),) = json.items()
    return float(content) if tag == "float" else read_scalar(tag, content)


def read_scalar(tag: str, content: Json) -> Any:
    """The date, time, interval, period or decimal number that a tagged value stands for."""
    import pandas as pd

    if tag == "decimal":
        return decimal.Decimal(content)
    if tag == "date":
        return datetime.date.fromisoformat(content)
    if tag == "interval":
        left, right, closed = content
        return pd.Interval(_end(left), _end(right), closed)
    if tag == "period":
        return pd.Period(ordinal=content[0], freq=content[1])
    if tag not in ("time", "duration"):
        raise KeyError(tag)
    number, unit, kind = content
    if kind == "numpy":
        return (np.datetime64 if tag == "time" else np.timedelta64)(number, unit)
    if kind == "datetime":
        is_time = tag == "time"
        return datetime.datetime.fromisoformat(number) if is_time else datetime.timedelta(microseconds=number)
    if tag == "duration":
        return pd.Timedelta(number, unit="ns").as_unit(unit)
    if not kind:
        return pd.Timestamp(number, unit="ns").as_unit(unit)
    return pd.Timestamp(number, unit="ns", tz="UTC").tz_convert(kind).as_unit(unit)
