"""Regression tables: which numbers they show, in which order, and that every format holds all of them."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from cases import BY_NAME

NAMES = ("sleepstudy_intercept", "sleepstudy", "sleepstudy_uncorrelated")


def fit(name, **options):
    case = BY_NAME[name]
    return hd.lmer(case.formula, case.data(), **case.options() | options)


@pytest.fixture(scope="module")
def fits():
    return [fit(name) for name in NAMES]


@pytest.fixture(scope="module")
def table(fits):
    return hd.regression_table(fits, caption="Sleep & 1_000")


def cells(table, part, row):
    return table.to_cells().loc[[(part, row)]].iloc[0].tolist()


def test_the_table_in_print(fits):
    assert "\n" + str(hd.regression_table(fits[:2])) + "\n" == PRINTED


PRINTED = """
====================================================
                                       (1)       (2)
                                  Reaction  Reaction
----------------------------------------------------
Fixed effects
  (Intercept)                      251.41    251.41
                                    (9.75)    (6.82)
  Days                             10.467    10.467
                                   (0.804)   (1.546)
----------------------------------------------------
Random effects
  Subject: SD (Intercept)           37.12     24.74
  Subject: SD Days                             5.92
  Subject: Cor (Intercept), Days              0.066
  Residual: SD                      30.99     25.59
----------------------------------------------------
Number of groups
  Subject                              18        18
----------------------------------------------------
Fit
  ICC                               0.589     0.722
  R² marginal                       0.280     0.279
  R² conditional                    0.704     0.799
  Observations                        180       180
  Log-likelihood                   -893.2    -871.8
  AIC                              1794.5    1755.6
  BIC                              1807.2    1774.8
  Method                             REML      REML
====================================================
Standard errors in parentheses.
"""


# ------------------------------------------------------------------------------------------------------- what is shown


def test_estimates_are_those_of_the_fits_to_the_digits_of_their_standard_errors(fits, table):
    for name in ("(Intercept)", "Days"):
        shown = np.array(cells(table, "Fixed effects", name), dtype=float)
        exact = np.array([model.fixef[name] for model in fits])
        errors = np.array([model.stderror[name] for model in fits])
        assert (np.abs(shown - exact) <= 0.01 * errors).all()


def test_random_effects_of_all_terms_are_matched_by_group_and_effect(table):
    assert cells(table, "Random effects", "Subject: SD Days") == ["", "5.92", "5.99"]
    assert cells(table, "Random effects", "Subject: Cor (Intercept), Days") == ["", "0.066", ""]
    assert cells(table, "Number of groups", "Subject") == ["18", "18", "18"]


def test_terms_that_repeat_an_effect_have_lines_of_their_own():
    data = BY_NAME["sleepstudy"].data()
    twice = hd.regression_table(hd.lmer("Reaction ~ Days + (1 | Subject) + (Days | Subject)", data))
    rows = [row.label for part in twice.parts for row in part.rows if "SD (Intercept)" in row.label]
    assert rows == ["Subject: SD (Intercept)", "Subject.1: SD (Intercept)"]


def test_crossed_and_nested_groups_have_their_numbers():
    shown = hd.regression_table([fit("pastes_nested"), fit("penicillin")])
    assert cells(shown, "Number of groups", "cask:batch") == ["30", ""]
    assert cells(shown, "Number of groups", "plate") == ["", "24"]
    assert cells(shown, "Random effects", "Residual: SD") == ["0.8234", "0.5499"]


def test_variances_and_their_standard_errors(fits):
    shown = hd.regression_table(fits, random="variance", random_std_error=True).to_cells().loc["Random effects"]
    place = shown.index.get_loc("Subject: Var (Intercept)")
    reference = fits[1].variance_parameters().to_frame().iloc[0]
    assert float(shown.iloc[place, 1]) == pytest.approx(reference["estimate"], rel=1e-3)
    assert float(shown.iloc[place + 1, 1].strip("()")) == pytest.approx(reference["std_error"], rel=1e-2)


def test_intervals_p_values_and_stars_are_those_of_the_rule_asked_for(fits):
    model = fits[1]
    shown = hd.regression_table(
        model, std_error=False, conf_int=True, p_value=True, stars=True, level=0.9, ddf="kenward-roger"
    )
    (estimate, limits, p_value) = (row.cells[0] for row in shown.parts[0].rows[3:])
    low, high = model.confint(0.9, ddf="kenward-roger").loc["Days"]
    assert estimate == "10.47***"
    assert limits == f"[{low:.2f}, {high:.2f}]"
    assert p_value == "p < 0.001"
    assert shown.notes == (
        "90 % confidence limits in brackets; * p < 0.05, ** p < 0.01, *** p < 0.001.",
        "Tests and intervals use Kenward-Roger's method.",
    )
    own = hd.regression_table(model, stars={"+": 1e-4, "!": 1e-30})
    assert own.parts[0].rows[2].cells == ("10.47+",)
    assert "*" not in str(hd.regression_table(model))


def test_robust_standard_errors_are_named(fits):
    shown = hd.regression_table(fits[0], vcov="CR2", conf_int=True)
    error = float(np.sqrt(fits[0].vcov(kind="CR2").loc["Days", "Days"]))
    assert shown.parts[0].rows[4].cells == (f"({error:.2f})",)
    assert "CR2 covariance by Subject" in " ".join(shown.notes)


def test_coefficients_are_chosen_ordered_and_named(fits):
    shown = hd.regression_table(fits, coefficients={"Days": "Days of deprivation", "(Intercept)": "Constant"})
    assert [row.label for row in shown.parts[0].rows] == ["Days of deprivation", "", "Constant", ""]
    only = hd.regression_table(fits, coefficients=["Days"], random=False, statistics=())
    assert [part.title for part in only.parts] == ["Fixed effects"]
    labelled = hd.regression_table(fit("cake"), labels={"temp": "°C", "recipe:replicate": "Mix", "angle": "Angle"})
    assert "recipeB:°C" in str(labelled)
    assert "Mix: SD (Intercept)" in str(labelled)
    assert labelled.responses == ("Angle",)


def test_effects_of_later_fits_come_where_they_belong():
    data = BY_NAME["cake"].data()
    small = hd.lmer("angle ~ recipe + recipe:temp + (1 | replicate)", data)
    large = hd.lmer("angle ~ recipe + temp + recipe:temp + (1 | replicate)", data)
    labels = [row.label for row in hd.regression_table([small, large]).parts[0].rows if row.label]
    assert labels[:4] == ["(Intercept)", "recipeB", "recipeC", "recipeA:temp"]
    assert labels.index("temp") < labels.index("recipeB:temp")


def test_numbers_of_very_different_scales_keep_their_own_digits():
    data = BY_NAME["sleepstudy"].data()
    tiny = hd.lmer("I(Reaction / 1e6) ~ Days + (1 | Subject)", data)
    huge = hd.lmer("I(Reaction * 1e9) ~ Days + (1 | Subject)", data)
    shown = hd.regression_table([tiny, huge, fit("sleepstudy_intercept")]).parts[0].rows
    assert shown[2].cells == ("1.05e-05", "1.05e+10", "10.4673")
    assert (shown[3].cells[0], shown[3].cells[2]) == ("(8.04e-07)", "(0.8042)")
    exact = 1e9 * fit("sleepstudy_intercept").stderror["Days"]
    assert float(shown[3].cells[1].strip("()")) == pytest.approx(exact, rel=1e-6)


def test_names_are_those_given(fits):
    assert hd.regression_table({"A": fits[0], "B": fits[1]}).names == ("A", "B")
    assert hd.regression_table(fits, names=["x", "y", "z"]).names == ("x", "y", "z")
    assert hd.regression_table(fits[0]).names == ("(1)",)


def test_the_table_of_numbers_is_that_of_tidy(fits, table):
    found = table.to_frame()
    assert found.columns[0] == "model"
    assert found["model"].drop_duplicates().tolist() == ["(1)", "(2)", "(3)"]
    own = fits[1].tidy(conf_int=True)
    pd.testing.assert_frame_equal(found[found["model"] == "(2)"][own.columns].reset_index(drop=True), own)


# --------------------------------------------------------------------------------------------------------------- notes


def test_likelihoods_that_do_not_compare_are_noted(fits):
    data = BY_NAME["sleepstudy"].data()

    def note(*models, **options):
        return " ".join(hd.regression_table(list(models), **options).notes)

    ml = fit("sleepstudy_ml")
    quadratic = hd.lmer("Reaction ~ Days + I(Days^2) + (Days | Subject)", data)
    short = hd.lmer("Reaction ~ Days + (Days | Subject)", data, subset="Days > 0")
    log = hd.lmer("log(Reaction) ~ Days + (Days | Subject)", data)
    assert "REML and by maximum likelihood stand side by side" in note(fits[1], ml)
    assert "Fitted by REML with different fixed effects" in note(fits[1], quadratic)
    assert "different numbers of rows" in note(fits[1], short)
    assert "different responses" in note(fits[1], log)
    assert note(*fits) == "Standard errors in parentheses."
    assert note(fits[1], ml, statistics=["nobs"]) == "Standard errors in parentheses."


def test_singular_fits_and_refits_for_kenward_roger_are_noted():
    shown = hd.regression_table({"zero": fit("dyestuff2_singular")})
    assert "Boundary (singular) fit: zero." in shown.notes
    ml = hd.regression_table({"ml": fit("sleepstudy_ml")}, ddf="kenward-roger")
    assert any(text.startswith("ml: ") and "REML" in text for text in ml.notes)


# -------------------------------------------------------------------------------------------------------------- formats


def wanted(table):
    return [cell for part in table.parts for row in part.rows for cell in row.cells if cell]


def test_html_is_well_formed_and_holds_every_cell(table):
    root = ElementTree.fromstring(table.to_html().replace("&minus;", "-"))
    rows = ["".join(cell.itertext()) for cell in root.iter("td")]
    assert [text for text in rows[:-1] if text] == wanted(table)
    assert root.find("caption").text == "Sleep & 1_000"
    assert table._repr_html_() == table.to_html()


def plain_latex(text):
    text = re.sub(r"\\rlap\{(.*?)\}", r"\1", text).replace("$-$", "-").replace(r"\textless{}", "<")
    return text.replace("$R^2$", "R²").replace(r"\_", "_").replace(r"\&", "&")


def test_latex_holds_every_cell_and_every_row_has_all_columns(table):
    source = table.to_latex(label="tab:sleep")
    assert source.count("{") == source.count("}")
    lines = [line for line in source.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.split(r"(?<!\\)&", line)) for line in lines} == {4}
    found = [cell.strip() for line in lines[2:] for cell in plain_latex(line[:-2]).split(" & ")[1:]]
    assert [cell for cell in found if cell.strip()] == wanted(table)
    assert r"\caption{Sleep \& 1\_000}" in source
    assert r"\label{tab:sleep}" in source
    for rule in ("toprule", "midrule", "bottomrule"):
        assert rf"\{rule}" in source


def test_latex_escapes_names():
    data = BY_NAME["sleepstudy"].data().assign(**{"50%_{x}^2 #$&~\\": np.sin(np.arange(180))})
    data["[x]"] = np.cos(np.arange(180))
    model = hd.lmer("Reaction ~ `50%_{x}^2 #$&~\\` + `[x]` + (1 | Subject)", data)
    source = hd.regression_table({"[a": model}).to_latex()
    escaped = r"50\%\_\{x\}\textasciicircum{}2 \#\$\&\textasciitilde{}\textbackslash{}"
    assert escaped in source
    assert " & {}[a" in source  # and not the argument of a line break


def test_markdown_holds_every_cell(table):
    lines = [line for line in table.to_markdown().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {5}
    found = [cell.strip() for line in lines[3:] for cell in line.split("|")[2:-1]]
    assert [cell for cell in found if cell] == wanted(table)


def test_a_narrow_page_folds_the_fits(table):
    lines = table.to_text(width=55).splitlines()
    assert max(map(len, lines)) <= 55
    assert [line.split() for line in lines if line.startswith("  Days ")] == [
        ["Days", "10.467", "10.467"],
        ["Days", "10.467"],
    ]
    with pytest.raises(hd.DataError, match="width is 3; it must be a whole number of at least 20"):
        table.to_text(width=3)


def test_word_holds_every_cell(table, tmp_path):
    pytest.importorskip("maketables")
    docx = pytest.importorskip("docx")
    path = tmp_path / "table.docx"
    table.to_docx(path)
    (found,) = docx.Document(path).tables
    texts = [cell.text for row in found.rows[:-1] for cell in row.cells[1:]]
    assert [text for text in texts if text][6:] == wanted(table)
    assert "Standard errors in parentheses." in found.rows[-1].cells[0].text
    with pytest.raises(hd.DataError, match="There is no folder"):
        table.to_docx(tmp_path / "absent" / "table.docx")
    with pytest.raises(hd.DataError, match="path is 3"):
        table.to_docx(3)


def test_maketables_and_great_tables_take_the_table(table):
    maketables, great_tables = pytest.importorskip("maketables"), pytest.importorskip("great_tables")
    made = table.to_maketables()
    assert isinstance(made, maketables.MTable)
    own = table.to_great_tables()
    assert isinstance(own, great_tables.GT)
    for html in (made.make(type="html"), own.as_raw_html()):
        for cell in wanted(table):
            assert cell in html
        assert "Subject: Cor (Intercept), Days" in html


# --------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "options, message",
    [
        ({"names": ["a"]}, "names has 1 entries for 3 fits"),
        ({"coefficients": ["Day"]}, "No fit has a coefficient called 'Day'. Did you mean 'Days'"),
        ({"statistics": ["AIC"]}, "statistics is 'AIC'; choose one of 'icc'.*Did you mean 'aic'"),
        ({"random": "var"}, "random is 'var'; choose one of 'sd', 'variance'"),
        ({"digits": 0}, "digits is 0; it must be a whole number from 1 to 15"),
        ({"digits": True}, "digits is True"),
        ({"stars": "yes"}, "stars is 'yes'; pass True"),
        ({"stars": {"*": 5}}, "stars is"),
        ({"ddf": "kr"}, "ddf is 'kr'; choose one of"),
        ({"level": 95}, "level is 95"),
    ],
)
def test_bad_choices_are_refused(fits, options, message):
    with pytest.raises(hd.DataError, match=message):
        hd.regression_table(fits, **options)


@pytest.mark.parametrize(
    "fits, message",
    [
        ([], "There is no fit to show"),
        ({}, "There is no fit to show"),
        ([1.0], r"Fit \(1\) is of type float: a regression table shows fits made by lmer"),
        ("fit", r"Fit \(1\) is of type str"),
        ({"a": None}, "Fit a is of type NoneType"),
    ],
)
def test_what_is_not_a_fit_is_refused(fits, message):
    with pytest.raises(hd.DataError, match=message):
        hd.regression_table(fits)
