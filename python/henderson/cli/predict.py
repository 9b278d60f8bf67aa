"""``henderson predict``: predictions for the rows of a table."""

from __future__ import annotations

import argparse
from typing import Any

from henderson import errors_cli
from henderson.cli.files import beside, emit_table, read_table
from henderson.cli.models import DDF, MODEL_HELP, add_model, add_output, first_model, text_columns

EXAMPLES = """\
examples:
  henderson predict school.henderson new.csv
  henderson predict school.henderson new.csv --interval prediction --level 0.9 --output predictions.csv
  henderson predict school.henderson new.csv --re none
  henderson predict "Reaction ~ Days + (Days | Subject)" sleepstudy new.csv --re "(1 | Subject)"
  henderson predict "y ~ x + (1 | g)" old.parquet new.jsonl --new-groups error --json
"""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "predict",
        help="predict new rows",
        description="Predictions for the rows of a table, as CSV with the columns of the table in front.",
        usage="henderson predict MODEL NEWDATA [options]\n       henderson predict FORMULA DATA NEWDATA [options]",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_model(parser, f"{MODEL_HELP}; then the rows to predict")
    group = parser.add_argument_group("what is predicted")
    group.add_argument(
        "--re",
        action="append",
        metavar="TERMS",
        help='random effects that take part: all (default), none, a grouping factor or a term such as "(1 | g)"; may '
        "be repeated",
    )
    group.add_argument(
        "--new-groups",
        choices=("population", "error", "nan"),
        default="population",
        help="levels that the model has not seen (default: population)",
    )
    group.add_argument("--interval", choices=("confidence", "prediction"), help="add intervals of this kind")
    group.add_argument("--level", type=float, default=0.95, help="their level (default: 0.95)")
    group.add_argument("--ddf", choices=DDF, default="satterthwaite", help="their degrees of freedom")
    group.add_argument("--std-error", action="store_true", help="add standard errors")
    group.add_argument("--only", action="store_true", help="leave out the columns of the new data")
    add_output(parser, "the predictions")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Predict, show."""
    import pandas as pd

    fit, rest = first_model(options.arguments, options)
    if not rest:
        raise errors_cli.newdata_missing()
    if len(rest) > 1:
        raise errors_cli.arguments_left(rest[1:])
    new = read_table(rest[0], text_columns(fit))
    found = fit.predict(
        new,
        re=_selected(options.re),
        new_groups=options.new_groups,
        interval=options.interval,
        level=options.level,
        ddf=options.ddf,
        std_error=options.std_error,
    )
    table = found.rename("estimate").to_frame() if isinstance(found, pd.Series) else found
    emit_table(options, table if options.only else beside(new, table))


def _selected(given: list[str] | None) -> Any:
    """The random effects of ``--re`` as `predict` takes them."""
    if given is None or given == ["all"]:
        return "all"
    if given == ["none"]:
        return None
    return given[0] if len(given) == 1 else given
