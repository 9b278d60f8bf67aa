"""The parts that plots are made of: clouds of points, smooths, labels."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from henderson.plots import marks, style
from henderson.plots.smoothing import smooth


@pytest.fixture(autouse=True)
def _no_figure_left():
    before = set(plt.get_fignums())
    yield
    for number in set(plt.get_fignums()) - before:
        plt.close(number)


def test_many_rows_become_hexagons_whose_counts_add_up():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, marks.CROWD + 1))
    _, ax = plt.subplots()
    drawn = marks.cloud(ax, x, y)
    assert drawn.get_array().sum() == len(x)
    assert not ax.lines
    few = marks.cloud(ax, x[:-1], y[:-1])
    assert few in ax.lines


def test_the_smooth_follows_a_curve_and_ignores_outliers():
    rng = np.random.default_rng(2)
    x = rng.uniform(-3, 3, 500)
    y = 1.5 * x + 0.05 * rng.normal(size=500)
    y[::25] += 100
    grid, curve = smooth(x, y)
    np.testing.assert_allclose(curve, 1.5 * grid, atol=0.1)
    many = rng.uniform(-3, 3, 50_000)
    grid, curve = smooth(many, np.sin(many), span=0.1)
    np.testing.assert_allclose(curve, np.sin(grid), atol=0.03)


def test_there_is_no_smooth_of_fewer_than_four_values():
    assert smooth(np.repeat([1.0, 2.0, 3.0], 5), np.arange(15.0))[0].size == 0
    grid, curve = smooth(np.repeat([0.0, 1.0, 2.0, 9.0], 5), np.repeat([1.0, 3.0, 2.0, 0.0], 5))
    assert np.isfinite(curve).all()
    assert len(grid) == 4


def test_long_labels_are_broken_at_punctuation_and_shortened_in_the_middle():
    assert style.wrapped("log(standardised_test_score + 40)", 20) == "log(standardised_\ntest_score + 40)"
    assert max(map(len, style.wrapped("a" * 50, 20).split("\n"))) == 20
    short = marks.shortened("Saint-Barthélemy School of Agriculture, No 17")
    assert len(short) == 24
    assert short.startswith("Saint")
    assert short.endswith("No 17")


def test_labels_keep_off_each_other_and_inside_the_panel():
    figure, ax = plt.subplots(figsize=(4, 3))
    x, y = np.array([0.0, 0.02, 0.99, 1.0]), np.array([0.5, 0.5, 0.5, 0.51])
    ax.plot(x, y, "o")
    written = marks.label_points(ax, x, y, np.arange(4), ["first one", "second one", "third one", "fourth one"])
    figure.draw_without_rendering()
    boxes = [mpl.text.Text.get_window_extent(text) for text in written]  # without the lines that lead to the points
    frame = ax.get_window_extent()
    for i, box in enumerate(boxes):
        assert frame.x0 - 1 <= box.x0
        assert box.x1 <= frame.x1 + 1
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_names_on_an_axis_are_thinned_until_they_fit():
    _, ax = plt.subplots()
    marks.name_ticks(ax, [str(i) for i in range(95)])
    assert [label.get_text() for label in ax.get_xticklabels()][:3] == ["0", "5", "10"]
    marks.name_ticks(ax, ["a", "b"])
    assert ax.get_xticklabels()[0].get_rotation() == 0
