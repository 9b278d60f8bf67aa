"""Checks of a fit that a person can read: is it the optimum, is it singular, can the data tell its parameters apart."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from henderson import errors_fit, errors_models
from henderson.formatting import format_number
from henderson.inference import identifiability
from henderson.inference.simplification import Simplification, suggest
from henderson.optimum import EXPECTED_DROP
from henderson.summary import term_label

if TYPE_CHECKING:
    import pandas as pd

    from henderson.model import LinearMixedModel

Matrix = NDArray[np.float64]

OK, NOTE, PROBLEM = "ok", "note", "problem"
CLOSE = 1e-4
"""A covariance matrix of full rank is close to singular when a direction has this share of the variance or less."""
ZERO = 1e-6
"""Standard deviations and directions smaller than this, relative to the largest, are zero."""
WIDTH = 88


@dataclass(frozen=True, eq=False)
class Finding:
    """What one check found.

    Attributes
    ----------
    check
        "Optimum", "Covariances", "Identification", "Fixed effects" or "Groups".
    level
        "ok", "note" or "problem".
    texts
        Sentences.
    numbers
        What they rest on, by name.
    """

    check: str
    level: str
    texts: tuple[str, ...]
    numbers: dict[str, float]


@dataclass(frozen=True, eq=False)
class ModelCheck:
    """The report of ``fit.check()``: print it.

    Attributes
    ----------
    formula
        Of the model.
    findings
        One for each check.
    suggestion
        A simpler model, for a singular fit.
    """

    formula: str
    findings: tuple[Finding, ...]
    suggestion: Simplification | None

    @property
    def ok(self) -> bool:
        """Whether no check found a problem; notes do not count."""
        return all(finding.level != PROBLEM for finding in self.findings)

    def to_frame(self) -> pd.DataFrame:
        """The numbers: a row for each, with the columns check, level, item and value."""
        import pandas as pd

        rows = [(f.check, f.level, item, value) for f in self.findings for item, value in f.numbers.items()]
        return pd.DataFrame(rows, columns=["check", "level", "item", "value"])

    def __str__(self) -> str:
        lines = [self._title(), ""]
        for finding in self.findings:
            start = f"  {finding.level:<8}{finding.check:<16}"
            for text in finding.texts:
                lines += _wrapped(start, text)
                start = " " * len(start)
        lines += ["", *self._conclusion()]
        return "\n".join(lines)

    def _title(self) -> str:
        return f"Check of {self.formula}"

    def _conclusion(self) -> list[str]:
        if self.suggestion is not None:
            start = "Simpler: "
            return [*_wrapped(start, self.suggestion.formula), *_wrapped(" " * len(start), f"({self.suggestion.text})")]
        levels = {finding.level for finding in self.findings}
        if PROBLEM in levels:
            is_singular = any(finding.check == "Covariances" and finding.level == PROBLEM for finding in self.findings)
            return ["No simpler random part does as well by AIC." if is_singular else "There are problems."]
        return ["Worth knowing, but no problem."] if NOTE in levels else ["Nothing needs attention."]

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{finding.level}</td><th style='text-align: left'>{finding.check}</th>"
            f"<td style='text-align: left'>{'<br>'.join(map(escape, finding.texts))}</td></tr>"
            for finding in self.findings
        )
        end = "<br>".join(escape(line) for line in self._conclusion())
        title = f"<p>{escape(self._title())}</p>"
        return f"<div class='henderson'>{title}<table>{rows}</table><p>{end}</p></div>"


def _wrapped(start: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False)


def check(model: LinearMixedModel) -> ModelCheck:
    """Check convergence, singularity, identifiability, collinearity and group sizes of a fit.

    Returns
    -------
    ModelCheck
        Print it. ``.ok`` says whether there is a problem, ``.to_frame()`` gives the numbers.

    Notes
    -----
    Optimum: the decrement g'H⁻¹g / 2 is by how much the criterion would still fall in a Newton step; at the boundary
    the slope into the interior must not be negative. Covariances: eigenvalues of D Sigma D with D the root mean squares
    of the columns, so that units do not matter. Fixed effects: ratio of the largest to the smallest singular value of
    the columns of X scaled to length one [1]; above 30 the columns with most of their variance in the weakest direction
    are named. For a singular fit simpler models are fitted, and the best is suggested.

    References
    ----------
    1. Belsley, D. A., Kuh, E. and Welsch, R. E. (1980). Regression Diagnostics. Wiley, New York.

    Examples
    --------
    >>> import henderson as hd
    >>> fit = hd.lmer("angle ~ recipe + temp + (temp | recipe:replicate)", hd.datasets.load_cake())
    >>> report = fit.check()
    >>> report.ok, report.suggestion.formula
    (False, 'angle ~ recipe + temp + (temp || recipe:replicate)')
    """
    findings = (_optimum(model), _covariances(model), _identification(model), _fixed_effects(model), _groups(model))
    return ModelCheck(model.formula, findings, suggest(model))


def _optimum(model: LinearMixedModel) -> Finding:
    found = model.optimum
    certificate = found.certificate
    numbers = {
        "expected_drop": found.decrement,
        "gradient_norm": found.gradient_norm,
        "evaluations": float(found.evaluations),
    }
    if not np.isnan(certificate.curvature):
        numbers["slope_into_interior"] = certificate.curvature
    if not found.converged:
        text = errors_fit.not_converged_note(found.status, found.evaluations, found.decrement)
    elif certificate.holds:
        text = errors_models.certified(EXPECTED_DROP, _power_above(found.gradient_norm), certificate.curvature)
    else:
        text = f"{certificate}."
    return Finding("Optimum", OK if certificate.holds else PROBLEM, (text,), numbers)


def _power_above(value: float) -> float:
    """The next power of ten: digits of what is zero but for rounding say nothing."""
    return float(10.0 ** np.ceil(np.log10(value))) if value > 0 else 0.0


def _covariances(model: LinearMixedModel) -> Finding:
    level, texts = OK, []
    numbers: dict[str, float] = {}
    for t, (term, covariance) in enumerate(zip(model.design.terms, model.varcorr.terms, strict=True)):
        rank, size = model.optimum.ranks[t], len(term.names)
        scale = np.sqrt(np.diag(model.row_facts.mean_products[t]))
        scaled = covariance.covariance * np.outer(scale, scale)
        values, directions = np.linalg.eigh(scaled)
        values = np.maximum(values, 0.0)[::-1]
        label = f"({term_label(term.names, term.group)})"
        numbers[f"{term.label}.rank"] = float(rank)
        numbers |= {f"{term.label}.eigenvalue{i + 1}": float(value) for i, value in enumerate(values)}
        if rank < size:
            level = PROBLEM
            words = null_directions(term.names, term.group, scaled, directions[:, : size - rank], scale)
            texts.append(f"{label} has rank {rank} of {size}: {'; '.join(words)}.")
            continue
        shown = ", ".join(format_number(value, 3) for value in values)
        texts.append(f"{label} has full rank, {'eigenvalues' if size > 1 else 'variance'} {shown}.")
        if values[-1] < CLOSE * values.sum():
            level = level if level == PROBLEM else NOTE
            texts.append(errors_models.nearly_singular(label, values[-1] / values.sum()))
    return Finding("Covariances", level, tuple(texts), numbers)


def null_directions(names: tuple[str, ...], group: str, covariance: Matrix, null: Matrix, scale: Any) -> list[str]:
    """What does not vary, in words: single effects, pairs that move together, or the combinations `null` (s, d)."""
    sd = np.sqrt(np.diag(covariance))
    zero = sd <= ZERO * max(sd.max(), np.finfo(float).tiny)
    words = (
        [errors_models.zero_variance([n for n, z in zip(names, zero, strict=True) if z], group)] if zero.any() else []
    )
    found = int(zero.sum())
    together: set[int] = set()
    for a in range(len(names)):
        for b in range(a):
            correlation = 0.0 if zero[a] or zero[b] else covariance[a, b] / (sd[a] * sd[b])
            if a not in together and abs(correlation) > 1.0 - ZERO:
                words.append(errors_models.perfect_correlation(names[a], names[b], group, correlation))
                together.add(a)
    if found + len(together) < null.shape[1]:
        weights = null[:, 0] * scale
        weights = weights / weights[np.argmax(np.abs(null[:, 0]))]
        pieces = [
            name if w == 1.0 else f"{format_number(w, 3)} {name}"
            for name, w, share in zip(names, weights, null[:, 0], strict=True)
            if abs(share) > 1e-3
        ]
        words.append(errors_models.no_variation(" + ".join(pieces).replace("+ -", "- "), group))
    return words


def _identification(model: LinearMixedModel) -> Finding:
    problems = identifiability.confounded(model)
    notes = identifiability.weak_terms(model.design)
    information = model.information
    numbers = {"information.rank": float(information.rank), "information.size": float(len(information.hessian))}
    if not problems and not notes:
        return Finding("Identification", OK, ("Every variance can be told from the others.",), numbers)
    return Finding("Identification", PROBLEM if problems else NOTE, (*problems, *notes), numbers)


def _fixed_effects(model: LinearMixedModel) -> Finding:
    found = identifiability.collinearity(model)
    count = len(model.kept)
    numbers = {"columns": float(count), "aliased": float(len(model.aliased)), "condition_number": found.condition}
    texts = [errors_fit.aliased_note(model.aliased)] if model.aliased else []
    if found.condition > identifiability.COLLINEAR:
        texts.append(errors_models.collinear(found.names, found.condition))
    if texts:
        return Finding("Fixed effects", NOTE, tuple(texts), numbers)
    columns = (
        "No column."
        if not count
        else "1 column."
        if count == 1
        else (f"{count} columns, condition number {format_number(found.condition, 3)}.")
    )
    return Finding("Fixed effects", OK, (columns,), numbers)


def _groups(model: LinearMixedModel) -> Finding:
    texts: list[str] = []
    numbers: dict[str, float] = {}
    is_ok = True
    for factor in model.design.factors:
        sizes = identifiability.sizes(factor, model.design.n)
        numbers |= {
            f"{sizes.name}.levels": float(sizes.levels),
            f"{sizes.name}.smallest": float(sizes.smallest),
            f"{sizes.name}.largest": float(sizes.largest),
            f"{sizes.name}.mean": sizes.mean,
            f"{sizes.name}.weighted": sizes.weighted,
        }
        concerns = sizes.concerns()
        is_ok = is_ok and not concerns
        texts += concerns or [f"{sizes.text}."]
    return Finding("Groups", OK if is_ok else NOTE, tuple(texts), numbers)
