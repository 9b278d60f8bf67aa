"""What `mixedlm` is given: groups, formulas of random effects, options; what is refused, and how it says so."""

import numpy as np
import pandas as pd
import pytest

import henderson as hd
from henderson import DataError, FormulaError

pytest.importorskip("statsmodels")

from mixedlm_cases import CASES, SLEEPSTUDY, fit, quietly, table, their_model

# ------------------------------------------------------------------------------------------------------------ arguments


def test_groups_are_a_column_or_values():
    data = table("sleepstudy").assign(Subject=lambda d: d["Subject"].astype(str))
    by_name = hd.mixedlm("Reaction ~ Days", data, groups="Subject")
    assert by_name.formula == "Reaction ~ Days + (1 | Subject)"
    subjects = data["Subject"]
    for values in (subjects, subjects.to_numpy(), subjects.tolist(), pd.Categorical(subjects)):
        model = hd.mixedlm("Reaction ~ Days", data, groups=values)
        assert model.criterion == by_name.criterion
        assert model.cov_re.index.tolist() == ["Group"]
        assert list(model.random_effects) == list(by_name.random_effects)
    assert hd.mixedlm("Reaction ~ Days", data, groups=subjects).formula == by_name.formula  # a column by its values
    assert hd.mixedlm("Reaction ~ Days", data, groups=subjects.tolist()).formula == "Reaction ~ Days + (1 | Group)"
    assert list(data.columns) == ["Reaction", "Days", "Subject", "one"]


@pytest.mark.parametrize("kind", ["polars", "pyarrow", "dict"])
def test_tables_are_of_any_kind(kind):
    data = table("sleepstudy").astype({"Subject": str})
    if kind == "dict":
        same = {name: data[name].to_numpy() for name in data}
    else:
        module = pytest.importorskip(kind)
        same = module.DataFrame(data.to_dict("list")) if kind == "polars" else module.table(data.to_dict("list"))
    formula, options = SLEEPSTUDY
    expected = hd.mixedlm(formula, data, **options)
    assert hd.mixedlm(formula, same, **options).criterion == expected.criterion
    labels = [f"S{number}" for number in data["Subject"]]
    model = hd.mixedlm(formula, same, groups=labels, re_formula="~ Days")
    assert model.criterion == expected.criterion
    assert model.random_effects["S308"].to_numpy() == pytest.approx(expected.random_effects["308"].to_numpy())


def test_groups_have_a_name_of_their_own():
    data = table("sleepstudy").assign(Group=1.0)
    model = hd.mixedlm("Reaction ~ Days", data, groups=data["Subject"].astype(str) + "!")
    assert model.formula == "Reaction ~ Days + (1 | Group_)"
    assert model.cov_re.index.tolist() == ["Group"]


@pytest.mark.parametrize(
    "re_formula, random",
    [
        (None, "(1 | Subject)"),
        ("1", "(1 | Subject)"),
        ("~1", "(1 | Subject)"),
        ("~ Days", "(Days | Subject)"),
        ("1 + Days", "(1 + Days | Subject)"),
        ("~0 + Days", "(0 + Days | Subject)"),
        ("Days - 1", "(Days - 1 | Subject)"),
    ],
)
def test_effects_of_the_groups(re_formula, random):
    model = hd.mixedlm("Reaction ~ Days", table("sleepstudy"), groups="Subject", re_formula=re_formula)
    assert model.formula == f"Reaction ~ Days + {random}"


@pytest.mark.parametrize(
    "groups, component, random",
    [
        ("batch", "0 + C(cask)", "(1 | cask:batch)"),
        ("batch", "cask - 1", "(1 | cask:batch)"),
        ("batch", "0 + C(cask, Treatment('b'))", "(1 | cask:batch)"),
        ("batch", "~ 0 + C(cask):C(half)", "(1 | cask:half:batch)"),
        ("batch", "0 + x", "(0 + x | batch)"),
        ("batch", "0 + np.log(x)", "(0 + np.log(x) | batch)"),
        ("batch", "0 + C(cask):x", "(0 + x | cask:batch)"),
        ("batch", "0 + x:C(cask)", "(0 + x | cask:batch)"),
        ("batch", "0 + big", "(1 | big:batch)"),
        ("batch", "0 + I(x > 1.5)", "(1 | I(x > 1.5):batch)"),
        ("batch", "1", "(1 | batch)"),
        ("batch", "0 + C(batch)", "(1 | batch)"),
        ("batch", "0 + C(batch):C(cask)", "(1 | batch:cask)"),
        ("one", "0 + C(batch)", "(1 | batch)"),
        ("one", "0 + C(batch):x", "(0 + x | batch)"),
    ],
)
def test_components_become_random_terms_with_their_criterion_and_labels(groups, component, random):
    rng = np.random.default_rng(1)
    data = pd.concat([table("pastes")] * 3, ignore_index=True)
    n = len(data)
    data = data.assign(x=rng.uniform(1, 2, n), half=np.tile([1, 2], n // 2), big=rng.random(n) < 0.5, one=1)
    data["strength"] += rng.normal(size=n)
    model = hd.mixedlm("strength ~ 1", data, groups=groups, vc_formula={"v": component})
    assert model.formula == f"strength ~ 1 + {random}"
    expected = their_model("strength ~ 1", data, groups=groups, vc_formula={"v": component.strip("~ ")})
    from statsmodels.regression.mixed_linear_model import MixedLMParams

    expected.cov_pen = None
    at = MixedLMParams.from_components(fe_params=np.zeros(1), cov_re=np.empty((0, 0)), vcomp=np.array([0.7]))
    assert model.criterion_at([np.sqrt(0.7)]) == pytest.approx(-2 * expected.loglike(at, profile_fe=True))
    for group, labels in zip(expected.group_labels, expected.exog_vc.colnames[0], strict=True):
        used = np.abs(expected.exog_vc.mats[0][expected.group_labels.index(group)]).sum(axis=0) > 0
        shown = {f"v[{label}]" for label, is_used in zip(labels, used, strict=True) if is_used}
        assert set(model.random_effects[group].index) == shown


@pytest.mark.parametrize("missing", ["none", "raise", "drop"])
def test_missing_values(missing):
    data = table("sleepstudy").astype({"Days": float})
    data.loc[3, "Days"] = data.loc[77, "Reaction"] = np.nan
    options = {"groups": "Subject", "re_formula": "~ Days", "missing": missing}
    if missing != "drop":
        with pytest.raises(DataError, match="missing"):
            hd.mixedlm("Reaction ~ Days", data, **options)
        return
    model = hd.mixedlm("Reaction ~ Days", data, **options)
    result = quietly(their_model("Reaction ~ Days", data, **options).fit)
    assert model.nobs == result.nobs == 178
    assert model.llf == pytest.approx(result.llf, abs=1e-6)
    assert model.fittedvalues.index.tolist() == data.dropna().index.tolist()


def test_rows_are_chosen_where_statsmodels_ignores_the_argument():
    data = table("sleepstudy")
    model = hd.mixedlm("Reaction ~ Days", data, groups="Subject", subset=data["Days"] < 5)
    assert model.nobs == 90
    assert their_model("Reaction ~ Days", data, groups="Subject", subset=data["Days"] < 5).nobs == 180


def test_options_of_lmer_are_taken():
    data = table("sleepstudy").assign(w=np.linspace(1, 2, 180), shift=5.0)
    model = hd.mixedlm("Reaction ~ double(Days)", data, groups="Subject", weights="w", offset="shift",
                       contrasts={}, threads=1, context={"double": lambda x: 2 * x})  # fmt: skip
    expected = hd.lmer("Reaction ~ I(2 * Days) + (1 | Subject)", data, weights="w", offset="shift")
    assert model.criterion == pytest.approx(expected.criterion)
    assert model.fe_params.index.tolist() == ["Intercept", "double(Days)"]


def test_how_to_search_changes_nothing():
    data = table("sleepstudy")
    plain = hd.mixedlm("Reaction ~ Days", data, groups="Subject")
    options = {"method": ["powell", "lbfgs"], "maxiter": 3, "use_sqrt": False, "do_cg": False, "start_params": [1.0]}
    assert hd.mixedlm("Reaction ~ Days", data, groups="Subject", free=None, **options).criterion == plain.criterion
    assert plain.fit(method="bfgs", full_output=True) is plain
    again = plain.fit(reml=False, method="nm", disp=False)
    assert again.criterion == hd.mixedlm("Reaction ~ Days", data, groups="Subject", reml=False).criterion
    assert again.cov_re.index.tolist() == ["Subject"]
    assert plain.is_reml


WRONG_FORMULAS = [
    ({"formula": "Reaction ~ Days + (1 | Subject)"}, "takes random effects from groups=", "(1 | Subject)"[1:-1]),
    ({"formula": "Reaction ~ te(Days)"}, "Unknown function te()", "te(Days)"),
    ({"formula": "Reaction ~ Days + C(Subject, Som)"}, "Unknown contrasts Som. Did you mean 'Sum'?", "Som"),
    ({"formula": "Reaction ~ Days[0]"}, "Did not expect '['", "["),
    ({"formula": "Reaction ~ ."}, "'.' means nothing", "."),
    ({"formula": "Reaction ~ Q(Days)"}, "write Q('column name')", "Q(Days)"),
    ({"formula": "Reaction Days"}, "is an operator such as '+' missing", "Days"),
    ({"re_formula": "Reaction ~ Days"}, "re_formula has no response", "Reaction ~ Days"),
    ({"re_formula": "Days | Subject"}, "re_formula has no bars", "Days | Subject"),
    ({"re_formula": "foo(Days)"}, "Unknown function foo()", "foo(Days)"),
    ({"vc_formula": {"a": "C(Days)"}}, "'a' has an intercept", "C(Days)"),
    ({"vc_formula": {"a": "0 + Days + I(Days**2)"}}, "one variance in common", "0 + Days + I(Days**2)"),
    ({"vc_formula": {"a": "0 + bs(Days, df=3)"}}, "3 numeric columns", "0 + bs(Days, df=3)"),
    ({"vc_formula": {"a": "0 + C(Days, Sum)"}}, "one effect for each level", "0 + C(Days, Sum)"),
]


@pytest.mark.parametrize("options, message, part", WRONG_FORMULAS)
def test_formulas_that_cannot_be_read_are_shown_with_a_caret(options, message, part):
    options = {"formula": "Reaction ~ Days", "groups": "Subject"} | options
    with pytest.raises(FormulaError) as caught:
        hd.mixedlm(options.pop("formula"), table("sleepstudy"), **options)
    assert message in str(caught.value)
    _, shown, carets = str(caught.value).splitlines()
    start = carets.index("^")
    assert shown[start : start + carets.count("^")].strip("()") == part.strip("()")


WRONG_ARGUMENTS = [
    ({"groups": "Sbject"}, "'Sbject' .groups=. is not in the data. Did you mean 'Subject'"),
    ({"groups": None}, "groups is None"),
    ({"groups": [1, 2]}, "groups= has 2 values but the data have 180 rows"),
    ({"groups": "one"}, "one group only .1., and the intercept varies"),
    ({"groups": "one", "re_formula": "~ Days"}, "one group only .1., and re_formula varies"),
    ({"groups": "one", "vc_formula": {"a": "0 + Days"}}, "component 'a' varies over groups"),
    ({"re_formula": 3}, "re_formula is 3 .int."),
    ({"re_formula": "0"}, "re_formula has no effect"),
    ({"vc_formula": "0 + Days"}, "must be a dict"),
    ({"vc_formula": {}}, "must be a dict"),
    ({"vc_formula": {"a": None}}, "vc_formula.'a'. is None"),
    ({"vc_formula": {"a": "0"}}, "vc_formula.'a'. has no effect"),
    ({"vc_formula": {"a": "0 + C(Dys)"}}, "Did you mean 'Days'"),
    ({"missing": "dorp"}, "Did you mean 'drop'"),
    ({"use_sqrt": "yes"}, "use_sqrt is 'yes'"),
    ({"reml": "ML"}, "reml is 'ML'"),
    ({"na_action": "drop"}, "missing= in place of na_action="),
    ({"free": 1}, "free= changes the model"),
    ({"cov_pen": 1}, "There are no penalties"),
    ({"mehtod": "bfgs"}, "no option 'mehtod'. Did you mean 'method'"),
]


@pytest.mark.parametrize("options, message", WRONG_ARGUMENTS)
def test_arguments_that_mean_nothing_are_refused(options, message):
    with pytest.raises((DataError, FormulaError), match=message):
        hd.mixedlm("Reaction ~ Days", table("sleepstudy"), **{"groups": "Subject"} | options)


def test_names_for_new_rows_are_given_once():
    model = fit(CASES["sleepstudy"])
    with pytest.raises(DataError, match="two names"):
        model.predict(table("sleepstudy"), exog=table("sleepstudy"))
