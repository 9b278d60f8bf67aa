"""One class per package that fits mixed models: what it is given for a shape, what is timed, what is read afterwards.

henderson, mixedlm and lme4 are called as their users do, from formula and table to the fitted model. statsmodels and
GPBoost get arrays that were made for them before: their times are those of the fit alone.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from shapes import Shape

FEW = 20  # of the shapes with many fits: those that the peers do, and over which criteria are added up
DENSE_BYTES = 1e9  # of one matrix that statsmodels is asked to work with


class CannotFitError(Exception):
    """Why a package cannot fit a shape: a result, not an accident."""


@dataclass(frozen=True)
class Fit:
    """`call` is timed; `read` gives criterion, evaluations and more of what it returned; one call does `fits` fits.

    A criterion is the REML criterion with lme4's constants. A package that has none gives its `theta` at the maximum of
    the likelihood. `seconds`, where it is among what is read, replaces the time of the call.
    """

    call: Callable[[], Any]
    read: Callable[[Any], dict[str, Any]]
    fits: int = 1


class Package:
    """A package that is called in this process."""

    name = ""

    @property
    def pid(self) -> int:
        """The process whose memory counts."""
        return os.getpid()

    def prepare(self, shape: Shape, data: Any) -> Fit:
        """Everything before the call."""
        if shape.kind == "formula":
            return self.one(shape.formula, data)
        fits = [self.one(shape.formula, table) for table in few_tables(shape, data)]
        return Fit(
            lambda: [fit.call() for fit in fits],
            lambda found: summed([fit.read(each) for fit, each in zip(fits, found, strict=True)]),
            len(fits),
        )

    def one(self, formula: str, data: pd.DataFrame) -> Fit:
        """A fit of one table."""
        raise NotImplementedError

    def close(self) -> None:
        """End what `prepare` began."""


class Henderson(Package):
    name = "henderson"

    def prepare(self, shape: Shape, data: Any) -> Fit:
        import henderson as hd

        if shape.kind == "refit":
            X, g, Y = data
            model = hd.fit_arrays(Y[:, 0], X, terms=hd.RandomTerm(g, X))
            return Fit(lambda: (model, model.refit_many(Y, threads=1)), _read_responses, Y.shape[1])
        if shape.kind == "small":
            return Fit(
                lambda: [hd.fit_arrays(y, X, terms=hd.RandomTerm(g, X)) for y, X, g in data], _read_models, len(data)
            )
        return self.one(shape.formula, data)

    def one(self, formula: str, data: pd.DataFrame) -> Fit:
        import henderson as hd

        return Fit(lambda: [hd.lmer(formula, data)], _read_models)


def _read_models(models: list[Any]) -> dict[str, Any]:
    evaluations = float(np.mean([model.optimum.evaluations for model in models]))
    return {"criterion": sum(model.criterion for model in models[:FEW]), "evaluations": evaluations}


def _read_responses(found: tuple[Any, Any]) -> dict[str, Any]:
    _, fits = found
    return {"criterion": float(fits.criterion[:FEW].sum()), "evaluations": float(fits.evaluations.mean())}


class Mixedlm(Package):
    name = "mixedlm"

    def prepare(self, shape: Shape, data: Any) -> Fit:
        if shape.kind != "refit":
            return super().prepare(shape, data)
        import mixedlm

        model = mixedlm.lmer(shape.formula, few_tables(shape, data)[0])
        responses = list(data[2].T[:FEW])
        return Fit(
            lambda: [model.refit(y) for y in responses],
            lambda found: summed([self._read(each) for each in found]),
            len(responses),
        )

    def one(self, formula: str, data: pd.DataFrame) -> Fit:
        import mixedlm

        return Fit(lambda: mixedlm.lmer(formula, data), self._read)

    @staticmethod
    def _read(model: Any) -> dict[str, Any]:
        return {"criterion": float(model.REMLcrit()), "evaluations": model.function_evals}


class GPBoost(Package):
    """It maximises the likelihood; each effect of a level has a variance of its own and no correlations."""

    name = "gpboost"

    def one(self, formula: str, data: pd.DataFrame) -> Fit:
        import gpboost

        from henderson.design import build_design

        design = build_design(formula, data)
        if any(len(term.columns) > 1 for term in design.terms):
            raise CannotFitError("has no correlated random effects")
        y, X = design.y, design.x_matrix()
        with_intercept = {term.factor for term in design.terms if term.columns[0] is None}
        slopes = [t for t, term in enumerate(design.terms) if term.columns[0] is not None]
        options: dict[str, Any] = {"group_data": np.column_stack([factor.codes for factor in design.factors])}
        if slopes:
            options["group_rand_coef_data"] = np.column_stack([design.z_matrix(t) for t in slopes])
            options["ind_effect_group_rand_coef"] = [design.terms[t].factor + 1 for t in slopes]
            left_out = [factor not in with_intercept for factor in range(len(design.factors))]
            options["drop_intercept_group_rand_effect"] = left_out if any(left_out) else None
        intercepts = {term.factor: t for t, term in enumerate(design.terms) if term.columns[0] is None}
        order = [*(intercepts[factor] for factor in sorted(intercepts)), *slopes]

        def call() -> Any:
            model = gpboost.GPModel(likelihood="gaussian", **options)
            model.fit(y=y, X=X)
            return model

        def read(model: Any) -> dict[str, Any]:
            variances = np.asarray(model.get_cov_pars(), dtype=float).ravel()
            theta = np.empty(len(order))
            theta[order] = np.sqrt(variances[1 : 1 + len(order)] / variances[0])
            return {"criterion": None, "evaluations": None, "theta": theta.tolist()}

        return Fit(call, read)


class Statsmodels(Package):
    """Correlated effects for one factor; otherwise variance components, dense within each group of the outermost."""

    name = "statsmodels"

    def one(self, formula: str, data: pd.DataFrame) -> Fit:
        from statsmodels.regression.mixed_linear_model import MixedLM

        from henderson.design import build_design

        design = build_design(formula, data)
        options: dict[str, Any] = {}
        if len(design.terms) == 1:
            groups, options["exog_re"] = design.factors[0].codes, design.z_matrix(0)
        elif any(len(term.columns) > 1 for term in design.terms):
            raise CannotFitError("has correlated effects of one factor only")
        else:
            groups, options = _components(design)
        y, X = design.y, design.x_matrix()
        return Fit(
            lambda: MixedLM(y, X, groups, **options).fit(reml=True),
            lambda found: {"criterion": -2 * float(found.llf), "evaluations": None},
        )


def _components(design: Any) -> tuple[Any, dict[str, Any]]:
    """Groups that share no random effect, and statsmodels' description of the variance components in them."""
    from statsmodels.regression.mixed_linear_model import VCSpec

    outermost = min(range(len(design.factors)), key=lambda f: design.factors[f].n_levels)
    top = design.factors[outermost]
    pairs = [np.unique(f.codes.astype(np.int64) * top.n_levels + top.codes) for f in design.factors]
    is_nested = all(len(pair) == f.n_levels for pair, f in zip(pairs, design.factors, strict=True))
    groups = top.codes if is_nested else np.zeros(design.n, dtype=np.int32)
    columns = sum(
        np.bincount(pairs[term.factor] % top.n_levels)
        if is_nested
        else np.array([design.factors[term.factor].n_levels])
        for term in design.terms
    )
    if 8 * float(np.bincount(groups) @ columns) > DENSE_BYTES:
        raise CannotFitError("needs dense matrices of rows by levels, over 1 GB")
    rows = [np.flatnonzero(groups == group) for group in range(int(groups.max()) + 1)]
    components = [(t, term) for t, term in enumerate(design.terms) if not (is_nested and _is_top(term, outermost))]
    mats = [[_dummies(design, t, within) for within in rows] for t, _ in components]
    names = [f"{term.group} {term.names[0]}" for _, term in components]
    labels = [[[str(k) for k in range(each.shape[1])] for each in of_term] for of_term in mats]
    options: dict[str, Any] = {"exog_vc": VCSpec(names, labels, mats)}
    if len(components) < len(design.terms):
        options["exog_re"] = np.ones((design.n, 1))
    return groups, options


def _is_top(term: Any, outermost: int) -> bool:
    return bool(term.factor == outermost and term.columns[0] is None)


def _dummies(design: Any, term: int, rows: Any) -> Any:
    """The columns of Z of a term with one effect that are not zero in some rows, dense."""
    levels, codes = np.unique(design.factors[design.terms[term].factor].codes[rows], return_inverse=True)
    dense = np.zeros((len(rows), len(levels)))
    dense[np.arange(len(rows)), codes] = design.z_matrix(term)[rows, 0]
    return dense


class Lme4(Package):
    """A running R process, which times itself: starting R and passing data do not count."""

    name = "lme4"
    script = Path(__file__).with_name("lme4_server.R")

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["Rscript", "--vanilla", str(self.script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def prepare(self, shape: Shape, data: Any) -> Fit:
        if shape.kind == "formula":
            self._load(data[used_columns(shape.formula, data)])
            request, fits = ("fit", shape.formula), 1
        elif shape.kind == "refit":
            tables = few_tables(shape, data)
            request, fits = ("refit", shape.formula, str(len(tables))), len(tables)
            self._load(tables[0].assign(**{f"y{k}": table["y"] for k, table in enumerate(tables, start=1)}))
        else:
            tables = few_tables(shape, data)
            request, fits = ("small", shape.formula), len(tables)
            self._load(pd.concat([table.assign(table=float(k)) for k, table in enumerate(tables)], ignore_index=True))

        def read(answer: str) -> dict[str, Any]:
            seconds, criterion, evaluations = map(float, answer.split())
            return {"seconds": seconds, "criterion": criterion, "evaluations": evaluations / fits}

        return Fit(lambda: self._ask(*request), read, fits)

    def _load(self, data: pd.DataFrame) -> None:
        """Pass a table by files; whatever is not a number becomes a factor."""
        with tempfile.TemporaryDirectory() as folder:
            specs = []
            for name, column in data.items():
                if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiu":
                    column.to_numpy(np.float64).tofile(Path(folder) / str(name))
                    specs.append(f"{name}:double")
                else:
                    codes = column.astype("category").cat.remove_unused_categories().cat
                    codes.codes.to_numpy(np.int32).tofile(Path(folder) / str(name))
                    specs.append(f"{name}:integer:{len(codes.categories)}")
            self._ask("load", folder, *specs)

    def _ask(self, *words: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\t".join(words) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer or answer.startswith("error"):
            raise RuntimeError(answer.removeprefix("error ") or "R ended")
        return answer

    def close(self) -> None:
        self._process.communicate()


def used_columns(formula: str, data: pd.DataFrame) -> list[str]:
    """The columns of a table that a formula names."""
    words = set("".join(c if c.isalnum() or c in "._" else " " for c in formula).split())
    return [str(name) for name in data.columns if name in words]


def few_tables(shape: Shape, data: Any) -> list[pd.DataFrame]:
    """The first of the data sets of a shape with many, as tables."""
    if shape.kind == "refit":
        X, g, Y = data
        parts = [(y, X, g) for y in Y.T[:FEW]]
    else:
        parts = data[:FEW]
    return [pd.DataFrame({"y": y, "x": X[:, 1], "g": pd.Categorical(g)}) for y, X, g in parts]


def summed(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Criteria added, evaluations averaged."""
    evaluations = [part["evaluations"] for part in parts]
    return {
        "criterion": sum(part["criterion"] for part in parts),
        "evaluations": None if None in evaluations else float(np.mean(evaluations)),
    }


ALL = (Henderson, Mixedlm, GPBoost, Statsmodels, Lme4)
BY_NAME: dict[str, type[Package]] = {package.name: package for package in ALL}


def installed() -> dict[str, str]:
    """Names and versions of the packages on this machine, henderson first; of R also how it was built."""
    import henderson

    found = {"henderson": henderson.__version__}
    for package in (Mixedlm, GPBoost, Statsmodels):
        if importlib.util.find_spec(package.name):
            found[package.name] = importlib.metadata.version(package.name)
    if version := _in_r('cat(as.character(packageVersion("lme4")))'):
        found["lme4"] = version
    return found


def r_build() -> str:
    """Version of R and its BLAS."""
    return _in_r('cat(R.version.string, "BLAS", basename(extSoftVersion()[["BLAS"]]))')


def _in_r(code: str) -> str:
    if not shutil.which("Rscript"):
        return ""
    done = subprocess.run(["Rscript", "--vanilla", "-e", code], check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""
