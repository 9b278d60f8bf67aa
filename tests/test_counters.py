"""The work of a fit, counted, does not grow: two of the shapes that `make bench-check` compares with its baseline."""

import json

import pytest

import check
import limits
import measuring
import report

STORED = json.loads(check.STORED.read_text())


@pytest.mark.parametrize("name", ["nested", "ratings_300k"])
def test_the_counters_of_a_shape_are_no_worse_than_stored(name):
    worse = check.regressions(check.count([name]), STORED, check.slack_here())
    assert not worse, "\n" + check.table(worse)


def test_every_shape_has_stored_counters():
    assert list(STORED) == list(check.shapes.BY_NAME)


def test_more_work_and_another_storage_are_regressions_and_less_work_is_not():
    stored = {"a": {"evaluations": 5, "storage": "dense"}}
    assert not check.regressions({"a": {"evaluations": 4, "storage": "dense"}}, stored)
    worse = check.regressions({"a": {"evaluations": 6, "storage": "sparse"}}, stored)
    assert worse == [("a", "evaluations", 5, 6), ("a", "storage", "dense", "sparse")]
    assert check.table(worse).splitlines()[1].split() == ["a", "evaluations", "5", "6", "1.200"]
    assert check.regressions({"b": {"evaluations": 1}}, stored)


def test_the_work_of_one_factor_is_that_of_its_blocks():
    layout = [{"factor": 0, "role": "leading", "levels": 100, "effects": 2}]
    needed = limits.work(layout, columns=3, thetas=3)
    assert needed.storage == "block diagonal"
    assert needed.stored_bytes == 8 * (100 * 4 + 200 * 3)
    assert needed.value_flops == 100 * 8 / 3 + 2 * 3 * 300 + 200 * 9
    assert needed.flops > 2 * needed.value_flops


def test_the_floor_is_the_slower_of_arithmetic_and_memory():
    rates = {"gemm_flops": 1e9, "stream_bytes": {"1000": 8e9, str(limits.BUFFERS[-1]): 1e9}}
    small = limits.Work(1.0, 1e6, 1600.0, 800.0, "dense")
    large = limits.Work(1.0, 1e6, 1e8, 800.0, "dense")
    assert limits.floor_seconds(small, rates) == (1e-3, "flops")
    assert limits.floor_seconds(large, rates) == (0.1, "bytes")


def test_the_tables_of_the_page_are_those_of_the_last_measurement():
    text = (measuring.FIGURES / "performance.md").read_text(encoding="utf-8")
    results = json.loads(measuring.RESULTS.read_text())
    for lines in (report.times(results), report.distances(results)):
        assert "\n".join(lines) in text


def test_what_is_between_the_markers_is_replaced():
    page = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n"
    new = report.between(page, "x", "new\nlines")
    assert new == page.replace("old", "new\nlines")
    assert report.between(new, "x", "old") == page
