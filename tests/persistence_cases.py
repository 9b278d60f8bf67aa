"""Fits that are saved and loaded by the tests of `henderson.persistence`."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from cases import BY_NAME


@cache
def fitted(name):
    case = BY_NAME[name]
    return hd.lmer(case.formula, case.data(), **case.options())


def round_trip(fit, folder, **options):
    fit.save(folder / "fit.henderson", rows=options.pop("rows", False))
    return hd.load(folder / "fit.henderson", **options)


def equal(one, other, **tolerance):
    if hasattr(one, "to_frame") and not isinstance(one, pd.Series):
        one, other = one.to_frame(), other.to_frame()
    if isinstance(one, dict):
        assert list(one) == list(other)
        for name in one:
            equal(one[name], other[name], **tolerance)
    elif isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=not tolerance, **tolerance)
    elif isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, other, check_exact=not tolerance, **tolerance)
    elif tolerance:
        assert one == pytest.approx(other, rel=tolerance["rtol"])
    else:
        assert one == other


@cache
def study():
    rng = np.random.default_rng(7)
    n = 120
    table = pd.DataFrame({"g": np.repeat([f"g{k}" for k in range(12)], 10), "x": rng.uniform(-1, 3, n)})
    table = table.assign(z=rng.normal(size=n), a=rng.choice(list("pqr"), n), b=rng.choice(list("uvw"), n))
    table = table.assign(k=rng.integers(3, size=n), flag=rng.random(n) < 0.4)
    table["my column"] = rng.normal(size=n)
    table["y"] = table["x"] + np.repeat(rng.normal(size=12), 10) + rng.normal(size=n)
    table.loc[[3, 50], "x"] = np.nan
    table.index = [f"row {k}" for k in range(n)]
    return table
