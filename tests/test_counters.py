"""The work of a fit, counted, does not grow: two of the shapes that `make bench-check` compares with its baseline."""

import json

import pytest

import check
import limits
import report
import run
from shapes import BY_NAME

STORED = json.loads(check.STORED.read_text())


@pytest.mark.parametrize("name", ["nested", "ratings_300k"])
def test_the_counters_of_a_shape_are_no_worse_than_stored(name):
    worse = check.regressions(check.count([name]), STORED["work"], check.slack_here())
    assert not worse, "\n" + check.table(worse)


def test_every_shape_has_stored_counters():
    assert list(STORED["work"]) == list(BY_NAME)
    assert list(STORED["memory"]) == [name for name, shape in BY_NAME.items() if shape.is_large]


def test_more_work_and_another_storage_are_regressions_and_less_work_is_not():
    stored = {"a": {"evaluations": 5, "storage": "dense"}}
    assert not check.regressions({"a": {"evaluations": 4, "storage": "dense"}}, stored)
    worse = check.regressions({"a": {"evaluations": 6, "storage": "sparse"}}, stored)
    assert worse == [("a", "evaluations", 5, 6), ("a", "storage", "dense", "sparse")]
    assert check.table(worse).splitlines()[1].split() == ["a", "evaluations", "5", "6", "1.200"]
    assert check.regressions({"b": {"evaluations": 1}}, stored)


def test_memory_over_the_target_and_over_what_is_stored_is_a_regression():
    assert not check.excesses({"a": 1.3, "b": 2.0}, {"b": 2.0})
    assert check.excesses({"a": 1.31, "b": 2.2}, {"a": 1.2, "b": 2.0}) == [
        ("a", "memory", 1.2, 1.31),
        ("b", "memory", 2.0, 2.2),
    ]


def test_the_work_of_one_factor_is_that_of_its_blocks():
    layout = [{"factor": 0, "role": "leading", "levels": 100, "effects": 2}]
    needed = limits.work(layout, columns=3, thetas=3)
    assert needed.storage == "block diagonal"
    assert needed.stored_bytes == 8 * (100 * 4 + 200 * 3)
    assert needed.cross_bytes == 8 * (100 * 3 + 200 * 3)
    assert needed.value_flops == 100 * 8 / 3 + 2 * 3 * 300 + 200 * 9
    assert needed.flops > 2 * needed.value_flops


def test_the_floor_is_the_slower_of_arithmetic_and_memory():
    rates = {"gemm_flops": 1e9, "stream_bytes": {"1000": 8e9, str(limits.BUFFERS[-1]): 1e9}}
    small = limits.Work(1.0, 1e6, 1600.0, 800.0, 800.0, "dense")
    large = limits.Work(1.0, 1e6, 1e8, 800.0, 800.0, "dense")
    assert limits.floor_seconds(small, rates) == (1e-3, "flops")
    assert limits.floor_seconds(large, rates) == (0.1, "bytes")


def test_criteria_are_compared_with_the_best_of_their_kind():
    found = {"a": {"criterion": 10.0}, "b": {"criterion": 9.5}, "c": {"criterion": None}, "d": {"stopped": 60.0}}
    run.compare_criteria(found, {"henderson": 12.0, "c": 12.25})
    assert [each.get("above_best") for each in found.values()] == [0.5, 0.0, 0.25, None]
    assert found["c"]["criterion_is"] == "ML"


def test_a_cell_says_what_qualifies_a_time():
    results, notes = {"turns": 5}, []
    done = {"seconds": 0.5, "turns": 5, "above_best": 0.0}
    assert report.cell(done, notes, results) == "500 ms"
    assert report.cell(done | {"turns": 2, "above_best": 0.25}, notes, results) == "500 ms, +0.25 (2)"
    assert report.cell(done | {"above_best": None}, notes, results) == "500 ms, criterion not reported"
    assert report.cell({"stopped": 60.0, "before_bytes": 1}, notes, results) == "> 60 s"
    assert report.cell({"cannot": "is too small"}, notes, results) == "– a)"
    assert report.cell({"failed": "out of memory"}, notes, results) == "fails b)"
    assert notes == ["is too small", "out of memory"]


def test_what_is_between_the_markers_is_replaced():
    page = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n"
    new = report.between(page, "x", "new\nlines")
    assert new == page.replace("old", "new\nlines")
    assert report.between(new, "x", "old") == page
