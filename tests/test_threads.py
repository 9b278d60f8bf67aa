"""Threads change the time and nothing else; a long fit can be stopped, and a fork may fit."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import pytest

import henderson as hd
from cases import read_table
from henderson import RandomTerm, fit_arrays

COUNTS = (2, 3, 7)
ROWS = 200_000
needs_fork = pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
needs_signals = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@cache
def design(name):
    """y, X, terms: large enough that threads share the work."""
    rng = np.random.default_rng(1)
    if name == "InstEval, three crossed factors":
        data = read_table("InstEval")
        codes = [np.unique(data[factor], return_inverse=True)[1] for factor in ("s", "d", "dept")]
        x = np.column_stack([np.ones(len(data)), data["service"]])
        return data["y"].to_numpy(float), x, [RandomTerm(c) for c in codes]
    g = rng.integers(0, 20_000, ROWS)
    x = rng.normal(size=ROWS)
    X = np.column_stack([np.ones(ROWS), x])
    y = rng.normal(size=20_000)[g] + 0.3 * rng.normal(size=20_000)[g] * x + rng.normal(size=ROWS)
    if name == "a single factor":
        return y, X, [RandomTerm(g)]
    if name == "vector-valued":
        return y, X, [RandomTerm(g, np.column_stack([X, x**2 - 1])), RandomTerm(g % 211)]
    nested = [g, g // 4, g // 40]
    return y + rng.normal(size=500)[g // 40], X, [RandomTerm(codes) for codes in nested]


DESIGNS = ("a single factor", "InstEval, three crossed factors", "nested", "vector-valued")


def results(y, X, terms, threads, theta):
    """All that a problem gives at theta, by so many threads."""
    fit = fit_arrays(y, X, terms=terms, threads=threads, start=theta, max_evaluations=2)
    problem = fit._problem._holding(fit._y)
    value, gradient = problem.gradient(theta, True)
    at = problem.solve(theta, False)
    arrays = [fit.theta, gradient, at.beta, at.unscaled_vcov, *at.b, *at.u, *problem.conditional_variances(theta, True)]
    return [np.array([value, fit.criterion, at.criterion, at.sigma, at.pwrss, at.log_det_l, at.log_det_rx]), *arrays]


@pytest.mark.parametrize("name", DESIGNS)
def test_results_are_the_same_to_the_last_bit_for_any_number_of_threads(name):
    y, X, terms = design(name)
    theta = np.concatenate([np.linspace(0.9, 0.3, s * (s + 1) // 2) for s in (len(t.columns) for t in terms)])
    alone = results(y, X, terms, 1, theta)
    for threads in COUNTS:
        for ours, expected in zip(results(y, X, terms, threads, theta), alone, strict=True):
            assert ours.tobytes() == expected.tobytes(), threads


def test_a_whole_fit_is_the_same_to_the_last_bit_for_any_number_of_threads():
    y, X, terms = design("a single factor")
    fits = [fit_arrays(y, X, terms=terms, threads=threads) for threads in (1, 2, 7)]
    assert len({fit.theta.tobytes() for fit in fits}) == 1
    assert len({fit.beta.tobytes() for fit in fits}) == 1
    assert len({fit.optimum.evaluations for fit in fits}) == 1


def test_many_responses_are_the_same_to_the_last_bit_for_any_number_of_threads():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(20), 5)
    Y = rng.normal(size=(100, 90)) + rng.normal(size=(20, 90))[g]
    fit = fit_arrays(Y[:, 0], np.ones(100), terms=[RandomTerm(g)])
    alone = fit.refit_many(Y, threads=1)
    for threads in COUNTS:
        shared = fit.refit_many(Y, threads=threads)
        for part in ("theta", "beta", "sigma", "criterion", "evaluations"):
            assert getattr(shared, part).tobytes() == getattr(alone, part).tobytes()


# ---------------------------------------------------------------------------------------- threads and forks of the user


def small_fit(seed):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(30), 10)
    y = rng.normal(size=30)[g] + rng.normal(size=300)
    return fit_arrays(y, np.ones(300), terms=[RandomTerm(g)], threads=2).criterion


def test_fits_in_several_threads_at_once_do_not_disturb_each_other():
    expected = [small_fit(seed) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(small_fit, range(40))) == expected


def test_refits_of_one_model_in_several_threads_at_once_keep_their_own_response():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(30), 10)
    responses = list((rng.normal(size=(30, 40))[g] + rng.normal(size=(300, 40))).T)
    first = fit_arrays(responses[0], np.ones(300), terms=[RandomTerm(g)])

    def everything(y):
        fit = first.refit(y)
        return fit.criterion, float(fit.beta[0]), fit.sigma, fit.conditional_variances[0].sum(), fit.ranef[0].sum()

    expected = [everything(y) for y in responses]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(everything, responses)) == expected


def test_other_python_threads_run_while_a_fit_does():
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    y, X, terms = design("nested")
    ticker = threading.Thread(target=tick)
    ticker.start()
    begun = time.perf_counter()
    fit_arrays(y, X, terms=terms)
    ended = time.perf_counter()
    done.set()
    ticker.join()
    during = [at for at in ticks if begun < at < ended]
    assert len(during) > (ended - begun) / 0.1


def _fit_in_child(threads, queue):
    y, X, terms = design("a single factor")
    queue.put((fit_arrays(y, X, terms=terms, threads=threads).criterion, small_fit(0)))


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # of jax, where another test has loaded it
def test_a_forked_child_fits_after_its_parent_did():
    y, X, terms = design("a single factor")
    expected = (fit_arrays(y, X, terms=terms, threads=3).criterion, small_fit(0))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_fit_in_child, args=(3, queue))
    child.start()
    try:
        assert queue.get(timeout=60) == expected
    finally:
        child.join(timeout=10)
        child.kill()
    assert child.exitcode == 0


@needs_fork
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")  # of jax, where another test has loaded it
def test_a_fitted_model_may_be_refitted_in_a_forked_child():
    y, X, terms = design("nested")
    fit = fit_arrays(y, X, terms=terms, threads=2)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        again = pool.apply_async(_refit, (fit, 2.0 * y))
        assert again.get(timeout=60) == pytest.approx(fit.refit(2.0 * y).criterion, rel=1e-13)


def _refit(fit, y):
    return fit.refit(y).criterion


# ------------------------------------------------------------------------------------------------------- stopping a fit


class OwnError(Exception):
    pass


@pytest.mark.parametrize("error", [OwnError, KeyboardInterrupt, SystemExit])
def test_what_a_callback_raises_arrives_and_the_model_still_works(error):
    y, X, terms = design("nested")
    sample = slice(0, 5000)
    terms = [RandomTerm(term.codes[sample], levels=term.levels) for term in terms]
    fit = fit_arrays(y[sample], X[sample], terms=terms)

    def fail(*_):
        raise error("by the user")

    with pytest.raises(error, match="by the user"):
        fit.refit(y[sample] + 1.0, callback=fail)
    assert fit.refit(y[sample]).criterion == pytest.approx(fit.criterion, rel=1e-13)


def test_a_callback_without_a_truth_value_is_an_error_of_the_callback():
    y, X, terms = design("a single factor")
    with pytest.raises(ValueError, match="ambiguous"):
        fit_arrays(y[:2000], X[:2000], terms=[RandomTerm(terms[0].codes[:2000] % 50)], callback=lambda *_: np.ones(2))


def test_a_callback_may_stop_the_fit_at_the_best_point_so_far():
    data = hd.datasets.load_sleepstudy()
    seen = []

    def stop(theta, criterion, evaluation, decrement):
        seen.append((evaluation, criterion, decrement, list(theta)))
        return decrement < 1e-2

    fit = hd.lmer("Reaction ~ Days + (Days | Subject)", data, callback=stop)
    full = hd.lmer("Reaction ~ Days + (Days | Subject)", data)
    assert fit.optimum.status == "stopped by callback"
    assert not fit.converged
    assert fit.criterion == seen[-1][1]
    np.testing.assert_allclose(fit.theta, seen[-1][3], atol=1e-12)
    assert 0 <= fit.criterion - full.criterion < 2e-2
    assert [evaluation for evaluation, *_ in seen] == sorted({evaluation for evaluation, *_ in seen})
    assert fit.optimum.evaluations < full.optimum.evaluations


def test_a_callback_may_fit_another_model():
    inner = []
    data = hd.datasets.load_sleepstudy()

    def nested(*_):
        inner.append(small_fit(1))

    fit = hd.lmer("Reaction ~ Days + (Days | Subject)", data, callback=nested)
    assert fit.converged
    assert set(inner) == {small_fit(1)}


INTERRUPTED = """
import os, signal, threading, time
import numpy as np
from henderson import RandomTerm, fit_arrays
rng = np.random.default_rng(0)
n = {n}
a, b = rng.integers(0, {a}, n), rng.integers(0, {b}, n)
terms = [RandomTerm(a), RandomTerm(b)]
Y = np.asfortranarray(rng.normal(size=({a}, {r}))[a] + rng.normal(size=({b}, {r}))[b] + rng.normal(size=(n, {r})))
fit = fit_arrays(Y[:, 0], np.ones(n), terms=terms, max_evaluations=1)
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
begun = time.perf_counter()
try:
    {work}
except KeyboardInterrupt:
    print("stopped", time.perf_counter() - begun)
"""


@needs_signals
@pytest.mark.parametrize(
    "sizes, work",
    [
        ({"n": 100_000, "a": 5000, "b": 3500, "r": 1}, "fit.refit(Y[:, 0])"),
        ({"n": 3000, "a": 300, "b": 200, "r": 1000}, "fit.refit_many(Y, tolerance=1e-300, max_evaluations=50)"),
    ],
    ids=["one response", "many responses"],
)
def test_ctrl_c_stops_a_long_fit_with_keyboard_interrupt(sizes, work):
    code = INTERRUPTED.format(work=work, **sizes)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("stopped"), "the work ended before the signal"
    assert float(done.stdout.split()[1]) < 2.5
