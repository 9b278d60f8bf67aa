"""Random effects as a module of PyTorch: shrinkage that is learned with the network. Needs torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from henderson import errors_differentiable as errors
from henderson import theta as parameters
from henderson.array_inputs import RandomTerm
from henderson.conversion import as_float
from henderson.differentiable.objective import RemlObjective
from henderson.differentiable.torch_objective import (
    as_numpy,
    as_real,
    like_tensor,
    require_first_order,
    torch_reml_objective,
)
from henderson.options import checked_theta

try:
    import torch
except ModuleNotFoundError as problem:
    raise errors.framework_missing(__name__, "torch") from problem


class RandomEffects(torch.nn.Module):  # type: ignore[misc]
    """Random effects beside a network: their variances are parameters, they themselves are integrated out.

    Parameters
    ----------
    terms
        The random terms of the rows to train on, or the only one.
    X
        Fixed-effects columns beside the network, shape (n, p); None for none.
    reml
        Restricted maximum likelihood: what X can fit is integrated out. False, the default, for maximum likelihood.
    weights
        Precision weights, shape (n,).
    theta
        Relative covariance parameters to start from. None: standard deviations equal to the residual one, independent.
    sigma
        Residual standard deviation to start from. A rough guess will do.
    dtype
        Of the parameters; None for torch's default.

    Attributes
    ----------
    theta, log_sigma
        The parameters, learned with those of the network by any optimiser.
    objective
        The compiled `RemlObjective`.

    Raises
    ------
    DataError
        As `RemlObjective`; theta has the wrong size, sigma is not positive or dtype no floating type.

    Notes
    -----
    The loss is -2 log p(y - mean | theta, sigma), the random effects b integrated out. The output is the part of the
    mean that they are predicted to add, Zb = Z Psi Z' P (y - mean): shrunken towards zero the more, the smaller the
    group and the learned variance. Both have exact gradients in the residual and in theta. At theta = 0 the gradient in
    theta is zero: do not start there.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from henderson import RandomTerm
    >>> from henderson.differentiable import RandomEffects
    >>> group = np.repeat(np.arange(8), 5)
    >>> y = torch.sin(torch.arange(40.0)) + torch.arange(8.0).repeat_interleave(5)
    >>> effects, mean = RandomEffects(RandomTerm(group)), torch.zeros(1, requires_grad=True)
    >>> optimiser = torch.optim.Adam([*effects.parameters(), mean], lr=0.1)
    >>> for _ in range(300):
    ...     optimiser.zero_grad()
    ...     loss = effects.loss(y - mean)
    ...     loss.backward()
    ...     optimiser.step()
    >>> prediction = mean + effects(y - mean)
    >>> effects.covariances()[0].shape
    torch.Size([1, 1])
    """

    def __init__(
        self,
        terms: RandomTerm | Iterable[RandomTerm],
        X: ArrayLike | None = None,
        *,
        reml: bool = False,
        weights: ArrayLike | None = None,
        theta: ArrayLike | None = None,
        sigma: float = 1.0,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        scale = as_float("sigma", sigma)
        if scale.size != 1 or not 0.0 < scale.item() < np.inf:
            raise errors.sigma_invalid(sigma)
        self.objective = RemlObjective(X, terms, reml=reml, weights=weights)
        kind = torch.get_default_dtype() if dtype is None else dtype
        if not (isinstance(kind, torch.dtype) and kind.is_floating_point):
            raise errors.dtype_invalid(dtype)
        start = self._independent() if theta is None else checked_theta("theta", theta, self.objective.theta_size)
        self.theta = torch.nn.Parameter(torch.tensor(start, dtype=kind))
        self.log_sigma = torch.nn.Parameter(torch.tensor(float(np.log(scale.item())), dtype=kind))

    def _independent(self) -> Any:
        return np.concatenate([np.eye(size)[np.triu_indices(size)] for size in self.objective.sizes])

    def loss(
        self, residual: torch.Tensor, objective: RemlObjective | None = None, *, X: torch.Tensor | None = None
    ) -> torch.Tensor:
        """-2 log-likelihood of the residuals at the present theta and sigma.

        Parameters
        ----------
        residual
            Response minus the output of the network, shape (n,).
        objective
            For a mini-batch, the rows of `residual`: ``effects.objective.subset(rows)``, of whole groups.
        X
            Fixed-effects columns in the place of those of the objective, shape (n, p), such as the output of a network.

        Returns
        -------
        Tensor
            A scalar, differentiable in `residual`, `X`, theta and log sigma.
        """
        chosen = self.objective if objective is None else objective
        return torch_reml_objective(residual, chosen, X=X, theta=self.theta, log_sigma=self.log_sigma)

    def forward(self, residual: torch.Tensor) -> torch.Tensor:
        """What the random effects add to the mean of each row, given the residuals: Zb, shape (n,).

        Parameters
        ----------
        residual
            Response minus the output of the network, shape (n,).

        Returns
        -------
        Tensor
            Zb, differentiable in `residual` and theta.
        """
        found: torch.Tensor = _RandomPart.apply(self.objective, as_real("residual", residual), self.theta)
        return found

    def predict(self, residual: torch.Tensor, terms: RandomTerm | Iterable[RandomTerm]) -> torch.Tensor:
        """What the random effects add to the mean of other rows, without gradients.

        Parameters
        ----------
        residual
            Response minus the output of the network, of the rows to train on, shape (n,).
        terms
            The same terms for the other rows, with the same codes; codes that were not there are new levels.

        Returns
        -------
        Tensor
            Shape (rows,); zero for rows whose levels are all new.
        """
        known = as_real("residual", residual)
        return torch.as_tensor(self.objective.random_part(as_numpy(known), as_numpy(self.theta), terms)).to(known)

    def modes(self, residual: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Conditional modes of the random effects (BLUPs), per term (levels, s), without gradients.

        Parameters
        ----------
        residual
            Response minus the output of the network, shape (n,).

        Returns
        -------
        tuple of tensors
            Zeros for levels without rows.
        """
        known = as_real("residual", residual)
        found = self.objective.random_effects(as_numpy(known), as_numpy(self.theta))
        return tuple(torch.as_tensor(b).to(known) for b in found)

    def covariances(self) -> tuple[torch.Tensor, ...]:
        """Covariance matrices of the random effects as learned, per term (s, s), without gradients."""
        relative = parameters.covariances(as_numpy(self.theta), self.objective.sizes)
        variance = float(np.exp(2.0 * float(self.log_sigma.detach())))
        return tuple(torch.as_tensor(variance * psi).to(self.theta) for psi in relative)

    def extra_repr(self) -> str:
        """The design, for `print`."""
        return repr(self.objective)


class _RandomPart(torch.autograd.Function):  # type: ignore[misc]
    """Zb, and the way back by one more solve."""

    @staticmethod
    def forward(ctx: Any, objective: RemlObjective, residual: Any, theta: Any) -> Any:
        ctx.objective = objective
        ctx.save_for_backward(residual, theta)
        return like_tensor(objective.random_part(as_numpy(residual), as_numpy(theta)), residual)

    @staticmethod
    def backward(ctx: Any, direction: Any) -> Any:
        require_first_order()
        residual, theta = ctx.saved_tensors
        of_residual, of_theta = ctx.objective.random_part_vjp(as_numpy(residual), as_numpy(theta), as_numpy(direction))
        return None, like_tensor(of_residual, residual), like_tensor(of_theta, theta)
