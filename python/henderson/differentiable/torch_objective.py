"""The criterion as a node of PyTorch's graph. Needs torch."""

from __future__ import annotations

from typing import Any

from henderson import errors_differentiable as errors
from henderson.conversion import as_float
from henderson.differentiable.objective import RemlObjective

try:
    import torch
except ModuleNotFoundError as problem:
    raise errors.framework_missing(__name__, "torch") from problem


def torch_reml_objective(
    y: torch.Tensor,
    objective: RemlObjective,
    *,
    X: torch.Tensor | None = None,
    theta: torch.Tensor | None = None,
    log_sigma: torch.Tensor | None = None,
) -> torch.Tensor:
    """REML criterion or deviance of `y`, differentiable in `y`, `X`, `theta` and `log_sigma`.

    Parameters
    ----------
    y
        Response minus the output of a network, shape (n,); any floating type, any device. The criterion is computed on
        the CPU in double precision.
    objective
        X, the random terms and the weights, compiled once.
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
    Tensor
        A scalar of the type of `y`: -2 times the log-likelihood. Divide it by n to have a learning rate that does not
        depend on n.

    Raises
    ------
    DataError
        As `RemlObjective.with_fixed` and its `value_and_gradient`; an argument is not a tensor nor an array of numbers.

    Notes
    -----
    First derivatives only: ``create_graph=True`` is an error. The transforms of ``torch.func`` are not available;
    ``torch.compile`` leaves the function as it is.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from henderson import RandomTerm
    >>> from henderson.differentiable import RemlObjective, torch_reml_objective
    >>> objective = RemlObjective(None, RandomTerm(np.array([0, 0, 1, 1, 2, 2])), reml=False)
    >>> y = torch.tensor([1.0, 3.0, 2.0, 5.0, 9.0, 8.0], requires_grad=True)
    >>> loss = torch_reml_objective(y, objective)
    >>> loss.backward()
    >>> y.grad.shape
    torch.Size([6])
    """
    require_objective(objective)
    named = {"y": y, "X": X, "theta": theta, "log_sigma": log_sigma}
    given = [None if value is None else as_real(name, value) for name, value in named.items()]
    value: torch.Tensor = _Criterion.apply(objective, *given)
    return value


class _Criterion(torch.autograd.Function):  # type: ignore[misc]
    """Value and gradients in one evaluation, the gradients kept for `backward`."""

    @staticmethod
    def forward(ctx: Any, objective: RemlObjective, y: Any, X: Any, theta: Any, log_sigma: Any) -> Any:
        chosen = objective if X is None else objective.with_fixed(as_numpy(X))
        given = as_numpy(y), as_numpy(theta), as_numpy(log_sigma)
        if not any(ctx.needs_input_grad):
            return y.new_tensor(chosen.value(*given))
        at = chosen.value_and_gradient(*given, with_X=ctx.needs_input_grad[2])
        ctx.gradients = at.y_gradient, at.X_gradient, at.theta_gradient, at.log_sigma_gradient
        ctx.like = tuple(None if given is None else given.detach() for given in (y, X, theta, log_sigma))
        return y.new_tensor(at.value)

    @staticmethod
    def backward(ctx: Any, direction: Any) -> Any:
        require_first_order()
        needed = zip(ctx.needs_input_grad[1:], ctx.gradients, ctx.like, strict=True)
        return None, *(
            like_tensor(g, like) * direction.to(like) if is_needed else None for is_needed, g, like in needed
        )


def require_objective(objective: Any) -> None:
    """Refuse what is not a compiled objective."""
    if not isinstance(objective, RemlObjective):
        raise errors.not_an_objective(objective)


def require_first_order() -> None:
    """Refuse ``create_graph=True``: the gradients would pass for constants."""
    if torch.is_grad_enabled():
        raise errors.first_order_only()


def as_real(name: str, value: Any) -> torch.Tensor:
    """A tensor of a floating type: as given, or of torch's default type."""
    if not isinstance(value, torch.Tensor):
        value = torch.as_tensor(as_float(name, value))
    if value.is_complex() or value.layout != torch.strided:
        raise errors.not_a_real_tensor(name, value)
    return value if value.is_floating_point() else value.to(torch.get_default_dtype())


def as_numpy(tensor: Any) -> Any:
    """The values of a tensor in double precision; None for None."""
    return None if tensor is None else tensor.detach().cpu().to(torch.float64).numpy()


def like_tensor(values: Any, like: Any) -> Any:
    """Values as a tensor of the type, place and shape of another."""
    return torch.as_tensor(values, dtype=torch.float64).to(like).reshape(like.shape)
