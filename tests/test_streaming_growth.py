"""What an update costs does not grow with the updates or the rows so far, in work or in memory."""

import gc
import pickle
import sys
import tracemalloc
import weakref

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from henderson import RandomTerm, fit_arrays
from henderson.streaming.problem import StreamedProblem

N, BATCH, GROUPS = 400, 10, 20


def table(n=N, seed=1):
    rng = np.random.default_rng(seed)
    g = np.arange(n) % GROUPS
    x = rng.normal(size=n)
    y = 1 + x + np.random.default_rng(0).normal(size=GROUPS)[g] + rng.normal(size=n)
    return pd.DataFrame(
        {"y": y, "x": x, "g": g, "t": np.char.add("t", (g % 7).astype(str)), "f": np.where(x > 0, "a", "b")}
    )


DATA, ROWS = table(), table(BATCH, seed=2)


def by_table(formula, **options):
    return hd.lmer(formula, DATA), lambda fit, rows=ROWS: fit.update(rows, **options)


def by_arrays():
    def given(d):
        return (d["y"].to_numpy(), d[["x"]].to_numpy()), {"terms": RandomTerm(d["g"].to_numpy(), levels=GROUPS)}

    positional, named = given(DATA)
    rows, own = given(ROWS)
    return fit_arrays(*positional, **named), lambda fit: fit.update(*rows, **own)


CASES = {
    "numbers": lambda: by_table("y ~ x + (x | g)"),
    "text": lambda: by_table("y ~ x + f + (1 | t)"),
    "nested": lambda: by_table("y ~ x + (1 | t/g)"),
    "forgetting": lambda: by_table("y ~ x + (1 | g)", forgetting=0.99),
    "arrays": by_arrays,
}


def calls_of(task):
    """Function calls, of Python and of C."""
    count = 0

    def tally(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    gc.disable()
    sys.setprofile(tally)
    try:
        found = task()
    finally:
        sys.setprofile(None)
        gc.enable()
    return found, count


@pytest.mark.parametrize("case", CASES)
def test_the_hundredth_update_does_what_the_fifth_did(case):
    fit, update = CASES[case]()
    counts = []
    for _ in range(100):
        fit, count = calls_of(lambda fit=fit: update(fit))
        counts.append(count)
    assert max(counts[90:]) <= max(counts[5:10])


def test_an_update_does_not_depend_on_the_rows_so_far():
    counts = []
    for n in (N, 50 * N):
        fit = hd.lmer("y ~ x + (x | g)", table(n))
        fit = fit.update(ROWS)
        counts.append(calls_of(lambda fit=fit: fit.update(ROWS))[1])
    assert counts[0] == counts[1]


def test_memory_grows_by_what_the_formula_uses_of_the_new_rows():
    unused = pd.DataFrame(np.zeros((1000, 100))).add_prefix("unused")
    fit = hd.lmer("y ~ x + (x | g)", DATA)

    def after(updates, fit):
        for k in range(updates):
            fit = fit.update(pd.concat([table(1000, seed=k), unused], axis=1))
        gc.collect()
        return fit, tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        fit, before = after(5, fit)
        fit, later = after(20, fit)
    finally:
        tracemalloc.stop()
    used = 1000 * (8 + 8 + 4)  # y, x and the codes of g
    assert used < (later - before) / 20 < used + 8000


def test_a_fit_is_freed_when_the_next_one_takes_its_name():
    fit, update = CASES["text"]()
    fit = update(fit)
    gc.collect()
    gc.disable()
    try:
        before = sum(isinstance(known, StreamedProblem) for known in gc.get_objects())
        old = weakref.ref(fit)
        fit = update(fit)
        assert old() is None
        assert sum(isinstance(known, StreamedProblem) for known in gc.get_objects()) == before
    finally:
        gc.enable()


def test_long_streams_are_pickled_and_put_together():
    fit, update = CASES["numbers"]()
    for _ in range(1500):
        fit = update(fit)
    full = hd.lmer("y ~ x + (x | g)", pd.concat([DATA, *[ROWS] * 1500], ignore_index=True))
    for own in (fit, pickle.loads(pickle.dumps(fit))):
        assert own.nobs == full.nobs == len(own.resid)
        assert own.criterion == pytest.approx(full.criterion, abs=1e-7)
        np.testing.assert_allclose(own.update(ROWS).fixef, full.update(ROWS).fixef, rtol=1e-7)


CROSSED = "y ~ x + (x | g) + (1 | t)"


def test_new_levels_and_pairs_of_crossed_factors_take_no_rows(monkeypatch):
    """Numbers of levels grow, the rows so far are not looked at, and the fit is that to all rows."""
    fresh = ROWS.assign(g=[GROUPS, GROUPS + 1, *range(8)], t=["t9", "t0", "t9", *["t1"] * 7])
    fit = hd.lmer(CROSSED, DATA)

    def compile_all(_):
        raise AssertionError("compiled from all rows")

    monkeypatch.setattr(StreamedProblem, "_compiled", compile_all)
    fit = fit.update(fresh).update(ROWS)
    assert fit.ngroups == {"g": GROUPS + 2, "t": 8}
    full = hd.lmer(CROSSED, pd.concat([DATA, fresh, ROWS], ignore_index=True))
    assert fit.criterion == pytest.approx(full.criterion, abs=1e-8)
    np.testing.assert_allclose(fit.theta, full.theta, atol=1e-5)
    np.testing.assert_allclose(fit.fixef, full.fixef, rtol=1e-6)
    for group in ("g", "t"):
        own, whole = fit.ranef[group], full.ranef[group]
        np.testing.assert_allclose(own.loc[whole.index], whole, atol=1e-5)
