"""Printed fits: lme4's layout to the character, notes for what the user should know, and the other formats."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import henderson
from cases import BY_NAME, Case
from henderson.formatting import abbreviate, format_column, matrix, named_vector, zapsmall

GOLDEN = Path(__file__).parent / "golden"

EXTRA = (
    Case("aliased", "sleepstudy", "Reaction ~ Days + I(2 * Days) + (1 | Subject)", factors=("Subject",)),
    Case("quadratic", "sleepstudy", "Reaction ~ Days + (Days + I(Days^2) | Subject)", factors=("Subject",)),
    Case("no_intercept", "sleepstudy", "Reaction ~ 0 + Days + (0 + Days | Subject)", factors=("Subject",)),
    Case(
        "many_effects",
        "cake",
        "angle ~ recipe * temperature + (1 | replicate) + (1 | recipe:replicate)",
        factors=("replicate", "temperature"),
    ),
)
ALL = BY_NAME | {case.name: case for case in EXTRA}


def fit(name, **options):
    case = ALL[name]
    data = case.data().copy()
    data.attrs["name"] = case.table
    return henderson.lmer(case.formula, data, **case.options(), **options)


def golden(name):
    return (GOLDEN / name).read_text(encoding="utf-8").rstrip("\n")


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.summary.txt")), ids=lambda path: path.name.split(".")[0])
def test_summary_is_printed_as_lmertest_prints_it(path):
    assert str(fit(path.name.split(".")[0]).summary()) == golden(path.name)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.lme4.txt")), ids=lambda path: path.name.split(".")[0])
def test_summary_without_tests_is_printed_as_lme4_prints_it(path):
    assert str(fit(path.name.split(".")[0]).summary(ddf=None)) == golden(path.name)


def test_printing_a_fit_computes_no_degrees_of_freedom():
    result = fit("sleepstudy")
    str(result)
    assert "information" not in result.__dict__
    str(result.summary())
    assert "information" in result.__dict__


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.print.txt")), ids=lambda path: path.name.split(".")[0])
def test_fit_is_printed_as_lme4_prints_it(path):
    result = fit(path.name.split(".")[0])
    assert str(result) == golden(path.name)
    assert repr(result) == str(result)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.varcorr.txt")), ids=lambda path: path.name.split(".")[0])
def test_varcorr_is_printed_as_lme4_prints_it(path):
    assert str(fit(path.name.split(".")[0]).varcorr) == golden(path.name)


def test_correlations_are_left_out_above_twelve_fixed_effects_unless_asked_for():
    many = fit("many_effects")
    assert "Correlation matrix not shown by default, as p = 18 > 12." in str(many.summary())
    shown = str(many.summary(correlation=True))
    assert "Correlation of Fixed Effects:" in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_correlations_are_left_out_when_not_wanted():
    assert "Correlation of Fixed Effects" not in str(fit("sleepstudy").summary(correlation=False))


def test_a_single_fixed_effect_has_no_correlations():
    assert "Correlation" not in str(fit("penicillin").summary(correlation=True))


def test_singular_fit_says_so_and_what_to_do():
    text = " ".join(str(fit("dyestuff2_singular").summary()).split())
    assert "Boundary (singular) fit: the variance of (1 | Batch) is zero" in text
    assert "What to do" in text


def test_regular_fit_has_no_notes():
    assert fit("sleepstudy").summary().notes == ()


def test_unconverged_fit_says_so_and_what_to_do():
    with pytest.warns(henderson.ConvergenceWarning, match="evaluation limit.*raise max_evaluations"):
        result = fit("sleepstudy", max_evaluations=2)
    assert not result.converged
    assert "Not converged (evaluation limit after 2 evaluations)" in str(result.summary())
    assert "raise max_evaluations" in " ".join(str(result).split())


def test_dropped_columns_are_named():
    result = fit("aliased")
    assert "I(2 * Days)" in " ".join(str(result.summary()).split()).partition("rank deficient")[2]


def test_dropped_rows_are_counted():
    data = ALL["sleepstudy"].data().copy()
    data.loc[[3, 17, 99], "Days"] = np.nan
    text = str(henderson.lmer("Reaction ~ Days + (Days | Subject)", data).summary())
    assert "Number of obs: 177, groups:  Subject, 18\n(3 rows with missing values dropped)" in text


def test_text_ends_no_line_with_blanks():
    for line in str(fit("quadratic").summary()).splitlines():
        assert line == line.rstrip()


def test_long_formulas_wrap():
    text = str(fit("many_effects"))
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "(1 | recipe:replicate)" in " ".join(text.split())


def test_data_line_needs_a_name():
    case = ALL["sleepstudy"]
    assert "Data:" not in str(henderson.lmer(case.formula, case.data()))
    assert "   Data: sleepstudy\n" in str(fit("sleepstudy"))


def test_coefficients_are_a_table():
    table = fit("sleepstudy").summary().coefficients
    assert list(table.columns) == ["estimate", "std_error", "df", "statistic", "p_value"]
    assert list(table.index) == ["(Intercept)", "Days"]
    pd.testing.assert_series_equal(table["statistic"], table["estimate"] / table["std_error"], check_names=False)


def test_a_model_without_fixed_effects_is_printed():
    data = ALL["sleepstudy"].data()
    result = henderson.lmer("Reaction ~ 0 + (1 | Subject)", data)
    assert "No fixed effect coefficients" in str(result)
    assert "Fixed effects" not in str(result.summary())
    assert len(result.fixef) == len(result.vcov) == len(result.confint()) == 0


def test_digits_can_be_chosen():
    line = next(line for line in str(fit("sleepstudy").summary(digits=6)).splitlines() if line.startswith("Days"))
    assert line.split() == ["Days", "10.46729", "1.54579", "17.00000", "6.77148", "3.2638e-06", "***"]


# ------------------------------------------------------------------------------------------------------- other formats


def test_notebooks_show_tables():
    html = fit("quadratic")._repr_html_()
    assert html.count("<table>") == html.count("</table>") == 3
    for part in ("Linear mixed model fit by REML", "I(Days^2)", "Residual", "t value", "-0.91"):
        assert part in html


def test_summaries_show_as_tables_too():
    summary = fit("sleepstudy").summary()
    assert summary._repr_html_() == summary.to_html() == fit("sleepstudy")._repr_html_()
    assert repr(summary) == str(summary)


def test_html_escapes_names():
    data = ALL["sleepstudy"].data().rename(columns={"Days": "<b>"})
    html = henderson.lmer("Reaction ~ `<b>` + (1 | Subject)", data)._repr_html_()
    assert "<b>" not in html
    assert "&lt;b&gt;" in html


def test_varcorr_shows_a_table_in_notebooks():
    assert fit("sleepstudy").varcorr._repr_html_().count("<tr>") == 4


def test_markdown_tables_are_rectangular():
    text = fit("quadratic").summary().to_markdown()
    tables = re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE)
    assert len(tables) == 2
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "| Days | 10.491 | 1.546 | 17.000 | 6.788 | 3.17e-06 |" in text


def test_latex_escapes_names_and_balances_environments():
    text = fit("quadratic").summary().to_latex()
    assert r"I(Days\textasciicircum{}2)" in text
    for environment in ("table", "tabular"):
        assert text.count(rf"\begin{{{environment}}}") == text.count(rf"\end{{{environment}}}")
    assert "$-$0.91" in text
    assert "_" not in text.replace(r"\_", "")


def test_every_format_repeats_the_notes():
    summary = fit("dyestuff2_singular").summary()
    for text in (summary.to_html(), summary.to_latex(), summary.to_markdown()):
        assert "Boundary (singular) fit" in text


# ------------------------------------------------------------------------------------------------ R's number formatting


@pytest.mark.parametrize(
    "values, digits, shown",
    [
        ((612.0897, 35.0717, 654.941), 4, "612.09| 35.07|654.94"),
        ((1e-10, 1), 4, "1e-10|1e+00"),
        ((123456789, 1), 4, "123456789|        1"),
        ((1e10, 1e12), 4, "1e+10|1e+12"),
        ((0, 0), 4, "0|0"),
        ((1e5, 2e5), 4, "1e+05|2e+05"),
        ((123456,), 4, "123456"),
        ((1234567.8,), 4, "1234568"),
        ((0.00001234, 0.1), 4, "1.234e-05|1.000e-01"),
        ((0.1 + 0.2, 0.3), 7, "0.3|0.3"),
        ((-1.5, float("nan"), float("inf")), 4, "-1.5| NaN| Inf"),
        ((99999.7,), 4, "1e+05"),
        ((1e15, 1), 4, "1e+15|1e+00"),
        ((3.14159e-300,), 4, "3.142e-300"),
        ((2.5e-7, 3), 4, "2.5e-07|3.0e+00"),
        ((0.00012345,), 4, "0.0001234"),
        ((10.5, 100000), 7, "    10.5|100000.0"),
        ((float("nan"),), 4, "NaN"),
        ((), 4, ""),
    ],
)
def test_columns_are_formatted_as_by_r(values, digits, shown):
    assert "|".join(format_column(values, digits)) == shown


def test_small_values_are_zapped_relative_to_the_largest():
    assert zapsmall([1e-20, 1.23456, float("nan")], 4)[:2] == [0.0, 1.2346]
    assert zapsmall([0.0, 0.0], 4) == [0.0, 0.0]


@pytest.mark.parametrize(
    "length, shown",
    [
        (6, "(Intr) Days rcpB:t TrtmnH TrtmnL sr1:10 sr1:11 I(D^2) tmpr.L a_l___ ABCDEF"),
        (
            11,
            "(Intercept) Days recipeB:tmp TreatmntHgh TreatmentLw srvc1:dpt10 srvc1:dpt11 I(Days^2) temperatr.L "
            "a_lng_lwr__ ABCDEFGHIJK",
        ),
    ],
)
def test_names_are_abbreviated_as_by_r(length, shown):
    names = [
        "(Intercept)",
        "Days",
        "recipeB:temp",
        "TreatmentHigh",
        "TreatmentLow",
        "service1:dept10",
        "service1:dept11",
        "I(Days^2)",
        "temperature.L",
        "a_long_lower_case_name",
        "ABCDEFGHIJKLMNOP",
    ]
    assert abbreviate(names, length) == shown.split()


def test_abbreviations_stay_distinct():
    names = ["conditionincongruent:age_group_old", "conditionincongruent:age_group_oldest"]
    assert abbreviate(names, 6) == ["condtnncngrnt:g_grp_ld", "cndtnncngrnt:g_grp_lds"]


def test_words_keep_a_letter_each():
    names = ["poly(Days, 2)1", "poly(Days, 2)2", "log(x + 1)"]
    assert abbreviate(names, 6) == ["p(D,2)1", "p(D,2)2", "lg(+1)"]


def test_wide_tables_continue_below():
    lines = matrix(["a", "b"], ["x" * 30, "y" * 30, "z" * 30], [["1", "2"]] * 3)
    assert len(lines) == 6
    assert max(map(len, lines)) <= 80


def test_named_vectors_fill_the_width():
    assert named_vector(["a", "b"], ["1.5", "2.5"]) == ["  a   b ", "1.5 2.5 "]
    assert len(named_vector([f"coefficient{i}" for i in range(10)], ["1.0"] * 10, gap=2)) == 4
