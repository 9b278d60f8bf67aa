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
    from henderson import datasets, plots
    from henderson.array_inputs import RandomTerm
    from henderson.arrays import ArrayFit, ResponseFits, fit_arrays
    from henderson.chunks.fitting import chunked_fit
    from henderson.chunks.result import ChunkedFit
    from henderson.errors import ConvergenceWarning, DataError, FormulaError, MixedModelError, SingularFitWarning
    from henderson.errors_chunks import ChunkWarning
    from henderson.errors_predict import PredictionWarning
    from henderson.fitting import lmer
    from henderson.formula import Formula
    from henderson.inference.bootstrap_result import Bootstrap
    from henderson.inference.comparison import anova
    from henderson.inference.pbtest import pbtest
    from henderson.inference.power_result import Power
    from henderson.inference.profile import Profile
    from henderson.interop.mixedlm import mixedlm
    from henderson.interop.mixedlm_result import MixedLMResults
    from henderson.marginal_likelihood import marginal_loglik
    from henderson.model import LinearMixedModel
    from henderson.moments.fitting import fit_moments, fit_moments_batches
    from henderson.moments.result import MomentFit
    from henderson.optimum import Certificate, Optimum
    from henderson.persistence.loading import load
    from henderson.planning import model_from_parameters, simulate
    from henderson.regression.table import RegressionTable, regression_table
    from henderson.significance import AnovaTable
    from henderson.solvers.stopping import Iterate, StoppingRule, stop_when_stable
    from henderson.streaming.estimator import StreamingModel
    from henderson.summary import Summary
    from henderson.varcorr import VarCorr

_HOMES = {
    "AnovaTable": "significance",
    "ArrayFit": "arrays",
    "Bootstrap": "inference.bootstrap_result",
    "Certificate": "optimum",
    "ChunkWarning": "errors_chunks",
    "ChunkedFit": "chunks.result",
    "ConvergenceWarning": "errors",
    "DataError": "errors",
    "Formula": "formula",
    "FormulaError": "errors",
    "Iterate": "solvers.stopping",
    "LinearMixedModel": "model",
    "MixedLMResults": "interop.mixedlm_result",
    "MixedModelError": "errors",
    "MomentFit": "moments.result",
    "Optimum": "optimum",
    "Power": "inference.power_result",
    "PredictionWarning": "errors_predict",
    "Profile": "inference.profile",
    "RandomTerm": "array_inputs",
    "RegressionTable": "regression.table",
    "ResponseFits": "arrays",
    "SingularFitWarning": "errors",
    "StoppingRule": "solvers.stopping",
    "StreamingModel": "streaming.estimator",
    "Summary": "summary",
    "VarCorr": "varcorr",
    "anova": "inference.comparison",
    "chunked_fit": "chunks.fitting",
    "fit_arrays": "arrays",
    "fit_moments": "moments.fitting",
    "fit_moments_batches": "moments.fitting",
    "lmer": "fitting",
    "load": "persistence.loading",
    "marginal_loglik": "marginal_likelihood",
    "mixedlm": "interop.mixedlm",
    "model_from_parameters": "planning",
    "pbtest": "inference.pbtest",
    "regression_table": "regression.table",
    "simulate": "planning",
    "stop_when_stable": "solvers.stopping",
}

__all__ = [
    "AnovaTable",
    "ArrayFit",
    "Bootstrap",
    "Certificate",
    "ChunkWarning",
    "ChunkedFit",
    "ConvergenceWarning",
    "DataError",
    "Formula",
    "FormulaError",
    "Iterate",
    "LinearMixedModel",
    "MixedLMResults",
    "MixedModelError",
    "MomentFit",
    "Optimum",
    "Power",
    "PredictionWarning",
    "Profile",
    "RandomTerm",
    "RegressionTable",
    "ResponseFits",
    "SingularFitWarning",
    "StoppingRule",
    "StreamingModel",
    "Summary",
    "VarCorr",
    "__version__",
    "anova",
    "chunked_fit",
    "datasets",
    "fit_arrays",
    "fit_moments",
    "fit_moments_batches",
    "lmer",
    "load",
    "marginal_loglik",
    "mixedlm",
    "model_from_parameters",
    "pbtest",
    "plots",
    "regression_table",
    "simulate",
    "stop_when_stable",
]


def __getattr__(name: str) -> Any:
    if name in ("datasets", "plots"):
        return import_module(f"henderson.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'henderson' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"henderson.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
