"""One class per package that fits mixed models: `call(case)` gives a function that fits and returns the criterion.

Each call is what a user writes, from formula and data frame to the fitted model, where the package has formulas. A
package that is not installed, or cannot fit a case, is left out.
"""

import importlib.util
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

Fit = Callable[[], float]


@dataclass(frozen=True)
class Timed:
    """A benchmark case: formula and data, and what peers without formulas need to know."""

    name: str
    title: str
    formula: str
    data: Callable[[], pd.DataFrame]
    groups: tuple[str, ...]
    slope: str | None = None
    factors: tuple[str, ...] = ()
    target_ms: float | None = None
    kinds: tuple[str, ...] = field(default=("formula",))


class Henderson:
    name = "henderson"

    def call(self, case: Timed, data: pd.DataFrame) -> Fit:
        import henderson

        return lambda: henderson.lmer(case.formula, data).criterion

    def arrays(self, case: Timed, data: pd.DataFrame) -> tuple[Fit, Fit]:
        """The array interface and `refit`, for a case with one random term."""
        import henderson

        response = case.formula.split("~")[0].strip()
        y = data[response].to_numpy(float)
        x = np.asfortranarray(np.column_stack([np.ones(len(y)), data[case.slope]]), dtype=float)
        codes = pd.factorize(data[case.groups[0]])[0].astype(np.int32)
        terms = [henderson.RandomTerm(codes, x)]
        fit = henderson.fit_arrays(y, x, terms=terms)
        other = y + np.random.default_rng(4).normal(scale=y.std() / 4, size=len(y))
        return (lambda: henderson.fit_arrays(y, x, terms=terms).criterion), (lambda: fit.refit(other).criterion)


class Mixedlm:
    name = "mixedlm"

    def call(self, case: Timed, data: pd.DataFrame) -> Fit:
        import mixedlm

        return lambda: mixedlm.lmer(case.formula, data).REMLcrit()


class Statsmodels:
    name = "statsmodels"

    def call(self, case: Timed, data: pd.DataFrame) -> Fit | None:
        import statsmodels.formula.api as smf

        fixed = case.formula.split(" + (")[0]
        if len(case.groups) == 1 and len(data) <= 100_000:
            slopes = {"re_formula": f"~{case.slope}"} if case.slope else {}
            return lambda: -2 * smf.mixedlm(fixed, data, groups=case.groups[0], **slopes).fit(reml=True).llf
        if len(data) > 1000:
            return None  # it would need a dense matrix of all rows by all levels
        parts = {group: f"0 + C({group})" for group in case.groups}
        one = np.ones(len(data))
        return lambda: -2 * smf.mixedlm(fixed, data, groups=one, vc_formula=parts, re_formula="0").fit(reml=True).llf


class GPBoost:
    """Without formulas and without correlation of intercept and slope; compared in time only."""

    name = "gpboost"

    def call(self, case: Timed, data: pd.DataFrame) -> Fit | None:
        import gpboost

        y = data[case.formula.split("~")[0].strip()].to_numpy(float)
        columns = [np.ones(len(y))]
        options: dict[str, Any] = {"group_data": data[list(case.groups)].astype(str).to_numpy(object)}
        if case.slope:
            slope = data[case.slope].to_numpy(float)
            columns.append(slope)
            options |= {"group_rand_coef_data": slope, "ind_effect_group_rand_coef": [1]}
        x = np.column_stack(columns)

        def fit() -> float:
            gpboost.GPModel(likelihood="gaussian", **options).fit(y=y, X=x)
            return float("nan")

        return fit


class Lme4:
    """A running R process; it times itself, so that starting R and passing data do not count."""

    name = "lme4"
    script = Path(__file__).with_name("lme4_server.R")

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            ["Rscript", "--vanilla", str(self.script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = self._ask("version")

    def _ask(self, *words: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\t".join(words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer or answer.startswith("error"):
            raise RuntimeError(answer or "R ended")
        return answer

    def call(self, case: Timed, data: pd.DataFrame) -> Callable[[], tuple[float, float]]:
        path = Path(self.folder.name) / f"{case.name}.csv"
        data.to_csv(path, index=False)
        self._ask("load", str(path), ",".join(case.factors))

        def fit() -> tuple[float, float]:
            seconds, criterion = self._ask("fit", case.formula).split()
            return float(seconds), float(criterion)

        return fit

    def close(self) -> None:
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait()
        self.folder.cleanup()


def installed() -> list[Any]:
    """The peers present on this machine, henderson first."""
    warnings.simplefilter("ignore")
    python = [peer for peer in (Mixedlm, GPBoost, Statsmodels) if importlib.util.find_spec(peer.name)]
    found: list[Any] = [Henderson(), *(peer() for peer in python)]
    if shutil.which("Rscript"):
        try:
            found.append(Lme4())
        except (RuntimeError, OSError):
            print("R is here, but lme4 is not")
    return found
