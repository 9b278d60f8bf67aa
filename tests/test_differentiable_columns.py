"""X as an argument of the criterion: its gradient is that of dense algebra and of differences."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

import henderson as hd
from dense_objective import covariance, dense_value
from henderson import RandomTerm
from henderson.differentiable import RemlObjective, reml_objective
from strategies import LAWS, models

RNG = np.random.default_rng(3)
N = 70
G, H = RNG.integers(0, 8, N), RNG.integers(0, 5, N)
X = np.column_stack([np.ones(N), RNG.normal(size=(N, 2))])
Y = X.sum(axis=1) + X[:, 1] * RNG.normal(size=8)[G] + 1.5 * RNG.normal(size=8)[G] + RNG.normal(size=N)
WEIGHTS = RNG.uniform(0.3, 3, N)
TERMS = {
    "one factor": RandomTerm(G),
    "crossed": [RandomTerm(G), RandomTerm(H)],
    "nested": [RandomTerm(G), RandomTerm(8 * H + G)],
    "vector-valued": [RandomTerm(G, X[:, :2]), RandomTerm(H)],
}


def slope_along(value, direction, step):
    """By central differences, the error of which is of fourth order."""
    near = value(step * direction) - value(-step * direction)
    far = value(2 * step * direction) - value(-2 * step * direction)
    return (8 * near - far) / (12 * step)


@LAWS
@given(models())
def test_the_gradient_in_x_is_that_of_dense_algebra(model):
    design, theta, reml = model
    sigma = 0.5 + abs(float(np.sin(theta.sum())))
    direction = np.cos(np.arange(design.x.size)).reshape(design.x.shape)
    objective = RemlObjective(design.x, design.random_terms(), reml=reml, weights=design.weights)
    for given_sigma in (None, sigma):
        log_sigma = None if given_sigma is None else np.log(sigma)
        found = objective.value_and_gradient(design.y, theta, log_sigma, with_X=True).X_gradient
        assert found.shape == design.x.shape
        expected = dense_gradient_in_x(design, theta, reml, given_sigma)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7 * max(1.0, np.abs(expected).max(initial=0.0)))
        by_differences = slope_along(
            lambda shift, at=given_sigma: dense_value(replace(design, x=design.x + shift), theta, reml, at),
            direction,
            1e-4,
        )
        size = max(1.0, np.abs(expected).sum())
        assert np.sum(expected * direction) == pytest.approx(by_differences, abs=1e-4 * size)


def dense_gradient_in_x(design, theta, reml, sigma):
    inverse = np.linalg.inv(covariance(design, theta))
    vx = inverse @ design.x
    information = design.x.T @ vx
    beta = np.linalg.solve(information, vx.T @ design.y)
    residual = inverse @ (design.y - design.x @ beta)
    variance = design.y @ residual / design.df(reml) if sigma is None else sigma**2
    return 2 * reml * vx @ np.linalg.inv(information) - 2 / variance * np.outer(residual, beta)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("point", ["optimum", "theta", "theta and sigma"])
def test_central_differences_agree(name, reml, weights, point):
    objective = RemlObjective(X, TERMS[name], reml=reml, weights=weights)
    theta = None if point == "optimum" else 0.3 + np.arange(objective.theta_size)
    arguments = theta, 0.2 if point == "theta and sigma" else None
    direction = np.sin(np.arange(3.0 * N)).reshape(N, 3)
    found = objective.value_and_gradient(Y, *arguments, with_X=True).X_gradient
    by_differences = slope_along(lambda shift: objective.with_fixed(X + shift).value(Y, *arguments), direction, 1e-3)
    assert np.sum(found * direction) == pytest.approx(by_differences, rel=1e-6, abs=1e-5)


def test_at_a_singular_optimum_the_gradient_is_that_of_the_smallest_criterion():
    y = np.sin(7.0 * np.arange(N) ** 2)
    objective = RemlObjective(X, TERMS["vector-valued"])
    at = objective.value_and_gradient(y, with_X=True)
    assert hd.fit_arrays(y, X, terms=TERMS["vector-valued"]).is_singular
    direction = np.cos(np.arange(3.0 * N)).reshape(N, 3)
    by_differences = slope_along(lambda shift: objective.with_fixed(X + shift).value(y), direction, 1e-3)
    assert np.sum(at.X_gradient * direction) == pytest.approx(by_differences, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("reml", [True, False])
def test_other_bases_of_the_same_columns_only_move_the_restricted_criterion_by_their_volume(reml):
    """So that its density of contrasts, log|X'X| subtracted, has no slope in directions X A."""
    objective, theta = RemlObjective(None, TERMS["crossed"], reml=reml), [0.8, 0.5]
    change = np.array([[2.0, 0.3, 0.0], [0.0, 0.7, -1.0], [0.4, 0.0, 1.5]])
    first, other = objective.with_fixed(X), objective.with_fixed(X @ change)
    volume = 2 * np.linalg.slogdet(change)[1] if reml else 0.0
    assert other.value(Y, theta) - first.value(Y, theta) == pytest.approx(volume, abs=1e-9)
    slope = first.value_and_gradient(Y, theta, with_X=True).X_gradient
    if reml:
        slope = slope - 2 * X @ np.linalg.inv(X.T @ X)
    np.testing.assert_allclose(X.T @ slope, 0.0, atol=1e-9)


def test_an_objective_with_other_columns_is_the_objective_of_these_columns():
    objective = RemlObjective(X[:, :1], TERMS["crossed"], reml=False, weights=WEIGHTS, threads=1)
    other, expected = objective.with_fixed(X), RemlObjective(X, TERMS["crossed"], reml=False, weights=WEIGHTS)
    assert repr(other) == repr(expected)
    assert other.value(Y) == expected.value(Y)
    assert objective.with_fixed(None).value(Y) == RemlObjective(
        None, TERMS["crossed"], reml=False, weights=WEIGHTS
    ).value(Y)
    assert repr(objective).endswith("p = 1, terms [1 x 8 levels, 1 x 5 levels]>")  # as it was


def test_the_gradient_in_x_is_given_where_it_is_asked_for():
    objective = RemlObjective(X, TERMS["crossed"])
    assert objective.value_and_gradient(Y).X_gradient is None
    once = reml_objective(Y, X, TERMS["crossed"], with_X=True)
    np.testing.assert_array_equal(once.X_gradient, objective.value_and_gradient(Y, with_X=True).X_gradient)
    assert objective.with_fixed(None).value_and_gradient(Y, with_X=True).X_gradient.shape == (N, 0)


ZERO, TWICE = np.column_stack([X, np.zeros(N)]), np.column_stack([X, X[:, 1] - X[:, 2], X[:, 0]])


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize(
    "columns, message",
    [
        (ZERO, "4 columns of which only 3 are independent.*no gradient in X.*column 3 is"),
        (TWICE, "5 columns of which only 3"),
    ],
    ids=["zero", "dependent"],
)
def test_dependent_columns_have_a_value_and_no_gradient(columns, message, reml):
    objective = RemlObjective(columns, TERMS["crossed"], reml=reml)
    expected = RemlObjective(X, TERMS["crossed"], reml=reml).value(Y, [1.0, 1.0])
    assert objective.value(Y, [1.0, 1.0]) == pytest.approx(expected, rel=1e-10)
    with pytest.raises(hd.DataError, match=message):
        objective.value_and_gradient(Y, [1.0, 1.0], with_X=True)
    moved = columns + 1e-6 * np.random.default_rng(0).normal(size=columns.shape)
    assert abs(RemlObjective(moved, TERMS["crossed"], reml=reml).value(Y, [1.0, 1.0]) - expected) > 0.1  # it jumps


@pytest.mark.parametrize(
    "columns, message",
    [
        (X[:5], r"X has shape \(5, 3\)"),
        (X * np.nan, "column 0 of X is not finite"),
        (np.ones((N, 2, 2)), "X has shape"),
        (RNG.normal(size=(N, N)), "70 rows cannot determine 70 fixed effects"),
        ("columns", "X cannot be read as numbers"),
    ],
)
def test_columns_that_cannot_be_used_are_refused(columns, message):
    with pytest.raises(hd.DataError, match=message):
        RemlObjective(X, TERMS["crossed"]).with_fixed(columns)


# ------------------------------------------------------------------------------------- the random part of other rows


def test_the_random_part_of_other_rows_is_zero_for_levels_that_were_not_there():
    objective, theta = RemlObjective(X, TERMS["vector-valued"]), [1.0, 0.3, 0.7, 0.9]
    whole = objective.random_part(Y, theta)
    np.testing.assert_allclose(objective.random_part(Y, theta, objective.terms), whole, rtol=1e-12)
    rows = np.array([4, 30, 4, 11])
    codes = G[rows], H[rows]
    part = objective.random_part(Y, theta, [RandomTerm(codes[0], X[rows, :2]), RandomTerm(codes[1])])
    np.testing.assert_allclose(part, whole[rows], rtol=1e-12)
    new = [RandomTerm([0, 8, 50], X[:3, :2]), RandomTerm([60, 5, 2])]
    of_g, of_h = objective.random_effects(Y, theta)
    expected = [X[0, :2] @ of_g[0], 0.0, of_h[2, 0]]
    np.testing.assert_allclose(objective.random_part(Y, theta, new), expected, rtol=1e-12)


@pytest.mark.parametrize(
    "terms, message",
    [
        (RandomTerm(G), "terms have 1 effects per level; the objective has terms with 2, 1"),
        ([RandomTerm(H), RandomTerm(G)], "terms have 1, 1 effects per level"),
        ([RandomTerm(G, X[:, :2]), RandomTerm([1])], "codes of terms"),
        (G, "RandomTerm"),
    ],
)
def test_other_terms_than_those_of_the_objective_are_refused(terms, message):
    with pytest.raises(hd.DataError, match=message):
        RemlObjective(X, TERMS["vector-valued"]).random_part(Y, [1, 0, 1, 1], terms)
