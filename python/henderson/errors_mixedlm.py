"""Texts about models given in statsmodels' way: groups, formulas of random effects, options. As in `errors`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from henderson.errors import DataError, FormulaError, _listing, _nearest, _quoted

Span = tuple[int, int]

# ------------------------------------------------------------------------------------------------------------ formulas


def random_term_in_formula(text: str, span: Span) -> FormulaError:
    return FormulaError(
        "mixedlm() takes random effects from groups=, re_formula= and vc_formula=. Give them there, or write the whole "
        "model for henderson.lmer().",
        text,
        span,
    )


def dot_in_formula(text: str, span: Span) -> FormulaError:
    return FormulaError("'.' means nothing in statsmodels' formulas: name the columns.", text, span)


def function_unknown(name: str, available: Sequence[str], text: str, span: Span) -> FormulaError:
    hint = _nearest(name, available)
    return FormulaError(
        f"Unknown function {name}().{hint} Functions of the calling program are not seen: pass it in "
        "context={'" + name + "': ...}, or compute the column beforehand.",
        text,
        span,
    )


def contrasts_unknown(name: str, known: Sequence[str], text: str, span: Span) -> FormulaError:
    listed = ", ".join(one for one in known if one[0].isupper())
    return FormulaError(
        f"Unknown contrasts {name}.{_nearest(name, known)} Use {listed}, or pass a matrix in context=.", text, span
    )


def not_text(what: str, value: Any, example: str) -> DataError:
    return DataError(f"{what} is {_quoted(value)} ({type(value).__name__}); it must be text such as {example!r}.")


def one_sided(what: str, text: str, span: Span) -> FormulaError:
    return FormulaError(f"{what} has no response: write only the effects, such as '1 + x'.", text, span)


def no_bars(what: str, text: str, span: Span) -> FormulaError:
    return FormulaError(f"{what} has no bars: groups= says what the effects vary over.", text, span)


def no_effects(what: str, text: str) -> FormulaError:
    return FormulaError(f"{what} has no effect: write at least '1'.", text)


# -------------------------------------------------------------------------------------------------- variance components


def vc_type(value: Any) -> DataError:
    return DataError(
        f"vc_formula is {_quoted(value)} ({type(value).__name__}); it must be a dict of formulas by name, such as "
        "{'class': '0 + C(class)'}."
    )


def vc_intercept(name: str, text: str) -> FormulaError:
    return FormulaError(
        f"Variance component {name!r} has an intercept beside its terms, with the same variance, and then contrasts in "
        "place of one effect for each level. Write '0 + ...' for the terms, and the intercept in re_formula or as a "
        "component of its own.",
        text,
        (0, len(text)),
    )


def vc_terms(name: str, terms: Sequence[str], text: str) -> FormulaError:
    return FormulaError(
        f"Variance component {name!r} has the terms {_listing(terms)} with one variance in common, which henderson "
        "does not fit. Give each term a component, and so a variance, of its own.",
        text,
        (0, len(text)),
    )


def vc_columns(name: str, columns: Sequence[str], text: str) -> FormulaError:
    return FormulaError(
        f"Variance component {name!r} has {len(columns)} numeric columns ({_listing(columns)}) with one variance in "
        "common, which henderson does not fit. Put it into re_formula, or give each column a component of its own.",
        text,
        (0, len(text)),
    )


def vc_contrasts(name: str, text: str, span: Span) -> FormulaError:
    return FormulaError(
        f"Variance component {name!r} needs one effect for each level: leave out the contrasts, C(x).", text, span
    )


# -------------------------------------------------------------------------------------------------------------- groups


def one_group(what: str, group: Any) -> DataError:
    return DataError(
        f"There is one group only ({_quoted(group)}), and {what} varies over groups. With crossed factors in one group "
        "write each as a component, vc_formula={'a': '0 + C(a)', 'b': '0 + C(b)'}, and leave out re_formula."
    )


# ------------------------------------------------------------------------------------------------------------- options


def option_refused(name: str) -> DataError:
    instead = {
        "free": "For independent effects give each a component of its own, vc_formula={'x': '0 + x'}",
        "fe_pen": "There are no penalties",
        "cov_pen": "There are no penalties",
    }
    return DataError(f"{name}= changes the model and is not available. {instead[name]}.")


def option_elsewhere(name: str, instead: str) -> DataError:
    return DataError(f"mixedlm() has {instead}= in place of {name}=, as statsmodels has.")


def option_unknown(name: str, known: Sequence[str]) -> DataError:
    return DataError(f"mixedlm() has no option '{name}'.{_nearest(name, known)} Options: {_listing(known, 40)}.")


def rows_twice(name: str) -> DataError:
    return DataError(f"{name}= and newdata= are two names for the same thing: give one of them.")


def restriction_shape(shape: tuple[int, ...], columns: Sequence[str]) -> DataError:
    return DataError(
        f"The restrictions have shape {shape}; they need {len(columns)} columns, in the order of fe_params: "
        f"{_listing(columns)}."
    )


def other_formula(formula: str) -> AttributeError:
    return AttributeError(f"The fit of '{formula}' was not made by mixedlm() and has lme4's names only.")
