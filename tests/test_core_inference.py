"""What inference asks of the core: products with H, leverages, traces, at every theta and for every design.

H = Lambda (Lambda'Z'WZ Lambda + I)^-1 Lambda' is formed here as a dense matrix.
"""

import pickle
import threading
import time
from functools import cache

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from cases import read_table
from henderson import RandomTerm, fit_arrays
from henderson.errors import DataError
from oracle import Term, relative_factors

pytestmark = pytest.mark.filterwarnings("ignore::henderson.errors.SingularFitWarning")


@cache
def table():
    """Crossed, nested and sparsely crossed factors; labels neither sorted nor in order of appearance."""
    rng = np.random.default_rng(7)
    n = 240
    a, b = rng.permutation(np.arange(n) % 40), rng.integers(0, 9, n)
    c = rng.permutation(np.arange(n) % 80)
    f = (c * 60 // 80 + rng.integers(0, 2, n)) % 60  # meets neighbours only
    frame = {"x": rng.normal(size=n), "x2": rng.normal(size=n), "w": np.exp(0.5 * rng.normal(size=n))}
    for name, codes in {"a": a, "b": b, "c": c, "d": a // 2, "e": a // 8, "f": f}.items():
        frame[name] = np.array([f"{name}{(37 * code + 11) % 101:03d}" for code in codes])
    y = 1 + 0.5 * frame["x"] + rng.normal(size=40)[a] + rng.normal(size=9)[b] + 0.7 * rng.normal(size=60)[f]
    frame["y"] = y + rng.normal(size=20)[a // 2] * frame["x"] + rng.normal(size=n)
    frame["flat"] = rng.normal(size=n)  # no variance between levels: singular fits
    return pd.DataFrame(frame)


FORMULAS = {
    "one factor": "y ~ x + (1 | a)",
    "two effects": "y ~ x + (x | d)",
    "five effects": "y ~ 1 + (x + x2 + I(x**2) + I(x2**2) | e)",
    "crossed": "y ~ x + (1 | a) + (x | b)",
    "three crossed": "y ~ x + (1 | a) + (1 | b) + (x | d)",
    "sparse": "y ~ x + (1 | c) + (1 | f)",
    "sparse, slopes": "y ~ x + (1 | c) + (x2 | f)",
    "nested": "y ~ x + (1 | e / d / a)",
    "several terms on a factor": "y ~ x + (1 | d) + (0 + x | d) + (0 + x2 | b) + (1 | b)",
    "no fixed effects": "y ~ 0 + (1 | a) + (1 | b)",
    "singular": "flat ~ x + (x | a) + (x | b)",
}
CASES = [(name, weighted) for name in FORMULAS for weighted in (False, True)]


@cache
def fitted(name, weighted):
    return hd.lmer(FORMULAS[name], table(), weights="w" if weighted else None)


def weights_of(fit):
    return np.ones(fit.nobs) if fit.design.weights is None else fit.design.weights


def dense_h(z, w, lam):
    return lam @ np.linalg.inv(lam.T @ (z.T * w) @ z @ lam + np.eye(z.shape[1])) @ lam.T


def test_both_kinds_of_trailing_block_are_among_the_cases():
    storage = {name: fitted(name, False)._problem.block_description[-1]["storage"] for name in FORMULAS}
    assert {name for name, kind in storage.items() if "sparse" in kind} == {"sparse", "sparse, slopes"}
    assert storage["crossed"] == storage["three crossed"] == storage["nested"] == "dense"


@pytest.mark.parametrize("name, weighted", CASES)
def test_solve_random_is_the_dense_inverse_in_the_order_of_z(name, weighted):
    fit = fitted(name, weighted)
    z = fit.Z.toarray()
    h = dense_h(z, weights_of(fit), fit.Lambda.toarray())
    rhs = np.random.default_rng(1).normal(size=(z.shape[1], 53))
    np.testing.assert_allclose(fit.solve_random(rhs), h @ rhs, atol=1e-11, rtol=0)
    np.testing.assert_allclose(fit.solve_random(rhs[:, 0]), h @ rhs[:, 0], atol=1e-11, rtol=0)
    np.testing.assert_allclose(fit.solve_random(np.eye(len(h))), h, atol=1e-11, rtol=0)


@pytest.mark.parametrize("name, weighted", CASES)
def test_random_leverages_are_the_diagonal_of_the_smoother(name, weighted):
    fit = fitted(name, weighted)
    z, w = fit.Z.toarray(), weights_of(fit)
    expected = w * ((z @ dense_h(z, w, fit.Lambda.toarray())) * z).sum(axis=1)
    np.testing.assert_allclose(fit.random_leverages, expected, atol=1e-12, rtol=0)
    assert fit.random_leverages is fit.random_leverages


def thetas(fit):
    """Regular, of less than full rank, of tiny variance, and zero: (theta, Lambda's blocks)."""
    rng = np.random.default_rng(3)
    sizes = [len(term.columns) for term in fit.design.terms]
    lams = [np.tril(0.4 * rng.normal(size=(size, size))) + np.eye(size) for size in sizes]
    flat = [lam.copy() for lam in lams]
    for t, lam in enumerate(flat):
        lam[:, -1 if t % 2 == 0 else 0 :] = 0.0  # rank s - 1, then rank 0
    tiny = [lam * 1e-9 for lam in lams]
    zero = [0.0 * lam for lam in lams]
    for blocks in (lams, flat, tiny, zero):
        yield np.concatenate([lam.T[np.triu_indices(len(lam))] for lam in blocks]), sizes


@pytest.mark.parametrize("name, weighted", CASES)
def test_everything_equals_dense_algebra_at_any_theta(name, weighted):
    fit = fitted(name, weighted)
    design, w = fit.design, weights_of(fit)
    terms = []
    for term in design.terms:
        columns = [np.ones(fit.nobs) if column is None else column for column in term.columns]
        terms.append(Term(design.factors[term.factor].codes, np.column_stack(columns)))
    z = np.column_stack([term.matrix() for term in terms])
    cross = (z.T * w) @ z
    for theta, sizes in thetas(fit):
        lams = relative_factors(theta, sizes)
        lam = np.zeros_like(cross)
        place = 0
        for own, term in zip(lams, terms, strict=True):
            stop = place + term.levels * term.size
            lam[place:stop, place:stop] = np.kron(np.eye(term.levels), own)
            place = stop
        h = dense_h(z, w, lam)
        close = {"atol": 1e-10 * max(1.0, np.abs(h).max()), "rtol": 0}
        np.testing.assert_allclose(fit._problem.solve_random(theta, np.eye(len(h), order="F")), h, **close)
        expected = w * ((z @ h) * z).sum(axis=1)
        np.testing.assert_allclose(fit._problem.random_leverages(theta), expected, atol=1e-11, rtol=0)
        information = cross - cross @ h @ cross
        place = 0
        for found, term in zip(fit._problem.traces(theta), terms, strict=True):
            expected = np.zeros((term.size, term.size))
            for _ in range(term.levels):
                own = slice(place, place := place + term.size)
                expected += information[own, own]
            np.testing.assert_allclose(found, expected, atol=1e-10 * np.abs(expected).max(), rtol=0)


def test_the_random_part_of_v_inverse():
    fit = fitted("sparse", True)
    z, w = fit.Z.toarray(), weights_of(fit)
    v = np.diag(1 / w) + z @ (fit.Lambda @ fit.Lambda.T).toarray() @ z.T
    r = np.random.default_rng(2).normal(size=(fit.nobs, 4))
    solved = w[:, None] * (r - z @ fit.solve_random(z.T @ (w[:, None] * r)))
    np.testing.assert_allclose(v @ solved, r, atol=1e-11)


def test_traces_are_derivatives_of_the_log_determinant():
    fit = fitted("crossed", False)
    theta = np.array([0.7, 0.5, 0.2, 0.4])
    a, b = fit._problem.traces(theta)

    def log_det(at):
        return fit._problem.solve(fit._y, at, False).log_det_l

    slopes = [(log_det(theta + 1e-5 * e) - log_det(theta - 1e-5 * e)) / 2e-5 for e in np.eye(4)]
    lam = np.array([[0.5, 0.0], [0.2, 0.4]])
    gradient = 2 * b @ lam
    expected = [2 * a[0, 0] * 0.7, gradient[0, 0], gradient[1, 0], gradient[1, 1]]
    np.testing.assert_allclose(expected, slopes, rtol=1e-7)


def test_another_response_changes_nothing():
    fit = fitted("crossed", True)
    rhs = np.random.default_rng(4).normal(size=(fit.Z.shape[1], 3))
    solved, traces = fit.solve_random(rhs), fit._problem.traces(fit.optimum.theta)
    other = fit.refit(np.random.default_rng(4).normal(size=fit.nobs))  # in the same workspace
    assert not np.allclose(other.theta, fit.theta)
    np.testing.assert_array_equal(fit.solve_random(rhs), solved)
    np.testing.assert_array_equal(fit._problem.random_leverages(fit.optimum.theta), fit.random_leverages)
    for found, expected in zip(fit._problem.traces(fit.optimum.theta), traces, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_model_that_was_pickled_still_solves():
    fit = fitted("three crossed", False)
    again = pickle.loads(pickle.dumps(fit))
    rhs = np.random.default_rng(5).normal(size=(fit.Z.shape[1], 2))
    np.testing.assert_array_equal(again.solve_random(rhs), fit.solve_random(rhs))
    np.testing.assert_array_equal(again.random_leverages, fit.random_leverages)


def test_rows_of_weight_zero_have_no_leverage_of_their_own():
    data = table().assign(w=lambda d: np.where(np.arange(len(d)) % 5 == 0, 0.0, d["w"]))
    fit = hd.lmer(FORMULAS["crossed"], data, weights="w")
    kept = hd.lmer(FORMULAS["crossed"], data[data["w"] > 0], weights="w")
    assert len(fit.random_leverages) == fit.nobs == (data["w"] > 0).sum()
    np.testing.assert_allclose(fit.random_leverages, kept.random_leverages, rtol=1e-6)


# -------------------------------------------------------------------------------------------------------------- threads


@cache
def large(name):
    rng = np.random.default_rng(6)
    if name == "dense trailing":
        data = read_table("InstEval")
        codes = [np.unique(data[factor], return_inverse=True)[1] for factor in ("s", "d", "dept")]
        return data["y"].to_numpy(float), [RandomTerm(code) for code in codes]
    g = rng.integers(0, 20_000, 100_000)
    if name == "one factor":
        return rng.normal(size=len(g)), [RandomTerm(g, np.column_stack([np.ones(len(g)), rng.normal(size=len(g))]))]
    return rng.normal(size=len(g)), [RandomTerm(g), RandomTerm((g // 4 + rng.integers(0, 2, len(g))) % 5000)]


@pytest.mark.parametrize("name", ["one factor", "dense trailing", "sparse trailing"])
def test_results_are_the_same_to_the_last_bit_for_any_number_of_threads(name):
    y, terms = large(name)
    found = []
    for threads in (1, 2, 5):
        problem = fit_arrays(y, np.ones(len(y)), terms=terms, threads=threads, max_evaluations=1)._problem
        theta = np.full(3 if name != "sparse trailing" else 2, 0.6)
        q = 40_000 if name == "one factor" else 4114 if name == "dense trailing" else 25_000
        rhs = np.asfortranarray(np.random.default_rng(8).normal(size=(q, 50)))
        traces = np.concatenate([trace.ravel() for trace in problem.traces(theta)])
        found.append([problem.solve_random(theta, rhs), problem.random_leverages(theta), traces])
    for ours in found[1:]:
        for one, other in zip(found[0], ours, strict=True):
            assert one.tobytes() == other.tobytes()


def test_other_python_threads_run_meanwhile():
    y, terms = large("dense trailing")
    problem = fit_arrays(y, np.ones(len(y)), terms=terms, max_evaluations=1)._problem
    rhs = np.asfortranarray(np.random.default_rng(9).normal(size=(4114, 800)))
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    ticker = threading.Thread(target=tick)
    ticker.start()
    begun = time.perf_counter()
    problem.solve_random(np.full(3, 0.5), rhs)
    ended = time.perf_counter()
    done.set()
    ticker.join()
    assert sum(begun < at < ended for at in ticks) >= 3


# --------------------------------------------------------------------------------------------------------- wrong input


def test_wrong_right_hand_sides_are_refused():
    fit = fitted("one factor", False)
    with pytest.raises(DataError, match=r"rhs has shape \(39, 2\); it must have shape \(40, m\) or \(40,\)"):
        fit.solve_random(np.ones((39, 2)))
    with pytest.raises(DataError, match="rhs has shape"):
        fit.solve_random(np.ones((40, 2, 2)))
    with pytest.raises(DataError, match="rhs has shape"):
        fit.solve_random(3.0)
    bad = np.ones((40, 2))
    bad[7, 1] = np.nan
    with pytest.raises(DataError, match=r"rhs is not finite in row 7 \(nan\)"):
        fit.solve_random(bad)
    bad[7, 1] = -np.inf
    with pytest.raises(DataError, match=r"row 7 \(-inf\)"):
        fit.solve_random(bad[:, 1])
    with pytest.raises(DataError, match="cannot be read as numbers"):
        fit.solve_random(["a"] * 40)


def test_right_hand_sides_of_any_layout_and_type_will_do():
    fit = fitted("two effects", False)
    rhs = np.arange(80).reshape(40, 2)
    expected = fit.solve_random(rhs.astype(float))
    np.testing.assert_array_equal(fit.solve_random(rhs), expected)
    np.testing.assert_array_equal(fit.solve_random(np.asfortranarray(rhs)), expected)
    np.testing.assert_array_equal(fit.solve_random(rhs.tolist()), expected)
    assert fit.solve_random(np.empty((40, 0))).shape == (40, 0)


def test_theta_without_a_factor_is_an_error():
    problem = fitted("crossed", False)._problem
    for theta in (np.full(4, np.nan), np.full(4, np.inf)):
        for ask in (problem.random_leverages, problem.traces):
            with pytest.raises(ValueError, match="cannot be factored"):
                ask(theta)
    with pytest.raises(ValueError, match="theta must have 4 elements"):
        problem.traces(np.ones(3))
