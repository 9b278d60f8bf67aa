"""henderson: linear mixed models from formula to summary.

    import henderson as hd

    fit = hd.lmer("Reaction ~ Days + (Days | Subject)", hd.datasets.load_sleepstudy())
    print(fit.summary())

Names load when they are first used, so that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from henderson._version import __version__

if TYPE_CHECKING:
    from henderson import datasets
    from henderson.array_inputs import RandomTerm
    from henderson.arrays import ArrayFit, ResponseFits, fit_arrays
    from henderson.errors import ConvergenceWarning, DataError, FormulaError, MixedModelError, SingularFitWarning
    from henderson.fitting import lmer
    from henderson.formula import Formula
    from henderson.inference.bootstrap_result import Bootstrap
    from henderson.inference.comparison import anova
    from henderson.inference.pbtest import pbtest
    from henderson.inference.profile import Profile
    from henderson.model import LinearMixedModel
    from henderson.optimum import Certificate, Optimum
    from henderson.significance import AnovaTable
    from henderson.summary import Summary
    from henderson.varcorr import VarCorr

_HOMES = {
    "AnovaTable": "significance",
    "ArrayFit": "arrays",
    "Bootstrap": "inference.bootstrap_result",
    "Certificate": "optimum",
    "ConvergenceWarning": "errors",
    "DataError": "errors",
    "Formula": "formula",
    "FormulaError": "errors",
    "LinearMixedModel": "model",
    "MixedModelError": "errors",
    "Optimum": "optimum",
    "Profile": "inference.profile",
    "RandomTerm": "array_inputs",
    "ResponseFits": "arrays",
    "SingularFitWarning": "errors",
    "Summary": "summary",
    "VarCorr": "varcorr",
    "anova": "inference.comparison",
    "fit_arrays": "arrays",
    "lmer": "fitting",
    "pbtest": "inference.pbtest",
}

__all__ = [
    "AnovaTable",
    "ArrayFit",
    "Bootstrap",
    "Certificate",
    "ConvergenceWarning",
    "DataError",
    "Formula",
    "FormulaError",
    "LinearMixedModel",
    "MixedModelError",
    "Optimum",
    "Profile",
    "RandomTerm",
    "ResponseFits",
    "SingularFitWarning",
    "Summary",
    "VarCorr",
    "__version__",
    "anova",
    "datasets",
    "fit_arrays",
    "lmer",
    "pbtest",
]


def __getattr__(name: str) -> Any:
    if name == "datasets":
        return import_module("henderson.datasets")
    if name not in _HOMES:
        raise AttributeError(f"module 'henderson' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"henderson.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
