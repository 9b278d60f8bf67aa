"""The criterion as a loss: gradients in response, theta and sigma are those of dense algebra."""

import importlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given

import henderson as hd
from dense_objective import covariance, dense_gradient, dense_value, projection, slopes
from henderson import RandomTerm, fit_arrays
from henderson.differentiable import RemlObjective, reml_objective
from strategies import LAWS, models


def objective_of(design, reml):
    return RemlObjective(design.x, design.random_terms(), reml=reml, weights=design.weights)


def close(found, expected, tight=1e-7):
    """Relative to the largest element, which is what rounding in V and its inverse is relative to."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=tight * max(1.0, np.abs(expected).max()))


@LAWS
@given(models())
def test_profiled_gradients_are_those_of_dense_algebra(model):
    design, theta, reml = model
    found = objective_of(design, reml).value_and_gradient(design.y, theta)
    of_y, of_theta, of_sigma = dense_gradient(design, theta, reml, None)
    assert found.value == pytest.approx(dense_value(design, theta, reml, None), rel=1e-8, abs=1e-6)
    close(found.y_gradient, of_y)
    close(found.theta_gradient, of_theta)
    assert found.log_sigma_gradient is None
    assert abs(of_sigma) < 1e-8 * design.n


@LAWS
@given(models())
def test_gradients_with_a_given_sigma_are_those_of_dense_algebra(model):
    design, theta, reml = model
    sigma = 0.4 + abs(float(np.sin(theta.sum())))
    found = objective_of(design, reml).value_and_gradient(design.y, theta, np.log(sigma))
    of_y, of_theta, of_sigma = dense_gradient(design, theta, reml, sigma)
    assert found.value == pytest.approx(dense_value(design, theta, reml, sigma), rel=1e-8, abs=1e-6)
    close(found.y_gradient, of_y)
    close(found.theta_gradient, of_theta)
    assert found.log_sigma_gradient == pytest.approx(of_sigma, rel=1e-7, abs=1e-6)


@LAWS
@given(models())
def test_the_random_part_and_its_derivatives_are_those_of_dense_algebra(model):
    design, theta, reml = model
    direction = np.cos(np.arange(design.n))
    objective = objective_of(design, reml)
    _, p = projection(design, theta)
    spread = covariance(design, theta) - np.diag(1.0 / design.w)
    close(objective.random_part(design.y, theta), spread @ p @ design.y)
    of_y, of_theta = objective.random_part_vjp(design.y, theta, direction)
    close(of_y, p @ spread @ direction)
    left, right = direction - p @ spread @ direction, p @ design.y
    close(of_theta, [left @ slope @ right for slope in slopes(design, theta)])


def test_a_direction_that_x_spans_in_balanced_groups_has_no_gradient_in_the_response():
    group = np.repeat(np.arange(5), 4)
    objective = RemlObjective(np.ones(20), RandomTerm(group))
    y = np.sin(np.arange(20.0) ** 2)
    for direction in (np.ones(20), np.zeros(20)):
        of_y, of_theta = objective.random_part_vjp(y, [1.3], direction)  # the random effects sum to zero, whatever y
        np.testing.assert_allclose(of_y, 0.0, atol=1e-13)
        np.testing.assert_allclose(of_theta, 0.0, atol=1e-12)


# --------------------------------------------------------------------------------------------- the inner optimum


def table(seed, kind):
    """A response, X and the terms of a design: one factor, crossed, crossed with a random slope, no variance at all."""
    rng = np.random.default_rng(seed)
    n = 80
    g, h, x = rng.integers(0, 9, n), rng.integers(0, 5, n), rng.normal(size=n)
    slope = np.column_stack([np.ones(n), x])
    terms = {
        "one": [RandomTerm(g)],
        "crossed": [RandomTerm(g), RandomTerm(h)],
        "slopes": [RandomTerm(g, slope), RandomTerm(h)],
        "singular": [RandomTerm(g, slope), RandomTerm(h)],
    }[kind]
    y = 1 + x + rng.normal(size=n)
    if kind != "singular":
        y += 1.5 * rng.normal(size=9)[g] + x * rng.normal(size=9)[g] + rng.normal(size=5)[h]
    return y, slope, terms


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("kind", ["one", "crossed", "slopes", "singular"])
def test_without_theta_it_is_the_smallest_criterion_and_its_gradient(kind, reml):
    y, X, terms = table(5, kind)
    weights = np.random.default_rng(1).uniform(0.3, 3, len(y))
    objective = RemlObjective(X, terms, reml=reml, weights=weights)
    fit = fit_arrays(y, X, terms=terms, reml=reml, weights=weights)
    assert fit.is_singular == (kind == "singular")
    found = objective.value_and_gradient(y)
    assert found.value == pytest.approx(fit.criterion, rel=1e-10)
    assert (found.theta_gradient, found.log_sigma_gradient) == (None, None)
    np.testing.assert_allclose(found.beta, fit.beta, atol=1e-5)
    direction = np.sin(np.arange(len(y)))
    step = 1e-4 * direction
    slope = (objective.value(y + step) - objective.value(y - step)) / 2e-4
    assert found.y_gradient @ direction == pytest.approx(slope, rel=1e-6, abs=1e-6)
    at_optimum = objective.value_and_gradient(y, found.theta, np.log(found.sigma))
    np.testing.assert_allclose(found.y_gradient, at_optimum.y_gradient, rtol=1e-10)
    assert abs(at_optimum.log_sigma_gradient) < 1e-8 * len(y)
    if kind != "singular":
        np.testing.assert_allclose(at_optimum.theta_gradient, 0.0, atol=1e-4)


def test_central_differences_agree_in_all_arguments():
    y, X, terms = table(7, "slopes")
    objective, theta, log_sigma = RemlObjective(X, terms), np.array([0.7, -0.4, 0.0, 1.2]), 0.3
    found = objective.value_and_gradient(y, theta, log_sigma)

    def slope(along):
        return (along(1e-5) - along(-1e-5)) / 2e-5

    for k in range(4):
        unit = np.eye(4)[k]
        expected = slope(lambda h, unit=unit: objective.value(y, theta + h * unit, log_sigma))
        assert found.theta_gradient[k] == pytest.approx(expected, rel=1e-7, abs=1e-6)
    assert found.log_sigma_gradient == pytest.approx(
        slope(lambda h: objective.value(y, theta, log_sigma + h)), rel=1e-7
    )


# ---------------------------------------------------------------------------------------------------- mini-batches


def test_batches_of_whole_groups_add_up_to_the_full_criterion_and_gradient():
    y, _, (term, _) = table(2, "slopes")
    order = np.random.default_rng(5).permutation(9)
    weights = np.linspace(0.5, 2.0, len(y))
    objective, theta, log_sigma = RemlObjective(None, term, reml=False, weights=weights), [0.9, 0.2, 0.6], -0.1
    whole = objective.value_and_gradient(y, theta, log_sigma)
    value, of_theta, of_sigma, of_y = 0.0, np.zeros(3), 0.0, np.zeros(len(y))
    for groups in (order[:4], order[4:5], order[5:]):
        rows = np.flatnonzero(np.isin(term.codes, groups))
        part = objective.subset(rows).value_and_gradient(y[rows], theta, log_sigma)
        value, of_theta, of_sigma = (
            value + part.value,
            of_theta + part.theta_gradient,
            of_sigma + part.log_sigma_gradient,
        )
        of_y[rows] = part.y_gradient
    assert value == pytest.approx(whole.value, rel=1e-12)
    np.testing.assert_allclose(of_theta, whole.theta_gradient, rtol=1e-9)
    assert of_sigma == pytest.approx(whole.log_sigma_gradient, rel=1e-9)
    np.testing.assert_allclose(of_y, whole.y_gradient, rtol=1e-9, atol=1e-12)


def test_a_subset_is_the_objective_of_these_rows():
    y, X, terms = table(3, "slopes")
    rows = np.random.default_rng(0).permutation(len(y))[:50]
    part = RemlObjective(X, terms, weights=np.exp(y / 9)).subset(rows)
    own = [RandomTerm(term.codes[rows], None if k else X[rows]) for k, term in enumerate(terms)]
    expected = RemlObjective(X[rows], own, weights=np.exp(y[rows] / 9))
    theta = [1.0, 0.1, 0.5, 0.8]
    assert part.value(y[rows], theta) == pytest.approx(expected.value(y[rows], theta), rel=1e-12)
    mask = np.isin(np.arange(len(y)), rows)
    again = RemlObjective(X, terms, weights=np.exp(y / 9)).subset(mask)
    assert again.value(y[mask], theta) == pytest.approx(part.value(y[rows], theta), rel=1e-12)


# ------------------------------------------------------------------------------------------------------- the object


def test_other_responses_leave_no_trace():
    y, X, terms = table(1, "crossed")
    objective = RemlObjective(X, terms)
    first = objective.value_and_gradient(y, [0.5, 0.5])
    objective.value_and_gradient(np.sin(y))
    objective.random_part_vjp(y, [0.5, 0.5], np.cos(y))
    for again in (objective, pickle.loads(pickle.dumps(objective))):
        found = again.value_and_gradient(y, [0.5, 0.5])
        assert found.value == pytest.approx(first.value, rel=1e-13)
        np.testing.assert_allclose(found.y_gradient, first.y_gradient, rtol=1e-11, atol=1e-13)


def test_it_is_reml_objective_and_prints_what_it_is():
    y, X, terms = table(1, "slopes")
    objective = RemlObjective(X, terms, reml=False)
    assert repr(objective) == "<RemlObjective: ML, 80 rows, p = 2, terms [2 x 9 levels, 1 x 5 levels]>"
    assert (objective.n, objective.sizes, objective.theta_size) == (80, (2, 1), 4)
    theta = [0.5, 0.1, 0.4, 1.0]
    at = reml_objective(y, X, terms, theta=theta, reml=False)
    assert at.value == objective.value(y, theta)
    assert repr(at).startswith("<ObjectiveValue: ")
    b = objective.random_effects(y, theta)
    assert [part.shape for part in b] == [(9, 2), (5, 1)]
    total = (X * b[0][terms[0].codes]).sum(axis=1) + b[1][terms[1].codes, 0]
    np.testing.assert_allclose(objective.random_part(y, theta), total, atol=1e-12)


def test_dependent_columns_of_x_change_nothing():
    y, X, terms = table(1, "crossed")
    found = RemlObjective(np.column_stack([X, X[:, 1] - 2]), terms).value_and_gradient(y, [0.5, 0.7], 0.1)
    expected = RemlObjective(X, terms).value_and_gradient(y, [0.5, 0.7], 0.1)
    assert found.value == pytest.approx(expected.value, rel=1e-12)
    np.testing.assert_allclose(found.y_gradient, expected.y_gradient, atol=1e-10)
    np.testing.assert_allclose(found.theta_gradient, expected.theta_gradient, atol=1e-10)


Y, X, TERMS = table(1, "crossed")


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda o: o.value(Y[:5]), r"y has shape \(5,\)"),
        (lambda o: o.value(np.where(Y[3] == Y, np.nan, Y), [1, 1]), "y.*row 3.*nan"),
        (lambda o: o.value(Y, [1.0]), "theta"),
        (lambda o: o.value(Y, [1.0, np.nan]), "theta"),
        (lambda o: o.value(Y, None, 0.0), "log_sigma is given without theta"),
        (lambda o: o.value(Y, [1, 1], np.inf), "log_sigma is inf"),
        (lambda o: o.value(Y, [1, 1], [1, 2]), "log_sigma is"),
        (lambda o: o.value(np.zeros(80), [1, 1]), "leave no residual"),
        (lambda o: o.value(np.zeros(80)), "residual"),
        (lambda o: o.value(1 + 2 * X[:, 1]), "residual"),
        (lambda o: o.value(1e150 * Y, [1, 1]), "y.*scale|too large"),
        (lambda o: o.random_part(np.zeros(80), [1, 1]), "residual"),
        (lambda o: o.value(Y, [1e200, 1]), "theta is too large"),
        (lambda o: o.subset([]), "rows is"),
        (lambda o: o.subset([0, 0]), "different positions from 0 to 79"),
        (lambda o: o.subset([80]), "rows is"),
        (lambda o: o.subset(np.zeros(80, dtype=bool)), "rows is"),
        (lambda o: o.subset([[1], [1, 2]]), "rows is"),
        (lambda o: o.subset([3]), "1 row"),
        (lambda _: RemlObjective(X[:5], TERMS), r"X has shape \(5, 2\)"),
        (lambda _: RemlObjective(np.where(X > 2, np.inf, X), TERMS), "column 1 of X"),
        (lambda _: RemlObjective(X, TERMS, reml="ML"), "reml"),
        (lambda _: RemlObjective(None, RandomTerm(np.zeros(80, dtype=int))).value(Y), "terms\\[0\\]"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_in_words(call, message):
    with pytest.raises(hd.DataError, match=message):
        call(RemlObjective(X, TERMS))


def test_a_single_group_has_a_criterion_where_its_variance_is_given():
    objective = RemlObjective(None, RandomTerm(np.zeros(80, dtype=int)), reml=False)
    expected = -2 * hd.marginal_loglik(Y, None, np.ones((80, 1)), 0.8, 1.1)
    assert objective.value(Y, [0.8], np.log(1.1)) == pytest.approx(expected, rel=1e-10)


def test_names_of_frameworks_load_when_they_are_asked_for():
    import henderson.differentiable as package

    assert {"RandomEffects", "jax_reml_objective", "torch_reml_objective"} <= set(dir(package))
    with pytest.raises(AttributeError, match="no attribute 'keras_reml_objective'"):
        _ = package.keras_reml_objective
    code = "import sys, henderson.differentiable as d; d.RemlObjective; print({'jax', 'torch'} & set(sys.modules))"
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == "set()"


@pytest.mark.parametrize("package, module", [("jax", "jax_objective"), ("torch", "torch_objective")])
def test_a_missing_framework_is_named(monkeypatch, package, module):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"henderson.differentiable.{module}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install 'henderson\[{package}\]'"):
        importlib.import_module(f"henderson.differentiable.{module}")
