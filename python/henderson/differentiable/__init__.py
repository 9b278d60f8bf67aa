"""The REML or ML criterion as a loss to differentiate: for numpy, PyTorch and JAX.

    from henderson.differentiable import RemlObjective, jax_reml_objective

Names load when they are first used, and so do the packages: `jax_reml_objective` needs jax; `torch_reml_objective` and
`RandomEffects` need torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from henderson.differentiable.jax_objective import jax_reml_objective as jax_reml_objective
    from henderson.differentiable.objective import RemlObjective as RemlObjective
    from henderson.differentiable.once import reml_objective as reml_objective
    from henderson.differentiable.torch_objective import torch_reml_objective as torch_reml_objective
    from henderson.differentiable.torch_random_effects import RandomEffects as RandomEffects
    from henderson.differentiable.value import ObjectiveValue as ObjectiveValue

_HOMES = {
    "ObjectiveValue": "value",
    "RandomEffects": "torch_random_effects",
    "RemlObjective": "objective",
    "jax_reml_objective": "jax_objective",
    "reml_objective": "once",
    "torch_reml_objective": "torch_objective",
}

__all__ = ["ObjectiveValue", "RemlObjective", "reml_objective"]  # what needs no other package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'henderson.differentiable' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"henderson.differentiable.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
