"""The criterion in PyTorch's graph, and random effects as a module. Skipped where torch is not installed.

With a graphics processor all is tested on it too: python -m pytest tests/test_differentiable_torch.py
"""

import copy
import doctest
import io
import pickle

import numpy as np
import pytest

import henderson as hd
from henderson import RandomTerm, fit_arrays
from henderson.differentiable import RemlObjective

torch = pytest.importorskip("torch")

from henderson.differentiable import (  # noqa: E402
    RandomEffects,
    torch_objective,
    torch_random_effects,
    torch_reml_objective,
)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES, autouse=True)
def device(request):
    """Where the tensors of a test are."""
    with torch.device(request.param):
        yield request.param


def numbers(tensor):
    return tensor.detach().cpu().numpy()


def problem(reml=True, seed=0):
    rng = np.random.default_rng(seed)
    n = 40
    g, h, x = rng.integers(0, 6, n), rng.integers(0, 4, n), rng.normal(size=n)
    X = np.column_stack([np.ones(n), x])
    y = 2 * rng.normal(size=6)[g] + x * rng.normal(size=6)[g] + 2 * rng.normal(size=4)[h] + rng.normal(size=n)
    terms = [RandomTerm(g, X), RandomTerm(h)]
    return torch.tensor(y), X, terms, RemlObjective(X, terms, reml=reml, weights=rng.uniform(0.5, 2, n))


def leaf(*values):
    return torch.tensor(values if len(values) > 1 else values[0], dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("reml", [True, False])
def test_gradcheck_passes(reml):
    y, _, _, objective = problem(reml)
    y.requires_grad_()
    theta, log_sigma = leaf(1.0, 0.3, -0.7, 0.9), leaf(0.2)
    check = torch.autograd.gradcheck
    assert check(lambda y, t, s: torch_reml_objective(y, objective, theta=t, log_sigma=s), (y, theta, log_sigma))
    assert check(lambda y, t: torch_reml_objective(y, objective, theta=t), (y, theta))
    assert check(lambda y: torch_reml_objective(y, objective), (y,))
    singular = leaf(1.0, 0.3, 0.0, 0.0)
    assert check(lambda y, t: torch_reml_objective(y, objective, theta=t), (y, singular))


@pytest.mark.parametrize("weights", [None, np.linspace(0.4, 2.0, 40)], ids=["", "weighted"])
@pytest.mark.parametrize("reml", [True, False])
def test_gradcheck_passes_for_the_columns_of_x(reml, weights):
    y, X, terms, _ = problem()
    y.requires_grad_()
    columns, theta, log_sigma = torch.tensor(X).requires_grad_(), leaf(1.0, 0.3, -0.7, 0.9), leaf(0.2)
    objective = RemlObjective(None, terms, reml=reml, weights=weights)
    check = torch.autograd.gradcheck

    def loss(y, columns, theta=None, log_sigma=None):
        return torch_reml_objective(y, objective, X=columns, theta=theta, log_sigma=log_sigma)

    assert check(loss, (y, columns, theta, log_sigma))
    assert check(loss, (y, columns, theta))
    assert check(loss, (y, columns))
    assert check(lambda column: loss(y, column), (columns[:, 1].detach().requires_grad_(),))


@pytest.mark.parametrize("reml", [True, False])
def test_gradcheck_passes_for_the_random_part(reml):
    y, X, terms, _ = problem()
    y.requires_grad_()
    effects = RandomEffects(terms, X, reml=reml, theta=[1.0, 0.3, 0.7, 0.9], dtype=torch.float64)

    def output(y, theta):
        return torch.func.functional_call(effects, {"theta": theta}, (y,))

    assert torch.autograd.gradcheck(output, (y, leaf(1.0, 0.3, 0.7, 0.9)))


def test_gradients_flow_only_where_they_are_asked_for():
    y, _, _, objective = problem()
    y0, theta = numbers(y).copy(), leaf(1.0, 0.3, 0.7, 0.9)
    value = torch_reml_objective(y, objective, theta=theta)
    (2 * value).backward()
    at = objective.value_and_gradient(numbers(y), numbers(theta))
    assert value.item() == at.value
    np.testing.assert_array_equal(numbers(theta.grad), 2 * at.theta_gradient)
    assert y.grad is None
    assert not torch_reml_objective(y, objective).requires_grad
    with torch.no_grad():
        assert not torch_reml_objective(y, objective, theta=theta).requires_grad
    columns = torch.ones(40, 2, dtype=torch.float64)  # dependent: no gradient in them, all others
    torch_reml_objective(y.requires_grad_(), objective, X=columns).backward()
    np.testing.assert_array_equal(
        numbers(y.grad), objective.with_fixed(np.ones((40, 2))).value_and_gradient(y0).y_gradient
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_short_types_are_computed_in_double_precision(dtype):
    y, _, _, objective = problem()
    short = y.to(dtype).requires_grad_()
    value = torch_reml_objective(short, objective)
    value.backward()
    expected = objective.value_and_gradient(numbers(short.double()))
    assert (value.dtype, short.grad.dtype) == (dtype, dtype)
    assert value == torch.tensor(expected.value).to(dtype)
    torch.testing.assert_close(short.grad, torch.tensor(expected.y_gradient).to(dtype), rtol=0.0, atol=0.0)


def test_numbers_that_are_no_tensors_and_integers_are_taken_as_such():
    y, _, _, objective = problem()
    expected = objective.value(numbers(y), [1, 0, 1, 1], 0.5)
    assert torch_reml_objective(numbers(y), objective, theta=[1, 0, 1, 1], log_sigma=0.5).item() == expected
    whole = torch.arange(40) ** 2 % 17
    value = torch_reml_objective(whole, objective)
    assert value.dtype == torch.get_default_dtype()
    assert value.item() == pytest.approx(objective.value(numbers(whole)), rel=1e-6)
    effects = RandomEffects(RandomTerm(np.arange(40) % 5))
    expected = effects.objective.random_effects(numbers(whole), [1.0])[0]
    np.testing.assert_allclose(numbers(effects.modes(whole)[0]), expected, rtol=1e-6)


def test_arguments_may_have_types_of_their_own():
    y, X, _, objective = problem()
    columns, theta = torch.tensor(X, dtype=torch.float32).requires_grad_(), leaf(1.0, 0.3, 0.7, 0.9)
    torch_reml_objective(y, objective, X=columns, theta=theta).backward()
    at = objective.with_fixed(numbers(columns)).value_and_gradient(numbers(y), numbers(theta), with_X=True)
    assert (columns.grad.dtype, theta.grad.dtype) == (torch.float32, torch.float64)
    np.testing.assert_array_equal(numbers(columns.grad), at.X_gradient.astype(np.float32))
    np.testing.assert_array_equal(numbers(theta.grad), at.theta_gradient)


def test_parameters_may_be_elsewhere_than_the_response(device):
    y, _, terms, objective = problem()
    theta = torch.ones(4, device="cpu", requires_grad=True)
    y.requires_grad_()
    torch_reml_objective(y, objective, theta=theta).backward()
    assert (theta.grad.device.type, y.grad.device.type) == ("cpu", device)
    effects = RandomEffects(terms).to("cpu")
    part = effects(y)
    part.sum().backward()
    assert (part.device.type, effects.theta.grad.device.type) == (device, "cpu")


def test_second_derivatives_are_refused():
    y, X, terms, objective = problem()
    y.requires_grad_()
    for value in (torch_reml_objective(y, objective), RandomEffects(terms, X)(y).sum()):
        with pytest.raises(NotImplementedError, match="create_graph"):
            torch.autograd.grad(value, y, create_graph=True)


def test_what_is_wrong_is_said_in_words():
    y, X, terms, objective = problem()
    with pytest.raises(hd.DataError, match="objective is a Tensor"):
        torch_reml_objective(y, y)
    with pytest.raises(hd.DataError, match="log_sigma is given without theta"):
        torch_reml_objective(y, objective, log_sigma=leaf(0.0))
    for wrong, message in [
        (y[:, None], r"y has shape \(40, 1\)"),
        (y + 0j, "y is a tensor of torch.complex128"),
        (y.to_sparse(), "y is a tensor of .*sparse"),
        ("y", "y cannot be read as numbers"),
    ]:
        with pytest.raises(hd.DataError, match=message):
            torch_reml_objective(wrong, objective)
    for wrong, message in [
        (y[:5], r"X has shape \(5,"),
        (y * torch.nan, "column 0 of X is not finite"),
    ]:
        with pytest.raises(hd.DataError, match=message):
            torch_reml_objective(y, objective, X=wrong)
    with pytest.raises(hd.DataError, match="only 1 are independent"):
        torch_reml_objective(y, objective, X=torch.ones(40, 2, requires_grad=True))
    with pytest.raises(hd.DataError, match="X cannot be read as numbers"):
        RandomEffects(terms, torch.tensor(X, requires_grad=True))
    for dtype in (torch.int64, "float64"):
        with pytest.raises(hd.DataError, match="dtype is"):
            RandomEffects(terms, dtype=dtype)
    with pytest.raises(hd.DataError, match="theta"):
        RandomEffects(terms, X, theta=[1.0])
    for sigma in (0.0, -1, np.nan, [1.0, 2.0]):
        with pytest.raises(hd.DataError, match="sigma is"):
            RandomEffects(terms, sigma=sigma)


def learned(effects, residual, parameters=(), steps=400):
    optimiser = torch.optim.LBFGS([*effects.parameters(), *parameters], max_iter=steps, line_search_fn="strong_wolfe")

    def closure():
        optimiser.zero_grad()
        loss = effects.loss(residual())
        loss.backward()
        return loss

    optimiser.step(closure)


@pytest.mark.parametrize("reml", [True, False])
def test_the_module_learns_the_variances_of_the_fit(reml):
    y, X, terms, _ = problem(seed=3)
    effects = RandomEffects(terms, X, reml=reml, dtype=torch.float64)
    learned(effects, lambda: y)
    fit = fit_arrays(numbers(y), X, terms=terms, reml=reml)
    assert effects.loss(y).item() == pytest.approx(fit.criterion, abs=1e-5)
    for found, expected in zip(effects.covariances(), fit.covariances, strict=True):
        np.testing.assert_allclose(numbers(found), expected, rtol=0.02, atol=0.01)
    for found, expected in zip(effects.modes(y), fit.ranef, strict=True):
        np.testing.assert_allclose(numbers(found), expected, atol=0.01)
    part = fit.fitted - X @ fit.beta
    np.testing.assert_allclose(numbers(effects(y)), part, atol=0.02)


def test_a_linear_layer_beside_the_module_becomes_the_fixed_effects():
    y, X, terms, _ = problem(seed=4)
    effects = RandomEffects(terms, dtype=torch.float64)
    layer = torch.nn.Linear(1, 1, dtype=torch.float64)
    x = torch.tensor(X[:, 1:])
    learned(effects, lambda: y - layer(x)[:, 0], list(layer.parameters()))
    fit = fit_arrays(numbers(y), X, terms=terms, reml=False)
    assert effects.loss(y - layer(x)[:, 0]).item() == pytest.approx(fit.criterion, abs=1e-4)
    np.testing.assert_allclose([layer.bias.item(), layer.weight.item()], fit.beta, atol=0.02)


def test_groups_are_shrunken_by_the_learned_ratio_of_variances():
    rng = np.random.default_rng(0)
    sizes = np.array([1, 3, 30, 8, 15, 2])
    group = np.repeat(np.arange(6), sizes)
    y = torch.tensor(2 * rng.normal(size=6)[group] + rng.normal(size=59))
    effects = RandomEffects(RandomTerm(group), dtype=torch.float64)
    learned(effects, lambda: y)
    ratio = effects.theta.item() ** 2
    factor = sizes * ratio / (1 + sizes * ratio)
    means = np.bincount(group, numbers(y)) / sizes
    np.testing.assert_allclose(numbers(effects.modes(y)[0][:, 0]), factor * means, rtol=1e-10)
    assert 0.3 < factor[0] < factor[2] < 1


def test_predictions_for_other_rows_add_nothing_for_new_levels():
    y, X, terms, _ = problem()
    effects = RandomEffects(terms, X, theta=[1.0, 0.3, 0.7, 0.9], dtype=torch.float64)
    torch.testing.assert_close(effects.predict(y, terms), effects(y).detach())
    other = [RandomTerm([0, 6, 9], X[:3]), RandomTerm([4, 3, 12])]
    of_g, of_h = (numbers(b) for b in effects.modes(y))
    found = effects.predict(y, other)
    assert not found.requires_grad
    np.testing.assert_allclose(numbers(found), [X[0] @ of_g[0], of_h[3, 0], 0.0], rtol=1e-12)
    with pytest.raises(hd.DataError, match="the same terms"):
        effects.predict(y, other[1])


def test_a_network_whose_last_layer_is_profiled_out_has_the_loss_of_the_best_last_layer():
    y, X, terms, _ = problem(seed=5)
    torch.manual_seed(0)
    hidden = torch.nn.Sequential(torch.nn.Linear(1, 3), torch.nn.Tanh()).double()
    effects, x = RandomEffects(terms, dtype=torch.float64), torch.tensor(X[:, 1:])

    def columns():
        return torch.column_stack([torch.ones(40), hidden(x)])

    first = effects.loss(y, X=columns()).item()
    optimiser = torch.optim.Adam([*hidden.parameters(), *effects.parameters()], lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        effects.loss(y, X=columns()).backward()
        optimiser.step()
    loss = effects.loss(y, X=columns()).item()
    assert loss < first - 5
    objective = effects.objective.with_fixed(numbers(columns()))
    at = objective.value_and_gradient(numbers(y), numbers(effects.theta), effects.log_sigma.item())
    assert at.value == loss
    weights = torch.tensor(at.beta)
    assert effects.loss(y - columns() @ weights).item() == pytest.approx(loss, rel=1e-10)
    for k in range(4):
        step = torch.eye(4)[k] * 1e-3
        assert effects.loss(y - columns() @ (weights + step)).item() > loss


def test_batches_of_whole_groups_add_up():
    y, _, (term, _), _ = problem()
    effects = RandomEffects(term, theta=[0.8, 0.1, 0.4], sigma=1.3, dtype=torch.float64)
    effects.loss(y).backward()
    whole = effects.theta.grad.clone()
    effects.zero_grad()
    for groups in ([0, 1, 2], [3, 4, 5]):
        rows = np.flatnonzero(np.isin(term.codes, groups))
        effects.loss(y[rows], effects.objective.subset(rows)).backward()
    torch.testing.assert_close(effects.theta.grad, whole, rtol=1e-10, atol=1e-12)


def test_the_state_is_saved_and_printed():
    _, X, terms, _ = problem()
    effects = RandomEffects(terms, X, theta=[1.0, 0.3, 0.7, 0.9], sigma=2.0)
    again = RandomEffects(terms, X)
    again.load_state_dict(effects.state_dict())
    torch.testing.assert_close(again.theta, effects.theta)
    assert again.log_sigma.exp().item() == pytest.approx(2.0)
    y = problem()[0]
    for other in (copy.deepcopy(effects), pickle.loads(pickle.dumps(effects))):
        assert other.loss(y).item() == effects.loss(y).item()
    effects.double()
    assert (effects.theta.dtype, effects(y).dtype, effects.loss(y.float()).dtype) == (
        torch.float64,
        torch.float64,
        torch.float32,
    )
    assert repr(effects) == f"RandomEffects({effects.objective!r})"


@pytest.mark.parametrize("module", [torch_objective, torch_random_effects])
def test_the_examples_of_the_documentation_run(module):
    finder, log = doctest.DocTestFinder(), io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    examples = [example for example in finder.find(module, module.__name__) if example.examples]
    assert examples
    for example in examples:
        runner.run(example, out=log.write)
    assert runner.failures == 0, log.getvalue()
