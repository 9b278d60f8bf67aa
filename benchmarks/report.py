"""The tables of README.md and of pages under docs/, between their markers, from results.json."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import limits

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": ("benchmark",),
    "docs/performance.md": ("shapes", "memory", "criteria", "costs", "limits", "far"),
    "docs/large-data.md": ("large",),
    "docs/coming-from-statsmodels.md": ("statsmodels",),
}
PEERS = ("mixedlm", "gpboost", "statsmodels", "lme4")
TITLES = {"gpboost": "GPBoost"}
WORSE = 1e-3  # a criterion so far above the best is marked
FAR = 3.0  # times the floor: a shape that docs/performance.md has to explain
MEMORY, GAIN, CROSSED, SINGLE = 1.3, 1.7, 2.5, 4.0  # targets: peak memory, second thread, derivatives over the value
NOTES = "abcdefgh"

Results = dict[str, Any]
Found = dict[str, Any]


def write(results: Results) -> None:
    """Replace the tables of the pages; draw the plots where matplotlib is installed."""
    import plots

    for name, sections in PAGES.items():
        page = ROOT / name
        text = page.read_text(encoding="utf-8")
        for section in sections:
            text = between(text, section, "\n".join(SECTIONS[section](results)))
        page.write_text(text, encoding="utf-8")
    plots.draw(results, ROOT / "docs")


def between(text: str, name: str, body: str) -> str:
    """Put `body` between the markers `<!-- name: begin -->` and `<!-- name: end -->`."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    head, found, rest = text.partition(begin)
    if not found or end not in rest:
        raise ValueError(f"no markers for {name!r}")
    return f"{head}{begin}{body}\n{end}{rest.partition(end)[2]}"


# ------------------------------------------------------------------------------------------------------- one shape


def line(name: str, found: Found) -> str:
    """One shape for the terminal."""
    own = found["packages"]["henderson"]
    if not found["anatomy"]:
        return f"{name:21} {own}"
    others = "".join(
        f"; {peer} {found['packages'][peer].get('cannot') or bare_cell(found['packages'][peer])}"
        for peer in PEERS
        if peer in found["packages"]
    )
    core = core_seconds(found, "all_threads")
    memory = f"memory {memory_ratio(found):.2f}, " if found["is_large"] else ""
    counts = f"{own['evaluations']:.3g} evaluations, {memory}threads {gain(found):.2f}"
    return f"{name:21} {seconds(own['seconds']):>9} ({verdict(found)}), core {seconds(core)}, {counts}{others}"


def verdict(found: Found) -> str:
    """Whether the targets of time are met."""
    own, target, core = found["packages"]["henderson"]["seconds"], found["target_s"], found["core_target_s"]
    if target is None:
        lme4 = found["packages"].get("lme4", {})
        if "seconds" not in lme4:
            return "met" if "stopped" in lme4 else "not compared"
        target = lme4["seconds"]
    words = "met" if own <= target else f"missed, x {own / target:.2g}"
    if core is not None:
        taken = core_seconds(found, "all_threads")
        words += ", core met" if taken <= core else f", core missed, x {taken / core:.2g}"
    return words


def core_seconds(found: Found, threads: str) -> float:
    """Cross-products and optimum."""
    parts: dict[str, float] = found["anatomy"][threads]
    return parts["products_s"] + parts["optimum_s"]


def gain(found: Found) -> float:
    """How much faster the compiled part is on all threads than on one."""
    return core_seconds(found, "one_thread") / core_seconds(found, "all_threads")


def memory_ratio(found: Found) -> float:
    """Table and what the fit added at its peak, over table, cross-products and factor."""
    own, apart = found["packages"]["henderson"], found["anatomy"]
    needed = apart["table_bytes"] + apart["work"]["cross_bytes"] + apart["work"]["stored_bytes"]
    return float((apart["table_bytes"] + own["peak_bytes"] - own["before_bytes"]) / needed)


def derivatives(found: Found, threads: str) -> float:
    """Cost of the gradient over that of the value."""
    parts = found["anatomy"][threads]
    return float(parts["gradient_s"] / parts["value_s"]) - 1.0


def distance(found: Found, rates: dict[str, Any]) -> tuple[float, str, float]:
    """Least seconds of one evaluation, what sets them, and of all evaluations."""
    floor, reason = limits.floor_seconds(limits.Work(**found["anatomy"]["work"]), rates)
    return floor, reason, floor * found["packages"]["henderson"]["evaluations"]


def far_shapes(results: Results) -> list[str]:
    """Names of the shapes more than three times from their limit, on one thread or on all."""
    far = []
    for name, found in measured(results).items():
        total = distance(found, results["rates"])[2]
        slowest = max(found["anatomy"][threads]["optimum_s"] for threads in ("all_threads", "one_thread"))
        if slowest > FAR * total:
            far.append(name)
    return far


def measured(results: Results) -> dict[str, Found]:
    """The shapes that henderson has fitted."""
    return {name: each for name, each in results["shapes"].items() if each["anatomy"]}


# ---------------------------------------------------------------------------------------------- comparison with peers


def comparison(results: Results) -> list[str]:
    """Time of a call, of each package."""
    notes: list[str] = []
    lines = heading(["shape", "rows"], results)
    for found in results["shapes"].values():
        cells = [cell(found["packages"].get(name), notes, results) for name in present(results)]
        lines.append(row(found["title"], found["size"].split(";")[0], *cells))
    legend = [
        f"Median of {results['turns']} calls, or of as many as the brackets say.",
        f"`> {results['budget_s']:g} s`: stopped in its first call.",
        "+x: the criterion that was reached is x above the best.",
        *(f"{letter}) {note}." for letter, note in zip(NOTES, notes, strict=False)),
    ]
    return [*lines, "", *legend, "", f"{signature(results)} From `{_command(results)}`."]


def cell(record: Found | None, notes: list[str], results: Results) -> str:
    """Time, with what qualifies it; reasons go to the notes."""
    if record is None:
        return ""
    reason = record.get("cannot") or record.get("failed")
    if reason:
        if reason not in notes:
            notes.append(reason)
        return f"{'–' if 'cannot' in record else 'fails'} {NOTES[notes.index(reason)]})"
    turns = record.get("turns", 1)
    fewer = f" ({turns})" if "seconds" in record and turns < results["turns"] else ""
    return bare_cell(record) + fewer


def bare_cell(record: Found) -> str:
    """Time or why there is none; marked where the criterion is worse than the best."""
    if "stopped" in record:
        return f"> {record['stopped']:g} s"
    if "seconds" not in record:
        return "fails"
    above = record.get("above_best")
    mark = ", criterion not reported" if above is None else f", +{above:.2g}" if above > WORSE else ""
    return seconds(record["seconds"]) + mark


def against_statsmodels(results: Results) -> list[str]:
    """Times of the shapes that statsmodels has fitted, or was stopped at, beside henderson's."""
    versions = results["machine"]["versions"]
    heads = ["shape", "rows", *(f"{name} {versions[name]}" for name in ("henderson", "statsmodels")), "times as fast"]
    lines = [row(*heads), "|---|---:|---:|---:|---:|"]
    for found in measured(results).values():
        own, other = (found["packages"].get(name, {}) for name in ("henderson", "statsmodels"))
        taken, own_seconds = other.get("seconds", other.get("stopped")), own["seconds"]
        if taken is not None:
            times_as_fast = f"{float(f'{taken / own_seconds:.2g}'):,.0f}"
            ratio = f"> {times_as_fast}" if "stopped" in other else times_as_fast
            lines.append(row(found["title"], found["size"].split(";")[0], bare_cell(own), bare_cell(other), ratio))
    return [*lines, "", f"{signature(results)} From `{_command(results)}`."]


def large(results: Results) -> list[str]:
    """Time and memory of the large tables, henderson's alone."""
    lines = ["| shape | rows; levels | time | added memory |", "|---|---|---:|---:|"]
    for found in measured(results).values():
        if found["is_large"]:
            own = found["packages"]["henderson"]
            added = megabytes(own["peak_bytes"] - own["before_bytes"])
            lines.append(row(found["title"], found["size"], seconds(own["seconds"]), added))
    return lines


def memory(results: Results) -> list[str]:
    """Peak memory that the first call added in each package's process."""
    lines = heading(["shape", "needed", "ratio"], results)
    for found in measured(results).values():
        if found["kind"] != "formula":
            continue
        apart = found["anatomy"]
        needed = apart["table_bytes"] + apart["work"]["cross_bytes"] + apart["work"]["stored_bytes"]
        ratio = f"{memory_ratio(found):.2f}" if found["is_large"] else ""
        records = [found["packages"].get(name, {}) for name in present(results)]
        added = [megabytes(each["peak_bytes"] - each["before_bytes"]) if "seconds" in each else "" for each in records]
        lines.append(row(found["title"], megabytes(needed), ratio, *added))
    return lines


def criteria(results: Results) -> list[str]:
    """Evaluations of the criterion, and how far above the best it ended."""
    lines = heading(["shape", "criterion"], results)
    for found in results["shapes"].values():
        records = [found["packages"].get(name, {}) for name in present(results)]
        known = [each for each in records if each.get("criterion_is") == "REML"]
        best = min((each["criterion"] for each in known), default=None)
        lines.append(row(found["title"], "" if best is None else f"{best:.6f}", *map(criterion_cell, records)))
    return lines


def criterion_cell(record: Found) -> str:
    if "seconds" not in record:
        return ""
    above = record.get("above_best")
    parts = ["not reported" if above is None else "best" if above < WORSE / 10 else f"+{above:.2g}"]
    if record.get("criterion_is") == "ML":
        parts.append("ML")
    if record.get("evaluations") is not None:
        parts.append(f"{record['evaluations']:.3g} evaluations")
    return ", ".join(parts)


# ----------------------------------------------------------------------------------------------------- henderson alone


def times(results: Results) -> list[str]:
    """Time of each shape against its target."""
    heads = ["shape", "rows; levels", "target", "henderson", "target is", "core", "evaluations", "published, seconds"]
    lines = [row(*heads), "|---|---|---:|---:|---|---:|---:|---|"]
    for found in results["shapes"].values():
        own = found["packages"]["henderson"]
        target = "lme4's" if found["target_s"] is None else seconds(found["target_s"])
        row_of = [found["title"], found["size"], target]
        if found["anatomy"]:
            core = seconds(core_seconds(found, "all_threads"))
            counts = f"{own['evaluations']:.3g}" + (", singular" if found["anatomy"]["singular"] else "")
            row_of += [seconds(own["seconds"]), verdict(found), core, counts]
        else:
            row_of += [bare_cell(own), "missed", "", ""]
        lines.append(row(*row_of, found["published"]))
    return [*lines, "", signature(results)]


def costs(results: Results) -> list[str]:
    """What a second thread gains, and what derivatives cost."""
    heads = ["shape", "one thread", "all", "gain", "target", "value", "and gradient", "derivatives", "on one thread"]
    lines = [row(*heads, "target"), "|---|" + "---:|" * 9]
    for found in measured(results).values():
        apart = found["anatomy"]
        alone, together = core_seconds(found, "one_thread"), core_seconds(found, "all_threads")
        fast = apart["all_threads"]
        lines.append(
            row(
                *(found["title"], seconds(alone), seconds(together), f"{alone / together:.2f}"),
                met(gain(found) >= GAIN, f"{GAIN:g}") if found["is_large"] else "",
                *(seconds(fast["value_s"]), seconds(fast["gradient_s"])),
                *(f"{derivatives(found, 'all_threads'):.2f}", f"{derivatives(found, 'one_thread'):.2f}"),
                derivative_verdict(found),
            )
        )
    return lines


def derivative_verdict(found: Found) -> str:
    target = SINGLE if found["anatomy"]["work"]["storage"] == "block diagonal" else CROSSED
    return met(derivatives(found, "one_thread") <= target, f"{target:g}")


def met(is_met: bool, target: str) -> str:
    return f"{target}, {'met' if is_met else 'missed'}"


def distances(results: Results) -> list[str]:
    """Each shape's floor on one core, and the time of its evaluations against it."""
    heads = ["shape", "flop", "bytes", "set by", "floor of one", "evaluations", "optimum", "x floor", "on one thread"]
    lines = [row(*heads, "x floor"), "|---|---:|---:|---|" + "---:|" * 6]
    for found in measured(results).values():
        floor, reason, total = distance(found, results["rates"])
        needed = found["anatomy"]["work"]
        ours, alone = (found["anatomy"][threads]["optimum_s"] for threads in ("all_threads", "one_thread"))
        evaluations = found["packages"]["henderson"]["evaluations"]
        cells = [quantity(needed["flops"]), quantity(needed["bytes"]), reason, seconds(floor), f"{evaluations:.3g}"]
        cells += [seconds(ours), f"{ours / total:.2g}", seconds(alone), f"{alone / total:.2g}"]
        lines.append(row(found["title"], *cells))
    rates = results["rates"]
    streams = ", ".join(
        f"{rate / 1e9:.0f} GB/s over {quantity(float(size))}B" for size, rate in rates["stream_bytes"].items()
    )
    return [*lines, "", f"One core: {rates['gemm_flops'] / 1e9:.0f} Gflop/s in GEMM; {streams}."]


def far(results: Results) -> list[str]:
    """Where the time goes, of the shapes that are far from their limit."""
    heads = ["shape", "whole call", "outside the core", "cross-products", "optimum", "its evaluations", "their floor"]
    lines = [row(*heads), "|---|" + "---:|" * 6]
    for name in far_shapes(results):
        found = results["shapes"][name]
        own, parts = found["packages"]["henderson"], found["anatomy"]["all_threads"]
        outside = max(0.0, own["seconds"] - core_seconds(found, "all_threads"))
        evaluations = f"{own['evaluations']:.3g} x {seconds(parts['gradient_s'])}"
        floor = seconds(distance(found, results["rates"])[2])
        cells = [seconds(own["seconds"]), seconds(outside), seconds(parts["products_s"]), seconds(parts["optimum_s"])]
        lines.append(row(f"`{name}`", *cells, evaluations, floor))
    return lines


SECTIONS: dict[str, Callable[[Results], list[str]]] = {
    "benchmark": comparison,
    "shapes": times,
    "memory": memory,
    "large": large,
    "statsmodels": against_statsmodels,
    "criteria": criteria,
    "costs": costs,
    "limits": distances,
    "far": far,
}


# -------------------------------------------------------------------------------------------------------------- words


def present(results: Results) -> list[str]:
    """The packages that were measured, henderson first."""
    versions = results["machine"]["versions"]
    return [name for name in ("henderson", *PEERS) if name in versions]


def heading(heads: list[str], results: Results) -> list[str]:
    versions = results["machine"]["versions"]
    names = [f"{TITLES.get(name, name)} {versions[name]}" for name in present(results)]
    return [row(*heads, *names), "|---|" + "---:|" * (len(heads) - 1 + len(names))]


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def signature(results: Results) -> str:
    """Machine, versions and days."""
    of = results["machine"]
    used = ", ".join(f"{name} {of['versions'][name]}" for name in ("numpy", "pandas"))
    days = sorted({each["measured"].split()[0] for each in results["shapes"].values()})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    parts = [of["processor"], f"{of['cores']} cores", of["simd"], f"Python {of['python']}", used, of["r"], when]
    return ", ".join(part for part in parts if part) + "."


def seconds(value: float) -> str:
    """Three digits and a unit."""
    factor, unit = (1.0, "s") if value >= 0.9995 else (1e3, "ms") if value >= 0.9995e-3 else (1e6, "us")
    return f"{value * factor:.3g} {unit}" if value * factor < 999.5 else f"{value * factor:,.0f} {unit}"


def megabytes(value: float) -> str:
    return f"{value / 1e6:,.0f} MB" if value >= 9.95e6 else f"{value / 1e6:.1f} MB"


def quantity(value: float) -> str:
    """Three digits and a prefix."""
    for prefix in ("", "k", "M", "G"):
        if value < 999.5:
            return f"{value:.3g} {prefix}"
        value /= 1000
    return f"{value:.3g} T"


def _command(results: dict[str, Any]) -> str:
    """The command that measures with the options of these results."""
    options = f"--budget {results['budget_s']:g} --turns {results['turns']}"
    return f'make bench OPTIONS="{options}"'
