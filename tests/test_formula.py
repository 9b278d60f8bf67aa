"""The formula language: what a text means, and what is said about a text that means nothing."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from henderson.errors import FormulaError, MixedModelError
from henderson.expression import to_text
from henderson.formula import Formula, parse_formula


def fixed(text: str) -> list[str]:
    formula = Formula(f"y ~ {text}")
    return ["1" if formula.has_intercept else "0", *(term.label for term in formula.fixed_terms)]


def random(text: str) -> list[tuple[list[str], str, bool]]:
    return [
        (
            ["1"] * part.effects.has_intercept + [term.label for term in part.effects.terms],
            part.grouping.label,
            part.is_correlated,
        )
        for part in Formula(f"y ~ x + {text}").random_terms
    ]


@pytest.mark.parametrize(
    "text, terms",
    [
        ("1", ["1"]),
        ("0", ["0"]),
        ("-1", ["0"]),
        ("x - 1", ["0", "x"]),
        ("0 + x", ["0", "x"]),
        ("-1 + x + 1", ["1", "x"]),
        ("x - 0", ["1", "x"]),
        ("+x", ["1", "x"]),
        ("a*b", ["1", "a", "b", "a:b"]),
        ("a:b + a", ["1", "a", "a:b"]),
        ("b + c + c:b", ["1", "b", "c", "b:c"]),
        ("a/b", ["1", "a", "a:b"]),
        ("(a + b)/c", ["1", "a", "b", "a:b:c"]),
        ("a/(b + c)", ["1", "a", "a:b", "a:c"]),
        ("a %in% b", ["1", "a:b"]),
        ("(a + b + c)^2", ["1", "a", "b", "c", "a:b", "a:c", "b:c"]),
        ("(a + b)**2", ["1", "a", "b", "a:b"]),
        ("(a + b)^2 - a:b", ["1", "a", "b"]),
        ("a*b*c - a:b:c", ["1", "a", "b", "c", "a:b", "a:c", "b:c"]),
        ("a*b - (a + b)", ["1", "a:b"]),
        ("x:x", ["1", "x"]),
        ("x + x", ["1", "x"]),
        ("(1 + a):b", ["1", "b", "a:b"]),
        ("((x))", ["1", "x"]),
        ("(x + (z + w))", ["1", "x", "z", "w"]),
    ],
)
def test_fixed_terms_follow_the_algebra_of_r(text, terms):
    assert fixed(text) == terms


@pytest.mark.parametrize(
    "text, parts",
    [
        ("(1 | g)", [(["1"], "g", True)]),
        ("(x | g)", [(["1", "x"], "g", True)]),
        ("(1 + x + z | g)", [(["1", "x", "z"], "g", True)]),
        ("(0 + x | g)", [(["x"], "g", True)]),
        ("(x - 1 | g)", [(["x"], "g", True)]),
        ("(x || g)", [(["1", "x"], "g", False)]),
        ("(a*b || g)", [(["1", "a", "b", "a:b"], "g", False)]),
        ("us(x | g)", [(["1", "x"], "g", True)]),
        ("diag(x | g)", [(["1", "x"], "g", False)]),
        ("(1 | g1:g2)", [(["1"], "g1:g2", True)]),
        ("(1 | a/b)", [(["1"], "b:a", True), (["1"], "a", True)]),
        ("(1 | a/b/c)", [(["1"], "c:(b:a)", True), (["1"], "b:a", True), (["1"], "a", True)]),
        ("(x | a*b)", [(["1", "x"], "a", True), (["1", "x"], "b", True), (["1", "x"], "a:b", True)]),
        ("(1 | g) + (0 + x | g)", [(["1"], "g", True), (["x"], "g", True)]),
        ("(1 | factor(g))", [(["1"], "factor(g)", True)]),
        ("((1 | g))", [(["1"], "g", True)]),
        ("(log(x + 1) | g)", [(["1", "log(x + 1)"], "g", True)]),
    ],
)
def test_random_terms_follow_the_grammar_of_lme4(text, parts):
    assert random(text) == parts


def test_random_terms_may_stand_anywhere_among_the_summands():
    formula = Formula("y ~ (1 | g) + x + (z || h) - 1")
    assert [term.label for term in formula.fixed_terms] == ["x"]
    assert not formula.has_intercept
    assert [part.text for part in formula.random_terms] == ["1 | g", "z || h"]


def test_offsets_are_taken_out_and_add_up():
    formula = Formula("y ~ x + offset(log(n)) + offset(w) + (1 | g)")
    assert [to_text(offset) for offset in formula.offsets] == ["log(n)", "w"]
    assert [term.label for term in formula.fixed_terms] == ["x"]


def test_a_response_may_be_transformed():
    formula = Formula("log(y / 10 + 1) ~ x + (1 | g)")
    assert formula.response_label == "log(y/10 + 1)"


def test_a_formula_may_have_no_response_until_a_model_is_wanted():
    formula = Formula("~ x + (1 | g)")
    assert formula.response is None
    with pytest.raises(FormulaError, match="no response"):
        formula.require_mixed()


def test_a_model_needs_a_random_term():
    with pytest.raises(FormulaError) as caught:
        Formula("y ~ x").require_mixed()
    message = "Formula has no random term: add one such as (1 | subject), or use ordinary least squares."
    assert str(caught.value) == f"{message}\n    y ~ x\n    ^^^^^"


@pytest.mark.parametrize(
    "written, printed",
    [
        ("I(x^2)", "I(x^2)"),
        ("I( x ** 2 )", "I(x^2)"),
        ("I((x+1)/2)", "I((x + 1)/2)"),
        ("poly(x,degree=2,raw=TRUE)", "poly(x, degree = 2, raw = TRUE)"),
        ("bs(x, knots=c(1,2))", "bs(x, knots = c(1, 2))"),
        ("bs(x, knots=[1,2])", "bs(x, knots = [1, 2])"),
        ("I(x%%2)", "I(x%%2)"),
        ("I(!b)", "I(!b)"),
        ("I(-x)", "I(-x)"),
        ("I(x>0&z<=1)", "I(x > 0 & z <= 1)"),
        ("relevel(f,ref='b')", 'relevel(f, ref = "b")'),
        ("I(1000000*x)", "I(1e+06 * x)"),
        ("I(100*x)", "I(100 * x)"),
        ("I(0.5*x)", "I(0.5 * x)"),
        ("I(1e-5*x)", "I(1e-05 * x)"),
        ("I(2L*x)", "I(2 * x)"),
        ("np.log(x)", "np.log(x)"),
        ("{x + 1}", "{x + 1}"),
    ],
)
def test_calls_are_labelled_as_r_prints_them(written, printed):
    assert fixed(written)[1:] == [printed]


def test_names_in_backticks_may_hold_anything():
    formula = Formula("`my y` ~ `a b`:x + log(`%`) + (1 | `the group`)")
    assert [name.name for name in formula.columns()] == ["my y", "%", "a b", "x", "the group"]
    assert [term.label for term in formula.fixed_terms] == ["log(%)", "a b:x"]
    assert formula.random_terms[0].grouping.label == "the group"


def test_names_may_have_dots_and_letters_of_any_script():
    formula = Formula("Reaction.Time ~ größe + .hidden + (1 | Id_1)")
    assert [name.name for name in formula.columns()] == ["Reaction.Time", "größe", ".hidden", "Id_1"]


def test_keywords_and_contrasts_are_not_columns():
    formula = Formula("y ~ C(f, contr.sum) + scale(x, center = FALSE) + np.log(z) + I(x - np.pi) + (1 | g)")
    assert [name.name for name in formula.columns()] == ["y", "f", "x", "z", "g"]


def test_a_dot_stands_for_the_columns_not_otherwise_used():
    formula = Formula("y ~ . - z + offset(w) + (x || g)")
    assert formula.has_dot
    expanded = formula.expand_dot(["y", "x", "z", "w", "g", "v"])
    assert [term.label for term in expanded.fixed_terms] == ["x", "v"]
    assert not expanded.has_dot
    assert str(expanded) == str(formula)


def test_a_power_of_a_dot_crosses_the_columns():
    expanded = Formula("y ~ .^2 + (1 | g)").expand_dot(["a", "b"])
    assert [term.label for term in expanded.fixed_terms] == ["a", "b", "a:b"]


def test_the_text_is_kept_as_written():
    text = "y~  x+(1|g)"
    assert str(Formula(text)) == text


@pytest.mark.parametrize("text", ["y ~ a*b + offset(w) + (x || g)", "log(`my y`) ~ 0 + I(`a b`^2):x + (1 | g)"])
def test_fixed_only_removes_the_random_terms_and_nothing_else(text):
    formula = Formula(text)
    bare = formula.fixed_only()
    assert bare.random_terms == ()
    assert (bare.response, bare.fixed, bare.offsets) == (formula.response, formula.fixed, formula.offsets)


def test_formulas_are_values():
    text = "y ~ a*b + I(x^2) + (x || g/h)"
    assert Formula(text) == Formula(text) != Formula(text + " + z")
    assert hash(Formula(text)) == hash(Formula(text))
    assert pickle.loads(pickle.dumps(Formula(text))) == Formula(text)
    assert parse_formula(text) is parse_formula(text)


BAD = [
    ("", "is empty", ""),
    ("y", "no '~'", ""),
    ("y ~ x ~ z", "one '~'", "  ^"),
    ("y ~ log(~x)", "Something is missing before '~'", "        ^"),
    ("y ~ x + (1 | g", "parenthesis is never closed", "        ^"),
    ("y ~ log(x", "parenthesis is never closed", "       ^"),
    ("y ~ f([1, 2", "bracket is never closed", "      ^"),
    ("y ~ x + 1 | g)", "closes nothing", "             ^"),
    ("y ~ x]", "closes nothing", "     ^"),
    ("y ~ x}", "closes nothing", "     ^"),
    ("y ~ {x", "brace is never closed", "    ^"),
    ("y ~ `x", "backtick is never closed", "    ^"),
    ("y ~ f('x)", "quotation mark is never closed", "      ^"),
    ("y ~ x + 1 | g", "needs parentheses", "          ^"),
    ("y ~ x + (| g)", "effect on its left", "         ^"),
    ("y ~ x + (1 |)", "grouping factor on its right", "           ^"),
    ("y ~ x + (1 ||", "grouping factor on its right", "           ^^"),
    ("y ~ (1 | g | h)", "one bar", "       ^"),
    ("y ~ ((1 | g) | h)", "one bar", "        ^"),
    ("y ~ (1 + (1 | g) | h)", "one bar", "            ^"),
    ("y ~ x * (1 | g)", "only be added", "           ^"),
    ("y ~ x - (1 | g)", "only be added", "        ^^^^^^^"),
    ("y ~ log(1 | g)", "only be added", "          ^"),
    ("y | g ~ x", "only be added", "  ^"),
    ("y ~ (0 | g)", "no effects", "     ^"),
    ("y ~ (1 | a + b)", "cannot be added", "         ^^^^^"),
    ("y ~ (1 | 2)", "is a column", "         ^"),
    ("y ~ (1 | a^2)", "is a column", "         ^^^"),
    ("y ~ (1 | .)", "only stand among the fixed", "         ^"),
    ("y ~ (. | g)", "only stand among the fixed", "     ^"),
    ("y ~ log(.)", "only stand among the fixed", "        ^"),
    (". ~ x", "only stand among the fixed", "^"),
    ("y ~ cs(x | g)", "is not available", "    ^^^^^^^^^"),
    ("cbind(a, b) ~ x", "one response", "^^^^^^^^^^^"),
    ("y ~ 2 * x", "inside I", "    ^"),
    ("y ~ 'a' + x", "inside I", "    ^^^"),
    ("y ~ x > 3", "inside I", "    ^^^^^"),
    ("y ~ [x]", "inside I", "    ^^^"),
    ("y ~ (a + b)^0", "whole number", "            ^"),
    ("y ~ (a + b)^1.5", "whole number", "            ^^^"),
    ("y ~ (a + b)^x", "whole number", "            ^"),
    ("y ~ x +", "after '+'", "      ^"),
    ("y ~ * x", "before '*'", "    ^"),
    ("y ~ ", "after '~'", "  ^"),
    ("y ~ ()", "between the parentheses", "    ^^"),
    ("y ~ x x", "Did not expect 'x'", "      ^"),
    ("y ~ x[1]", "Did not expect '['", "     ^"),
    ("y ~ (x, z)", "Did not expect ','", "      ^"),
    ("y ~ f(x,, 2)", "before ','", "        ^"),
    ("y ~ x @ z", "no meaning", "      ^"),
    ("y ~ I()", "between the parentheses", "     ^^"),
    ("y ~ factor()", "between the parentheses", "          ^^"),
    ("y ~ Q(x)", "write Q('column name')", "    ^^^^"),
    ("y ~ offset()", "one expression", "    ^^^^^^^^"),
    ("y ~ x:offset(z)", "one expression", "      ^^^^^^^^^"),
    ("y ~ x - offset(z)", "one expression", "        ^^^^^^^^^"),
]


@pytest.mark.parametrize("text, words, caret", BAD, ids=[text for text, _, _ in BAD])
def test_a_text_without_meaning_is_shown_with_a_caret(text, words, caret):
    with pytest.raises(FormulaError, match=r".+") as caught:
        Formula(text)
    lines = str(caught.value).split("\n")
    assert words in lines[0]
    assert [line.removeprefix("    ") for line in lines[1:]] == ([text, caret] if caret else [text] if text else [])


def test_a_formula_over_several_lines_keeps_its_caret_in_place():
    with pytest.raises(FormulaError) as caught:
        Formula("y ~ x +\n  (1 | )")
    assert str(caught.value).split("\n")[1:] == ["    y ~ x +   (1 | )", "                 ^"]


@pytest.mark.parametrize("value", [None, 3, ["y ~ x"]])
def test_a_formula_is_text(value):
    with pytest.raises(FormulaError, match="is text"):
        Formula(value)


def test_a_formula_nested_without_end_is_an_error():
    with pytest.raises(FormulaError, match="nested too deeply"):
        Formula("y ~ " + "(" * 5000 + "x" + ")" * 5000)


def test_formulaics_quotation_is_a_name():
    assert fixed("Q('a b') + Q(\"x\")") == ["1", "a b", "x"]


def test_formula_errors_are_value_errors_and_pickle():
    with pytest.raises(ValueError, match="one '~'") as caught:
        Formula("y ~ x ~ z")
    assert isinstance(caught.value, MixedModelError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@given(st.text(alphabet="xyg1 ~+-*/:^|(){}[]`'\".,=<>!&%0aI@", max_size=30))
def test_any_text_is_a_formula_or_a_formula_error(text):
    try:
        formula = Formula(text)
    except FormulaError as error:
        str(error)
    else:
        assert str(formula) == text


NAMES = st.sampled_from(["a", "b", "c", "x"])
SIDES = st.recursive(
    NAMES,
    lambda inner: st.tuples(inner, st.sampled_from([" + ", " * ", ":", "/"]), inner).map(lambda t: f"({''.join(t)})"),
)


def unordered(terms: list[str]) -> list[list[str]]:
    """Terms whatever the order of their variables, and whatever the order of terms with as many."""
    return sorted(sorted(term.split(":")) for term in terms)


@given(SIDES)
def test_the_expansion_of_an_expansion_is_itself(side):
    once = fixed(side)
    assert unordered(fixed(" + ".join(once))) == unordered(once)


@given(SIDES)
def test_terms_are_sorted_by_their_number_of_variables(side):
    orders = [label.count(":") for label in fixed(side)[1:]]
    assert orders == sorted(orders)


@given(SIDES, SIDES)
def test_crossing_is_both_and_their_products(left, right):
    crossed, spelled_out = f"({left}) * ({right})", f"({left}) + ({right}) + ({left}):({right})"
    assert unordered(fixed(crossed)) == unordered(fixed(spelled_out))
