"""Fits in tables made by the real package maketables."""

import pytest

import henderson
from cases import BY_NAME

maketables = pytest.importorskip("maketables")


def fit(name):
    case = BY_NAME[name]
    return henderson.lmer(case.formula, case.data(), **case.options())


@pytest.fixture(scope="module")
def extractor():
    from maketables.extractors import get_extractor

    return get_extractor(fit("sleepstudy"))


def test_the_plug_in_is_recognised(extractor):
    assert type(extractor).__name__ == "PluginExtractor"


def test_coefficients_have_the_columns_of_the_protocol(extractor):
    model = fit("sleepstudy")
    table = extractor.coef_table(model)
    assert table.index.name == "Coefficient"
    assert {"b", "se", "t", "p", "ci95l", "ci95u", "ci90l", "ci90u"} <= set(table.columns)
    assert table["b"].to_dict() == model.fixef.to_dict()
    own = model.contrast("Days").to_frame().loc["Days"]
    assert table.loc["Days", "ci95l"] == pytest.approx(own["conf_low"])
    assert table.loc["Days", "p"] == pytest.approx(own["p_value"]) == pytest.approx(model.p_values["Days"])


@pytest.mark.parametrize(
    "key",
    [
        "N",
        "ll",
        "aic",
        "bic",
        "reml",
        "sigma",
        "groups",
        "random_sd",
        "df_resid",
        "singular",
        "converged",
        "method",
        "icc",
    ],
)
def test_statistics_are_answered(extractor, key):
    assert extractor.stat(fit("sleepstudy"), key) is not None


def test_statistics_that_do_not_exist_are_none(extractor):
    assert extractor.stat(fit("sleepstudy"), "r2") is None
    assert extractor.stat(fit("sleepstudy_ml"), "reml") is None
    assert extractor.stat(fit("sleepstudy"), "deviance") is None


def test_words_of_the_protocol(extractor):
    model = fit("sleepstudy")
    assert extractor.depvar(model) == "Reaction"
    assert extractor.fixef_string(model) == "Random: Subject"
    assert "Satterthwaite" in extractor.vcov_info(model)["vcov_type"]
    assert set(extractor.default_stat_keys(model)) <= set(extractor.stat_labels(model))


def test_a_table_of_several_fits_shows_estimates_and_statistics():
    table = maketables.ETable([fit("sleepstudy_intercept"), fit("sleepstudy"), fit("sleepstudy_ml")])
    text = table.make(type="html")
    for part in (
        "Days",
        "10.467",
        "Observations",
        "180",
        "REML criterion",
        "1,743.63",
        "Random: Subject",
        "Subject 18",
        "Deviance",
        "Subject: SD (Intercept)",
        "Subject: SD Days",
        "Subject: Cor (Intercept), Days",
        "Residual SD",
        "ICC",
        " marginal",
        " conditional",
    ):
        assert part in text


def test_tables_are_made_in_other_formats():
    table = maketables.ETable([fit("sleepstudy")])
    assert "10.467" in str(table.make(type="tex"))
    assert "10.467" in table.make(type="gt").as_raw_html()


def test_the_random_part_stands_in_lines_of_its_own():
    table = maketables.ETable([fit(name) for name in _THREE]).df.loc["stats"]
    assert table.loc["Subject: SD (Intercept)"].tolist() == ["37.124", "24.740", "-"]
    assert table.loc["Subject: Cor (Intercept), Days"].tolist() == ["-", "0.066", "-"]
    assert table.loc["cask:batch: SD (Intercept)"].tolist() == ["-", "-", "2.904"]
    assert table.loc["ICC"].tolist() == [f"{fit(name).icc().adjusted:.3f}" for name in _THREE]
    assert table.loc["R² conditional"].tolist() == [f"{fit(name).r2().conditional:.3f}" for name in _THREE]


_THREE = ("sleepstudy_intercept", "sleepstudy", "pastes_nested")
