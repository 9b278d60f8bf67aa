"""Two plots for docs/performance.md: time against rows, and time of each peer over henderson's for each shape."""

import importlib.util
from pathlib import Path
from typing import Any

MARKERS = {"henderson": "o", "mixedlm": "s", "gpboost": "^", "statsmodels": "D", "lme4": "v"}
FAMILY = ("sleepstudy", "longitudinal_10k", "longitudinal_100k", "longitudinal")  # one model on ever more rows


def draw(results: dict[str, Any], docs: Path) -> None:
    """Write both as SVG, where matplotlib is installed."""
    if not importlib.util.find_spec("matplotlib"):
        print("no matplotlib here: the plots are as they were")
        return
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "henderson", "font.size": 9})
    mpl.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    import matplotlib.pyplot as plt

    for name, plot in (("time_against_rows", against_rows), ("ratio_per_shape", ratios)):
        figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
        plot(results, axes)
        figure.legend(loc="outside upper center", ncols=len(MARKERS), frameon=False)
        figure.savefig(docs / f"{name}.svg", metadata={"Date": None})
        plt.close(figure)


def against_rows(results: dict[str, Any], axes: Any) -> None:
    shapes = {name: each for name, each in results["shapes"].items() if each["rows"]}
    for color, (package, marker) in enumerate(MARKERS.items()):
        style: dict[str, Any] = {"color": f"C{color}", "marker": marker, "markersize": 5}
        points = [(each["rows"], time_of(each, package)) for each in shapes.values()]
        points = [point for point in points if point[1] is not None]
        if not points:
            continue
        axes.loglog(*zip(*points, strict=True), linestyle="none", label=package, **style)
        family = [(shapes[name]["rows"], time_of(shapes[name], package)) for name in FAMILY if name in shapes]
        family = [point for point in family if point[1] is not None]
        if len(family) > 1:
            axes.loglog(*zip(*family, strict=True), linewidth=0.8, **style)
    axes.set(xlabel="rows; the lines join tables with the model (x | g)", ylabel="seconds, whole call")


def ratios(results: dict[str, Any], axes: Any) -> None:
    """Times over henderson's; an arrow where a peer was stopped."""
    names = list(results["shapes"])
    for color, (package, marker) in enumerate(MARKERS.items()):
        if package == "henderson":
            continue
        style: dict[str, Any] = {"color": f"C{color}", "linestyle": "none", "markersize": 5}
        done: list[tuple[float, float]] = []
        stopped: list[tuple[float, float]] = []
        for position, name in enumerate(names):
            found = results["shapes"][name]
            own, other = time_of(found, "henderson"), time_of(found, package)
            limit = found["packages"].get(package, {}).get("stopped")
            height = position + 0.15 * (color - 2.5)
            if own and other:
                done.append((other / own, height))
            elif own and limit:
                stopped.append((limit / own, height))
        if done or stopped:
            axes.plot(*zip(*done, strict=True) if done else ([], []), marker=marker, label=package, **style)
            axes.plot(*zip(*stopped, strict=True) if stopped else ([], []), marker=">", markerfacecolor="none", **style)
    axes.axvline(1.0, color="C0", linewidth=1.0)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.grid(axis="y", linewidth=0.3)
    axes.set(xscale="log", xlabel="time over henderson's; open: stopped there")


def time_of(found: dict[str, Any], package: str) -> float | None:
    seconds: float | None = found["packages"].get(package, {}).get("seconds")
    return seconds
