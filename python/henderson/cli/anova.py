"""``henderson anova``: tests of the terms of one model, or a comparison of several."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from henderson import errors_cli
from henderson.cli.files import emit, emit_table, read_table, records
from henderson.cli.models import DDF, add_model, add_output, fitted, is_formula, is_saved, loaded

if TYPE_CHECKING:
    from henderson.model import LinearMixedModel

EXAMPLES = """\
examples:
  henderson anova "angle ~ recipe * temp + (1 | recipe:replicate)" cake
  henderson anova "angle ~ recipe * temp + (1 | recipe:replicate)" cake --type 2 --ddf kenward-roger
  henderson anova "y ~ x + (1 | g)" "y ~ x + (x | g)" measurements.csv
  henderson anova small.henderson large.henderson --json
"""
TYPE, RULE = "3", "satterthwaite"


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "anova",
        help="test the terms of a model, or compare models",
        description="F tests of the fixed effects of one model, or likelihood-ratio tests between several.",
        usage="henderson anova MODEL [MODEL ...] [DATA] [options]",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser, "saved fits and formulas, and the data of the formulas")
    group = parser.add_argument_group("one model")
    group.add_argument("--type", choices=("1", "2", "3", "I", "II", "III"), help=f"type of the tests (default: {TYPE})")
    group.add_argument("--ddf", choices=DDF, help=f"denominator degrees of freedom (default: {RULE})")
    group = parser.add_argument_group("several models")
    group.add_argument("--no-refit", action="store_true", help="compare REML fits as they are")
    add_output(parser, "the table")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Fit or load the models, show the table."""
    from henderson.inference.comparison import compare

    models = _models(options.arguments, options)
    if len(models) == 1:
        found = models[0].anova(type=options.type or TYPE, ddf=options.ddf or RULE)
    else:
        of_one = [name for name, value in (("--type", options.type), ("--ddf", options.ddf)) if value is not None]
        if of_one:
            raise errors_cli.options_of_one_model(of_one)
        found = compare(models, not options.no_refit)
    table = found.to_frame().reset_index()
    if options.json and options.output is None:
        emit(options, records(table))
    elif options.output is not None:
        emit_table(options, table)
    else:
        emit(options, str(found))


def _models(arguments: Sequence[str], options: argparse.Namespace) -> list[LinearMixedModel]:
    """The models in order; what is neither a formula nor a saved fit is the data of the formulas."""
    formulas = [part for part in arguments if is_formula(part)]
    others = [part for part in arguments if not is_formula(part) and not is_saved(part)]
    if formulas and not others:
        raise errors_cli.data_missing(formulas[0])
    if len(others) > 1:
        raise errors_cli.several_data(others)
    if others and not formulas:
        raise errors_cli.data_without_formula(others[0])
    data = read_table(others[0]) if others else None
    return [
        fitted(part, data, options) if is_formula(part) else loaded(part, options)
        for part in arguments
        if part not in others
    ]
