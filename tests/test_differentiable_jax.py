"""The criterion in JAX: values and gradients as in numpy, and a network trained by it. Skipped where jax is missing."""

import numpy as np
import pytest

import henderson as hd
from henderson import RandomTerm
from henderson.differentiable import RemlObjective

RNG = np.random.default_rng(1)
G, H = RNG.integers(0, 9, 80), RNG.integers(0, 5, 80)
X = np.column_stack([np.ones(80), RNG.normal(size=80)])
Y = X.sum(axis=1) + 1.5 * RNG.normal(size=9)[G] + RNG.normal(size=5)[H] + RNG.normal(size=80)
TERMS = [RandomTerm(G), RandomTerm(H)]


@pytest.fixture
def jax():
    """In double precision, whatever other tests have set."""
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield jax
    jax.config.update("jax_enable_x64", before)


ARGUMENTS = {
    "all": {"theta": np.array([0.8, -0.3]), "log_sigma": np.array(0.2)},
    "profiled": {"theta": np.array([0.8, 0.0])},
    "optimum": {},
    "columns": {"X": np.column_stack([X, np.sin(np.arange(80))]), "theta": np.array([0.8, -0.3])},
    "columns at the optimum": {"X": np.cos(np.arange(80))},
}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_jax_has_the_same_value_and_gradients(jax, name, compiled):
    from henderson.differentiable import jax_reml_objective

    objective = RemlObjective(X, TERMS)
    given = {"y": Y} | ARGUMENTS[name]
    columns = given.get("X")
    chosen = objective if columns is None else objective.with_fixed(columns)
    point = given.get("theta"), given.get("log_sigma")
    expected = chosen.value_and_gradient(Y, *point, with_X=True)

    def loss(given):
        return 3.0 * jax_reml_objective(given["y"], objective, **{k: v for k, v in given.items() if k != "y"})

    value, gradient = (jax.jit if compiled else lambda f: f)(jax.value_and_grad(loss))(given)
    assert float(value) == pytest.approx(3 * expected.value, rel=1e-13)
    np.testing.assert_allclose(gradient["y"], 3 * expected.y_gradient, rtol=1e-12)
    if columns is not None:
        slope = 3 * expected.X_gradient.reshape(columns.shape)
        np.testing.assert_allclose(gradient["X"], slope, rtol=1e-9, atol=1e-12)
    if "theta" in given:
        np.testing.assert_allclose(gradient["theta"], 3 * expected.theta_gradient, rtol=1e-12, atol=1e-12)
    if "log_sigma" in given:
        assert float(gradient["log_sigma"]) == pytest.approx(3 * expected.log_sigma_gradient, rel=1e-12)
    assert float((jax.jit if compiled else lambda f: f)(loss)(given)) == pytest.approx(3 * expected.value, rel=1e-13)


@pytest.mark.usefixtures("jax")
@pytest.mark.parametrize("reml", [True, False])
def test_jax_checks_the_gradient_by_differences(reml):
    from jax.test_util import check_grads

    from henderson.differentiable import jax_reml_objective

    objective = RemlObjective(None, TERMS, reml=reml)

    def loss(y, columns, theta, log_sigma):
        return jax_reml_objective(y, objective, X=columns, theta=theta, log_sigma=log_sigma)

    check_grads(loss, (Y, X, *ARGUMENTS["all"].values()), order=1, modes=["rev"], eps=1e-5)


def test_jax_takes_log_sigma_as_a_vector_of_one(jax):
    from henderson.differentiable import jax_reml_objective

    objective, theta = RemlObjective(X, TERMS), np.array([0.8, -0.3])
    slope = jax.grad(lambda s: jax_reml_objective(Y, objective, theta=theta, log_sigma=s))(np.array([0.2]))
    assert slope.shape == (1,)
    assert slope[0] == pytest.approx(objective.value_and_gradient(Y, theta, 0.2).log_sigma_gradient, rel=1e-12)


def test_jax_maps_over_responses_and_parameters(jax):
    from henderson.differentiable import jax_reml_objective

    objective = RemlObjective(X, TERMS)
    columns = np.stack([X, X + np.cos(np.arange(160.0)).reshape(80, 2)])
    of_x = jax.vmap(jax.grad(lambda x: jax_reml_objective(Y, objective, X=x)))(columns)
    for k in range(2):
        expected = objective.with_fixed(columns[k]).value_and_gradient(Y, with_X=True).X_gradient
        np.testing.assert_allclose(of_x[k], expected, rtol=1e-9)
    many = np.stack([Y, np.sin(Y), Y**2])
    thetas = np.array([[0.5, 0.4], [1.0, 2.0], [0.0, 0.3]])
    slope = jax.grad(lambda y, theta: jax_reml_objective(y, objective, theta=theta), argnums=(0, 1))
    of_y, of_theta = jax.jit(jax.vmap(slope))(many, thetas)
    for k in range(3):
        expected = objective.value_and_gradient(many[k], thetas[k])
        np.testing.assert_allclose(of_y[k], expected.y_gradient, rtol=1e-12)
        np.testing.assert_allclose(of_theta[k], expected.theta_gradient, rtol=1e-10, atol=1e-12)


def test_jax_computes_in_double_precision_and_rounds_once(jax):
    from henderson.differentiable import jax_reml_objective

    objective, single = RemlObjective(X, TERMS), Y.astype(np.float32)
    value, gradient = jax.value_and_grad(lambda y: jax_reml_objective(y, objective))(single)
    expected = objective.value_and_gradient(single)
    assert (value.dtype, gradient.dtype) == (np.float32, np.float32)
    assert value == np.float32(expected.value)
    np.testing.assert_array_equal(gradient, expected.y_gradient.astype(np.float32))
    whole = jax_reml_objective(np.arange(80) ** 2 % 17, objective)
    assert float(whole) == pytest.approx(objective.value(np.arange(80.0) ** 2 % 17), rel=1e-12)


def test_jax_is_told_what_is_wrong(jax):
    from henderson.differentiable import jax_reml_objective

    with pytest.raises(hd.DataError, match="objective is a ndarray"):
        jax_reml_objective(Y, X)
    with pytest.raises(hd.DataError, match="log_sigma is given without theta"):
        jax_reml_objective(Y, RemlObjective(X, TERMS), log_sigma=0.0)
    for wrong in (Y[:5], Y[:, None]):
        with pytest.raises(hd.DataError, match="y has shape"):
            jax.jit(lambda y: jax_reml_objective(y, RemlObjective(X, TERMS)))(wrong)
    for wrong in (X[:5], np.ones((80, 2, 2))):
        with pytest.raises(hd.DataError, match="X has shape"):
            jax_reml_objective(Y, RemlObjective(X, TERMS), X=wrong)
    with pytest.raises(hd.DataError, match=r"theta .* complex128"):
        jax_reml_objective(Y, RemlObjective(X, TERMS), theta=np.ones(2) * 1j)
    with pytest.raises(Exception, match="only 1 are independent"):
        jax.block_until_ready(jax.grad(lambda x: jax_reml_objective(Y, RemlObjective(X, TERMS), X=x))(np.ones((80, 2))))
    with pytest.raises(Exception, match="theta"):
        jax.block_until_ready(jax_reml_objective(Y, RemlObjective(X, TERMS), theta=np.ones(3)))
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda y: jax_reml_objective(y, RemlObjective(X, TERMS)), (Y,), (Y,))


def test_a_hidden_layer_learns_the_columns_of_which_the_best_weights_are_taken(jax):
    """y depends on exp(-x): the rate is found, the weights are those of generalised least squares there."""
    from henderson.differentiable import jax_reml_objective

    x = np.linspace(0.0, 4.0, 80)
    y = 5 + 20 * np.exp(-1.3 * x) + np.random.default_rng(4).normal(size=9)[G] + 0.01 * Y
    objective = RemlObjective(None, RandomTerm(G), reml=False)

    def columns(rate):
        return jax.numpy.column_stack([jax.numpy.ones(80), jax.numpy.exp(-rate * x)])

    slope = jax.jit(jax.value_and_grad(lambda rate: jax_reml_objective(y, objective, X=columns(rate))))
    low, high = 0.5, 3.0
    for _ in range(40):  # bisection for the zero of the gradient
        middle = 0.5 * (low + high)
        low, high = (low, middle) if slope(middle)[1] > 0 else (middle, high)
    at = objective.with_fixed(np.asarray(columns(low))).value_and_gradient(y)
    assert low == pytest.approx(1.3, abs=0.02)
    np.testing.assert_allclose(at.beta[1], 20, rtol=0.02)
    around = [float(slope(low + shift)[0]) for shift in (-1e-3, 0.0, 1e-3)]
    assert around[1] == pytest.approx(at.value, rel=1e-12)
    assert around[1] < min(around[0], around[2])


@pytest.mark.usefixtures("jax")
def test_a_network_with_the_group_effects_integrated_out_predicts_new_groups_better_than_one_hot_groups():
    """Groups of very different sizes, a covariate of groups: the error of the mean, averaged over two data sets."""
    from held_out_groups import errors

    total = np.mean([errors(seed) for seed in range(2)], axis=0)
    ignored, one_hot, intercepts, integrated = total
    assert integrated < 0.85 * min(ignored, one_hot, intercepts)
