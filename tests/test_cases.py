"""The declared cases are those of the reference files."""

import pytest

from cases import CASES, HERE


def test_every_reference_file_has_its_case():
    assert {case.name for case in CASES} == {path.stem for path in (HERE / "reference" / "lme4").glob("*.json")}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_says_what_the_reference_file_says(case):
    reference = case.reference()
    assert (case.table, case.formula, case.reml) == (reference["data"], reference["formula"], reference["reml"])
    assert (case.factors, case.weights, case.offset) == (
        tuple(reference["factors"]),
        reference["weights"],
        reference["offset"],
    )
    assert len(case.data()) == reference["nobs"]
