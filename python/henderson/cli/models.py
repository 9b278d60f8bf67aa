"""Models as arguments: a file that ``fit.save`` wrote, or a formula and its data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from henderson import errors_cli
from henderson.cli.files import read_table
from henderson.expression import Name
from henderson.levels import Categories

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

DDF = ("satterthwaite", "kenward-roger", "residual", "normal")
ZIP = b"PK\x03\x04"
MODEL_HELP = "a file written by fit --save, or a formula and its data"


def add_model(parser: argparse.ArgumentParser, help_text: str) -> None:
    """Add the arguments that name models and data, and the options of a fit."""
    parser.add_argument("arguments", nargs="+", metavar="MODEL", help=help_text)
    add_fit_options(parser)


def add_fit_options(parser: argparse.ArgumentParser) -> None:
    """Add how a formula is fitted."""
    group = parser.add_argument_group("how a formula is fitted")
    group.add_argument("--ml", action="store_true", help="maximum likelihood instead of REML")
    group.add_argument("--weights", metavar="COLUMN", help="column of precision weights")
    group.add_argument("--offset", metavar="COLUMN", help="column with a known part of the mean")
    group.add_argument("--subset", metavar="QUERY", help="rows to use, for example 'Days > 1'")
    group.add_argument("--threads", type=int, default=0, metavar="N", help="threads (default: by size of the problem)")
    group.add_argument("--progress", action="store_true", help="show a progress line on stderr")


def add_output(parser: argparse.ArgumentParser, what: str) -> None:
    """Add where the result goes."""
    parser.add_argument("--json", action="store_true", help=f"print {what} as JSON")
    parser.add_argument("--digits", type=positive, metavar="K", help="significant digits of tables (default: all)")
    parser.add_argument("--output", "-o", metavar="FILE", help="write to a file instead of standard output")


def positive(text: str) -> int:
    """A whole number from 1 on."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return value


def is_formula(argument: str) -> bool:
    """Whether an argument is a formula."""
    return "~" in argument


def is_saved(argument: str) -> bool:
    """Whether an argument is the name of a saved fit, or of a file that is not there."""
    path = Path(argument)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(ZIP)) == ZIP


def fitted(formula: str, data: Any, options: argparse.Namespace) -> LinearMixedModel:
    """Fit a formula as the options say."""
    from henderson.fitting import lmer

    return lmer(
        formula,
        data,
        reml=not options.ml,
        weights=options.weights,
        offset=options.offset,
        subset=options.subset,
        threads=options.threads,
        progress=options.progress,
    )


def loaded(path: str, options: argparse.Namespace) -> LinearMixedModel:
    """Load a saved fit; how to fit has then been said."""
    from henderson.persistence.loading import load

    given = {"--ml": options.ml, "--weights": options.weights, "--offset": options.offset, "--subset": options.subset}
    names = [name for name, value in given.items() if value]
    if names:
        raise errors_cli.fit_options_with_saved(names)
    return load(path)


def first_model(arguments: Sequence[str], options: argparse.Namespace) -> tuple[LinearMixedModel, list[str]]:
    """The model that the first arguments name, and the other arguments."""
    first, *rest = arguments
    if not is_formula(first):
        return loaded(first, options), rest
    if not rest:
        raise errors_cli.data_missing(first)
    return fitted(first, read_table(rest[0]), options), rest[1:]


def text_columns(model: LinearMixedModel) -> list[str]:
    """The columns of new data that are text because the levels of the model are: "007" must not be read as 7."""
    design = model.design
    found = {name: values.levels for name, values in design.recipe.columns.items() if isinstance(values, Categories)}
    for factor in design.factors:
        for variable, levels in zip(factor.variables, factor.parts, strict=True):
            if isinstance(variable, Name):
                found[variable.name] = levels
    return [name for name, levels in found.items() if all(isinstance(label, str) for label in levels.labels.tolist())]
