"""Mixed models for scikit-learn: a regressor, an encoder of categories, features by group. Needs scikit-learn.

    from henderson.learn import LinearMixedRegressor, MixedEffectsEncoder

Names load when they are first used.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from henderson import errors_learn

if TYPE_CHECKING:
    from henderson.learn.encoder import MixedEffectsEncoder
    from henderson.learn.features import shrinkage_features
    from henderson.learn.mixed_effects import MixedEffectsRegressor
    from henderson.learn.regressor import LinearMixedRegressor

if find_spec("sklearn") is None:
    raise errors_learn.sklearn_missing()

_HOMES = {
    "LinearMixedRegressor": "regressor",
    "MixedEffectsEncoder": "encoder",
    "MixedEffectsRegressor": "mixed_effects",
    "shrinkage_features": "features",
}

__all__ = ["LinearMixedRegressor", "MixedEffectsEncoder", "MixedEffectsRegressor", "shrinkage_features"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'henderson.learn' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"henderson.learn.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
