"""The criterion as a function that JAX can differentiate. Needs jax."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from henderson import errors_differentiable as errors
from henderson import errors_fit
from henderson.differentiable.objective import RemlObjective

try:
    import jax
    import jax.numpy as jnp
except ModuleNotFoundError as problem:
    raise errors.framework_missing(__name__, "jax") from problem


def jax_reml_objective(
    y: Any,
    objective: RemlObjective,
    *,
    X: Any | None = None,
    theta: Any | None = None,
    log_sigma: Any | None = None,
) -> jax.Array:
    """REML criterion or deviance of `y`, differentiable in `y`, `X`, `theta` and `log_sigma`.

    Parameters
    ----------
    y
        Response minus the output of a network, shape (n,). The criterion is computed on the CPU in double precision,
        and rounded to the type of `y`.
    objective
        X, the random terms and the weights, compiled once. Under ``jit`` it is a constant.
    X
        Columns in the place of the fixed-effects columns of the objective, shape (n, p), such as the last hidden layer
        of a network: their coefficients are those of generalised least squares, exactly, in each call. None: those of
        the objective.
    theta
        Relative covariance parameters. None: those that are best for `y`, found anew in each call.
    log_sigma
        Logarithm of the residual standard deviation. None: the best one.

    Returns
    -------
    Array
        A scalar: -2 times the log-likelihood. Divide it by n to have a learning rate that does not depend on n.

    Raises
    ------
    DataError
        As `RemlObjective.with_fixed` and its `value_and_gradient`; under ``jit`` JAX raises an error of its own that
        has its text.

    Notes
    -----
    ``grad``, ``value_and_grad`` and ``jit`` work; ``vmap`` over `y`, `X`, `theta` and `log_sigma` evaluates one after
    the other. Reverse mode only, first derivatives only: ``jvp`` and ``hessian`` are errors. A process with a
    single core needs ``jax.config.update("jax_cpu_enable_async_dispatch", False)``: with large arrays JAX waits for
    itself otherwise.

    Examples
    --------
    >>> import jax
    >>> import numpy as np
    >>> from henderson import RandomTerm
    >>> from henderson.differentiable import RemlObjective, jax_reml_objective
    >>> objective = RemlObjective(None, RandomTerm(np.array([0, 0, 1, 1, 2, 2])), reml=False)
    >>> y = np.array([1.0, 3.0, 2.0, 5.0, 9.0, 8.0], dtype=np.float32)
    >>> jax.grad(lambda mean: jax_reml_objective(y - mean, objective))(4.0).shape
    ()
    """
    if not isinstance(objective, RemlObjective):
        raise errors.not_an_objective(objective)
    if log_sigma is not None and theta is None:
        raise errors.sigma_without_theta()
    named = {"y": y, "X": X, "theta": theta, "log_sigma": log_sigma}
    given = {name: None if value is None else _floating(name, value) for name, value in named.items()}
    _check_shapes(given["y"], given["X"], objective.n)
    found: jax.Array = _criterion(objective, *given.values())
    return found


def _check_shapes(y: Any, X: Any, n: int) -> None:
    """Here where the traceback is the caller's: an error in a callback comes from within JAX."""
    if y.shape != (n,):
        raise errors_fit.wrong_shape("y", y.shape, f"({n},)")
    if X is not None and (X.ndim not in (1, 2) or len(X) != n):
        raise errors_fit.wrong_shape("X", X.shape, f"({n}, number of columns)")


def _floating(name: str, value: Any) -> Any:
    array = jnp.asarray(value)
    if jnp.iscomplexobj(array):
        raise errors_fit.not_numbers(name, "c", str(array.dtype))
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.result_type(float))


def _shape(array: Any) -> Any:
    return jax.ShapeDtypeStruct(array.shape, array.dtype)


def _numbers(values: tuple[Any, ...]) -> list[Any]:
    return [None if value is None else np.asarray(value, dtype=np.float64) for value in values]


def _with_fixed(objective: RemlObjective, X: Any) -> RemlObjective:
    return objective if X is None else objective.with_fixed(X)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _criterion(objective: RemlObjective, y: Any, X: Any, theta: Any, log_sigma: Any) -> Any:
    def value(*arrays: Any) -> Any:
        response, columns, *parameters = _numbers(arrays)
        return np.asarray(_with_fixed(objective, columns).value(response, *parameters), dtype=y.dtype)

    scalar = jax.ShapeDtypeStruct((), y.dtype)
    return jax.pure_callback(value, scalar, y, X, theta, log_sigma, vmap_method="sequential")


def _forward(objective: RemlObjective, *inputs: Any) -> Any:
    """The value, and for the way back the gradients in y, X, theta and log_sigma."""
    y = inputs[0]

    def evaluate(*arrays: Any) -> Any:
        response, columns, *parameters = _numbers(arrays)
        chosen = _with_fixed(objective, columns)
        at = chosen.value_and_gradient(response, *parameters, with_X=columns is not None)
        found = at.y_gradient, at.X_gradient, at.theta_gradient, at.log_sigma_gradient
        slopes = [
            None if x is None else np.asarray(g, x.dtype).reshape(x.shape) for x, g in zip(inputs, found, strict=True)
        ]
        return np.asarray(at.value, y.dtype), *slopes

    shapes = jax.ShapeDtypeStruct((), y.dtype), *(None if x is None else _shape(x) for x in inputs)
    value, *gradients = jax.pure_callback(evaluate, shapes, *inputs, vmap_method="sequential")
    return value, gradients


def _backward(_objective: RemlObjective, gradients: Any, direction: Any) -> Any:
    return tuple(None if g is None else (direction * g).astype(g.dtype) for g in gradients)


_criterion.defvjp(_forward, _backward)
