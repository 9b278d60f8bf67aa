"""``henderson simulate``: responses drawn from a model."""

from __future__ import annotations

import argparse
from typing import Any

from henderson import errors_cli
from henderson.cli.files import beside, emit_table, read_table
from henderson.cli.models import MODEL_HELP, add_model, add_output, first_model, text_columns

EXAMPLES = """\
examples:
  henderson simulate "Reaction ~ Days + (Days | Subject)" sleepstudy -n 5 --seed 1
  henderson simulate school.henderson new.csv -n 100 --seed 1 --output draws.parquet
  henderson simulate school.henderson new.csv --conditional --with-data
"""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "simulate",
        help="draw responses from a model",
        description="Responses drawn from a model, a column each, as CSV; at the rows of the fit or of a table.",
        usage="henderson simulate MODEL NEWDATA [options]\n       henderson simulate FORMULA DATA [NEWDATA] [options]",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser, f"{MODEL_HELP}; then, if not the rows of the fit, a table")
    group = parser.add_argument_group("what is drawn")
    group.add_argument("-n", type=int, default=1, metavar="N", help="number of responses (default: 1)")
    group.add_argument("--seed", type=int, help="the same seed gives the same responses")
    group.add_argument("--conditional", action="store_true", help="keep the random effects, draw residuals only")
    group.add_argument("--with-data", action="store_true", help="put the columns of the new table in front")
    add_output(parser, "the responses")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Draw, show."""
    fit, rest = first_model(options.arguments, options)
    if len(rest) > 1:
        raise errors_cli.arguments_left(rest[1:])
    new = read_table(rest[0], text_columns(fit)) if rest else None
    drawn = fit.simulate(options.n, newdata=new, conditional=options.conditional, seed=options.seed)
    if options.with_data:
        if new is None:
            raise errors_cli.with_data_of_none()
        drawn = beside(new, drawn)
    emit_table(options, drawn)
