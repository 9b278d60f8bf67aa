"""Networks trained on data with groups, and their errors for groups that were not there. Needs jax."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from henderson import RandomTerm
from henderson.differentiable import RemlObjective, jax_reml_objective

HIDDEN, STEPS, RATE = 8, 300, 0.02


def draw(rng, sizes):
    """Group, covariates (one of rows, one of groups), the mean without the group's effect, and the response."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    covariates = np.column_stack([rng.uniform(-2, 2, len(group)), rng.uniform(-2, 2, len(sizes))[group]])
    mean = np.sin(2 * covariates[:, 0]) + 2 * np.tanh(2 * covariates[:, 1])
    y = mean + rng.normal(size=len(sizes))[group] + 0.5 * rng.normal(size=len(group))
    return group, covariates, mean, y


def net(w, x, shift=0.0):
    return jnp.tanh(x @ w["first"] + w["shift"] + shift) @ w["last"] + w["intercept"]


def train(loss, w):
    """Adam."""

    @jax.jit
    def step(w, m, v, k):
        g = jax.grad(loss)(w)
        m = jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, m, g)
        v = jax.tree.map(lambda old, new: 0.999 * old + 0.001 * new**2, v, g)
        rate = RATE * jnp.sqrt(1 - 0.999**k) / (1 - 0.9**k)
        return jax.tree.map(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + 1e-8), w, m, v), m, v

    m = v = jax.tree.map(jnp.zeros_like, w)
    for k in range(1, STEPS + 1):
        w, m, v = step(w, m, v, float(k))
    return w


def errors(seed):
    """Root mean squared error of the mean of new groups: groups ignored, one-hot, with intercepts, integrated out."""
    rng = np.random.default_rng(seed)
    group, x, _, y = draw(rng, rng.geometric(1 / 20, 100))
    _, new, truth, _ = draw(rng, np.full(500, 4))
    start = {
        "first": jnp.asarray(rng.normal(size=(2, HIDDEN))),
        "shift": jnp.zeros(HIDDEN),
        "last": jnp.asarray(rng.normal(size=HIDDEN) / np.sqrt(HIDDEN)),
        "intercept": jnp.asarray(0.0),
    }
    one_hot = {"groups": jnp.asarray(0.1 * rng.normal(size=(100, HIDDEN)))}  # weights of 100 more inputs
    objective = RemlObjective(None, RandomTerm(group), reml=False)
    found = [
        partial(net, train(lambda w: jnp.mean((y - net(w, x)) ** 2), start)),
        partial(net, train(lambda w: jnp.mean((y - net(w, x, w["groups"][group])) ** 2), start | one_hot)),
    ]
    both = train(lambda w: jnp.mean((y - net(w, x) - w["each"][group]) ** 2), start | {"each": jnp.zeros(100)})
    found.append(lambda x: net(both, x) + both["each"].mean())
    found.append(partial(net, train(lambda w: jax_reml_objective(y - net(w, x), objective) / len(y), start)))
    return [float(np.sqrt(np.mean((np.asarray(predict(new)) - truth) ** 2))) for predict in found]
