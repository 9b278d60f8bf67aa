"""EM, PX-EM and MM: each step is the textbook's, by dense algebra; none goes up; all end where Newton's method ends."""

import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import henderson as hd
from cases import read_table
from henderson.array_inputs import share_factors
from henderson.compiled import CompiledProblem
from henderson.solvers.loop import METHODS, SOLVERS, minimise
from henderson.solvers.mm import LARGEST_FALL
from henderson.solvers.point import Model, theta_of, triangular
from oracle import relative_factors
from singular_designs import singular_experiment
from solver_problems import PROBLEMS, simulated
from strategies import LAWS, designs, models

SLOW = tuple(SOLVERS)
FEWER = settings(LAWS, max_examples=60)


def compiled(design):
    codes, levels, layout = share_factors(design.random_terms())
    x = [np.ascontiguousarray(column) for column in design.x.T]
    return CompiledProblem(design.y, x, codes, levels, layout, design.weights, 1)


def first_candidate(design, theta, reml, method):
    model = Model.of(compiled(design), design.y, reml)
    return next(SOLVERS[method](model).candidates(model.at(theta)))


def assert_same_covariances(found, expected, sizes):
    for one, other in zip(relative_factors(found, sizes), expected, strict=True):
        np.testing.assert_allclose(one @ one.T, other, rtol=1e-6, atol=1e-7 * np.abs(other).max(initial=1e-300))


class Dense:
    """The posterior distribution of the random effects by n x n algebra: beta flat for REML, at its estimate for ML."""

    def __init__(self, design, theta, reml):
        self.design, self.reml, self.levels = design, reml, [term.levels + design.spare for term in design.terms]
        factors = relative_factors(theta, design.sizes)
        self.psi = [lam @ lam.T for lam in factors]
        z = [self._padded(term.matrix(), m * term.size) for term, m in zip(design.terms, self.levels, strict=True)]
        self.z = np.hstack(z)
        prior = self.prior = np.zeros((self.z.shape[1],) * 2)
        self.blocks, start = [], 0
        for psi, m in zip(self.psi, self.levels, strict=True):
            stop = start + m * len(psi)
            prior[start:stop, start:stop] = np.kron(np.eye(m), psi)
            self.blocks.append((start, m, len(psi)))
            start = stop
        v = self.z @ prior @ self.z.T + np.diag(1 / design.w)
        inverse = np.linalg.inv(v)
        x = design.x
        information = x.T @ inverse @ x
        p = inverse - inverse @ x @ np.linalg.solve(information, x.T @ inverse) if x.shape[1] else inverse
        self.beta = np.linalg.solve(information, x.T @ inverse @ design.y)
        residual = p @ design.y
        self.sigma2 = design.y @ residual / design.df(reml)
        kernel = p if reml else inverse
        self.score, self.information = self.z.T @ residual, self.z.T @ kernel @ self.z
        self.mean = prior @ self.score
        self.second = np.outer(self.mean, self.mean) + self.sigma2 * (prior - prior @ self.information @ prior)

    @staticmethod
    def _padded(matrix, width):
        return np.hstack([matrix, np.zeros((len(matrix), width - matrix.shape[1]))])

    def diagonal(self, matrix, block):
        """The blocks (levels, s, s) of a (q, q) matrix at the levels of a term."""
        start, m, s = block
        own = matrix[start : start + m * s, start : start + m * s].reshape(m, s, m, s)
        return np.stack([own[j, :, j] for j in range(m)])

    def em(self):
        """Sigma / sigma² after the M-step."""
        return [self.diagonal(self.second, block).mean(axis=0) / self.sigma2 for block in self.blocks]

    def expansion(self, t):
        """A that minimises E|y - X beta - Z A b|² over the matrix of term t; beta is random too for REML."""
        start, m, s = self.blocks[t]
        own = slice(start, start + m * s)
        zw = self.z[:, own].T * self.design.w
        right = self.diagonal(zw @ self.error_times_effects()[:, own], (0, m, s)).sum(axis=0)
        products, squares = self.diagonal(zw @ self.z[:, own], (0, m, s)), self.diagonal(self.second, self.blocks[t])
        normal = np.einsum("jac,jbd->abcd", products, squares).reshape(s * s, s * s)
        return np.eye(s) + np.linalg.solve(normal, right.ravel()).reshape(s, s)

    def error_times_effects(self):
        """E[e b' | y], (n, q)."""
        return self.error_times_factors(self.z, np.linalg.inv(self.prior))

    def error_times_factors(self, z, precision):
        """E[e u' | y], (n, q), by Henderson's equations for the joint posterior of beta and u, Z b = z u."""
        x, w, q = self.design.x, self.design.w, z.shape[1]
        columns = np.hstack([x, z]) if self.reml else z
        target = self.design.y if self.reml else self.design.y - x @ self.beta
        equations = (columns.T * w) @ columns
        equations[-q:, -q:] += precision
        covariance = np.linalg.inv(equations)
        mean = covariance @ (columns.T @ (w * target))
        return np.outer(target - columns @ mean, mean[-q:]) - self.sigma2 * columns @ covariance[:, -q:]


# ------------------------------------------------------------------------------------------- one step, by dense algebra


@LAWS
@given(models())
def test_an_em_step_is_the_mean_of_the_expected_squares(model):
    design, theta, reml = model
    assert_same_covariances(first_candidate(design, theta, reml, "em"), Dense(design, theta, reml).em(), design.sizes)


@LAWS
@given(models())
def test_an_mm_step_minimises_the_surrogate(model):
    """Psi S Psi = Psi_0 U Psi_0 / sigma², but for directions whose variance would fall by more than is allowed."""
    design, theta, reml = model
    dense = Dense(design, theta, reml)
    found = relative_factors(first_candidate(design, theta, reml, "mm"), design.sizes)
    for lam, psi, block in zip(found, dense.psi, dense.blocks, strict=True):
        s = dense.diagonal(dense.information, block).sum(axis=0)
        start, m, size = block
        w = dense.score[start : start + m * size].reshape(m, size)
        new, right = lam @ lam.T, psi @ (w.T @ w) @ psi / dense.sigma2
        if np.linalg.matrix_rank(psi) < size:
            assert np.linalg.matrix_rank(new, 1e-6) <= np.linalg.matrix_rank(psi)
            continue
        kept = np.linalg.eigvals(np.linalg.solve(psi, new)).real
        if kept.min() > 1.01 * LARGEST_FALL:
            np.testing.assert_allclose(new @ s @ new, right, rtol=1e-5, atol=1e-6 * np.abs(right).max())
        else:
            assert kept.min() > 0.99 * LARGEST_FALL


@st.composite
def inside(draw, single):
    """A model at a theta away from the boundary."""
    design = draw(designs(("single", "unbalanced") if single else ("crossed", "nested", "partially crossed")))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    factors = [triangular(rng.normal(size=(s, s)) + 2 * np.eye(s)) for s in design.sizes]
    return design, theta_of(factors), draw(st.booleans())


@FEWER
@given(st.booleans().flatmap(inside))
def test_a_px_em_step_regresses_on_the_expected_random_part(model):
    design, theta, reml = model
    dense = Dense(design, theta, reml)
    expected = []
    for t, psi in enumerate(dense.em()):
        a = dense.expansion(t)
        expected.append(a @ psi @ a.T)
    assert_same_covariances(first_candidate(design, theta, reml, "px-em"), expected, design.sizes)


@st.composite
def reduced(draw):
    """A model at a theta that has lost rank in each term of several effects."""
    design, _, reml = draw(inside(draw(st.booleans())))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return design, [rng.normal(size=(s, max(s - 1, 1))) for s in design.sizes], reml


def turned(design, loadings, reml, method):
    """L L' of each term after the step that alternates with the method's own near the boundary."""
    model = Model.of(compiled(design), design.y, reml)
    solver, at = SOLVERS[method](model), model.at(theta_of([triangular(root) for root in loadings]))
    next(solver.candidates(at))
    found = relative_factors(next(solver.candidates(at)), design.sizes)
    return [lam @ lam.T for lam in found]


def assert_same_steps(found, loadings, steps):
    for one, root, step in zip(found, loadings, steps, strict=True):
        expected = (root + step) @ (root + step).T
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@FEWER
@given(reduced())
def test_where_rank_is_lost_em_regresses_on_the_expected_factors(model):
    """b = L u: the step D of L solves sum_j (Z_j'W Z_j) D E[u_j u_j'] = sum_j E[Z_j'W e u_j']."""
    design, loadings, reml = model
    assume(any(root.shape[1] < len(root) for root in loadings))
    dense = Dense(design, theta_of([triangular(root) for root in loadings]), reml)
    z = [
        dense.z[:, a : a + m * s] @ np.kron(np.eye(m), root)
        for root, (a, m, s) in zip(loadings, dense.blocks, strict=True)
    ]
    errors = dense.error_times_factors(np.hstack(z), np.eye(sum(own.shape[1] for own in z)))
    steps, first = [], 0
    for t, (root, (start, m, s)) in enumerate(zip(loadings, dense.blocks, strict=True)):
        r, to_u = root.shape[1], np.linalg.pinv(root)
        zw = dense.z[:, start : start + m * s].T * design.w
        right = np.einsum("jajb->ab", (zw @ errors[:, first : first + m * r]).reshape(m, s, m, r))
        products = dense.diagonal(zw @ dense.z[:, start : start + m * s], (0, m, s))
        squares = to_u @ dense.diagonal(dense.second, dense.blocks[t]) @ to_u.T
        normal = np.einsum("jac,jdb->abcd", products, squares).reshape(s * r, s * r)
        steps.append(np.linalg.solve(normal, right.ravel()).reshape(s, r))
        first += m * r
    assert_same_steps(turned(design, loadings, reml, "em"), loadings, steps)


@FEWER
@given(reduced())
def test_where_rank_is_lost_mm_minimises_a_quadratic_in_the_loadings(model):
    """|y - X beta - Z L u|² / sigma² with the modes u as they are, and the tangent of the log-determinant at Z'V⁻¹Z."""
    design, loadings, reml = model
    assume(any(root.shape[1] < len(root) for root in loadings))
    dense = Dense(design, theta_of([triangular(root) for root in loadings]), reml)
    inverse = np.linalg.inv(dense.z @ dense.prior @ dense.z.T + np.diag(1 / design.w))
    steps = []
    for root, (start, m, s) in zip(loadings, dense.blocks, strict=True):
        own, r = slice(start, start + m * s), root.shape[1]
        z, w = dense.z[:, own], dense.score[own].reshape(m, s)
        u = w @ root
        products = dense.diagonal((z.T * design.w) @ z, (0, m, s))
        tangent = dense.diagonal(z.T @ inverse @ z, (0, m, s)).sum(axis=0)
        slope = dense.diagonal(dense.information, (start, m, s)).sum(axis=0) - w.T @ w / dense.sigma2
        normal = np.einsum("jac,jd,jb->abcd", products, u, u).reshape(s * r, s * r) / dense.sigma2
        normal += np.kron(tangent, np.eye(r))
        steps.append(np.linalg.solve(normal, -(slope @ root).ravel()).reshape(s, r))
    assert_same_steps(turned(design, loadings, reml, "mm"), loadings, steps)


# ---------------------------------------------------------------------------------------------------------- the descent


@pytest.mark.parametrize("method", SLOW)
@FEWER
@given(models())
def test_the_criterion_never_rises(method, model):
    design, theta, reml = model
    problem = compiled(design)
    found = minimise(problem, design.y, reml, method, theta, 1e-10, 15)
    path = np.array([criterion for _, criterion, _, _ in found.steps])
    assert np.all(np.diff(path) <= 1e-11 * np.abs(path[1:]).clip(1.0))
    assert found.criterion == path[-1] == found.trace["criterion"].iloc[-1]
    assert found.criterion == pytest.approx(problem.criterion(design.y, found.theta, reml), rel=1e-11)
    assert len(found.steps) <= found.evaluations <= 15
    assert found.status in ("converged", "evaluation limit")


@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("method", SLOW)
@pytest.mark.parametrize("name", PROBLEMS)
def test_all_methods_end_at_the_same_optimum(name, method, reml):
    formula, table, options = PROBLEMS[name]
    data = simulated() if table is None else read_table(table)
    newton = hd.lmer(formula, data, reml=reml, **options)
    fit = hd.lmer(formula, data, reml=reml, method=method, **options)
    assert fit.converged
    assert fit.optimum.certificate.holds
    assert fit.optimum.iterations > 3  # not where it started
    assert abs(fit.criterion - newton.criterion) < 2e-10 * max(1, abs(newton.criterion))
    np.testing.assert_allclose(fit.theta, newton.theta, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(fit.fixef, newton.fixef, rtol=1e-4, atol=1e-5)


def test_tolerance_means_what_it_means_for_newton():
    data = read_table("Pastes")
    best = hd.lmer("strength ~ 1 + (1 | batch/cask)", data).criterion
    for tolerance in (1e-2, 1e-5, 1e-8):
        for method in SLOW:
            fit = hd.lmer("strength ~ 1 + (1 | batch/cask)", data, method=method, start=[1, 1], tolerance=tolerance)
            path = fit.optimum.trace["criterion"].to_numpy()
            assert fit.optimum.decrement <= tolerance
            assert 0 <= path[-1] - best < 2 * tolerance + 1e-11
            assert path[-2] - best > 0.5 * tolerance  # it did not stop late


def test_an_exact_fit_is_an_error_whatever_the_method():
    g = np.repeat(np.arange(6), 4)
    data = pd.DataFrame({"y": np.array([1.0, 4, 2, 8, 5, 7])[g], "g": g})
    for method in METHODS:
        with pytest.raises(hd.DataError, match="fits the response exactly"):
            hd.lmer("y ~ 1 + (1 | g)", data, method=method)


# ------------------------------------------------------------------------------------------------- every way to fit


@pytest.mark.parametrize("reml", [True, False], ids=["REML", "ML"])
@pytest.mark.parametrize("method", METHODS)
def test_arrays_and_refits_take_the_same_methods_to_the_same_numbers(method, reml):
    data = simulated()
    given = {"weights": data["w"].to_numpy(), "offset": data["o"].to_numpy()}
    x = np.column_stack([np.ones(len(data)), data["x"]])
    terms = [hd.RandomTerm(data["g"].to_numpy(), x), hd.RandomTerm(data["h"].to_numpy())]
    options = {"method": method, "tolerance": 1e-8}
    fit = hd.lmer("y ~ x + (x | g) + (1 | h)", data, weights="w", offset="o", reml=reml, **options)
    arrays = hd.fit_arrays(data["y"], x, terms=terms, reml=reml, **given, **options)
    other = data["y"] + data["x"] ** 2
    again, anew = arrays.refit(other, **options), fit.refit(other, **options)
    expected = hd.lmer("y ~ x + (x | g) + (1 | h)", data.assign(y=other), weights="w", offset="o", reml=reml, **options)
    for one, whole in ((arrays, fit), (again, expected), (anew, expected)):
        assert one.converged
        assert one.optimum.evaluations == whole.optimum.evaluations
        np.testing.assert_allclose(one.optimum.theta, whole.optimum.theta, rtol=1e-9)
        assert one.criterion == pytest.approx(whole.criterion, rel=1e-13)
        assert one.sigma == pytest.approx(whole.sigma, rel=1e-9)
    np.testing.assert_allclose(arrays.beta, fit.fixef, rtol=1e-9)
    copy = pickle.loads(pickle.dumps(arrays))
    assert copy.optimum.evaluations == arrays.optimum.evaluations


@pytest.mark.parametrize("method", SLOW)
def test_arrays_and_refits_have_the_limits_and_the_messages_of_the_method(method):
    """Here each of them needs more than the 200 evaluations that Newton's method may take."""
    y, x, terms = singular_experiment("three effects", 5)
    data = pd.DataFrame({"y": y, "a": x[:, 1], "b": x[:, 2], "g": terms[0].codes})
    best = hd.lmer("y ~ a + b + (a + b | g)", data)
    arrays = hd.fit_arrays(y, x, terms=terms, method=method)
    for fit in (arrays, arrays.refit(y, method=method), best.refit(y, method=method)):
        assert fit.optimum.evaluations > 200
        assert fit.optimum.certificate.holds
        assert fit.criterion == pytest.approx(best.criterion, abs=1e-8)
        with pytest.raises(hd.DataError, match="max_evaluations is 0"):
            fit.refit(y, method=method, max_evaluations=0)
        with pytest.raises(hd.DataError, match=r"method is 'em '; .* Did you mean 'em'"):
            fit.refit(y, method="em ")
    with pytest.warns(hd.ConvergenceWarning, match=f"evaluation limit after 2 .*Steps of '{method}'"):
        best.refit(y, method=method, max_evaluations=2)
    with pytest.raises(hd.DataError, match="method is 'moments'; it must be one of 'newton', 'em', 'px-em', 'mm'"):
        hd.fit_arrays(y, x, terms=terms, method="moments")


# -------------------------------------------------------------------------------------------------- an ordinary fit


def test_a_fit_by_em_is_a_fit(tmp_path):
    formula, table, options = PROBLEMS["nested"]
    newton = hd.lmer(formula, read_table(table), **options)
    fit = hd.lmer(formula, read_table(table), method="em", **options)
    np.testing.assert_allclose(fit.coefficients, newton.coefficients, rtol=1e-4)
    np.testing.assert_allclose(fit.refit(read_table(table)["strength"]).theta, newton.theta, rtol=1e-6)
    fit.save(tmp_path / "em.henderson")
    for copy in (pickle.loads(pickle.dumps(fit)), hd.load(tmp_path / "em.henderson")):
        assert copy.optimum.evaluations == fit.optimum.evaluations
        assert copy.criterion == fit.criterion
    again = newton.update(method="em", start=options["start"])
    np.testing.assert_array_equal(again.optimum.theta, fit.optimum.theta)
    other = newton.update(data=read_table(table), method="mm", start=options["start"])
    assert other.optimum.evaluations != fit.optimum.evaluations
    with pytest.raises(hd.DataError, match="method is 'newtn'"):
        newton.update(method="newtn")


def test_work_after_compiling_does_not_depend_on_the_rows():
    """A compressed design has fewer rows and the same cross-products: the same path."""
    from henderson.compiling import compile_design
    from henderson.compression import compressed

    fit = hd.lmer("y ~ x + (x | g) + (1 | h)", simulated())
    small = compressed(fit.design, fit._y)
    problem = compile_design(small, small.y, 1)
    for method in SLOW:
        options = (True, method, np.array([0.3, 0.0, 0.3, 0.3]), 1e-8)
        one, other = minimise(fit._problem, fit._y, *options), minimise(problem, small.y, *options)
        np.testing.assert_allclose(one.theta, other.theta, rtol=1e-8)
        assert one.evaluations == other.evaluations
