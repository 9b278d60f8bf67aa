"""The program: reads the arguments, runs a command, and turns what went wrong into words and exit codes.

0   done
1   done, but a fit did not converge; the result is printed and a warning says so
2   error: arguments, data, files
130 interrupted
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence

from henderson import _version, errors
from henderson.cli import anova, bench, datasets, fit, predict, simulate

COMMANDS = (fit, anova, predict, simulate, bench, datasets)
OK, NOT_CONVERGED, ERROR, INTERRUPTED = 0, 1, 2, 130
EPILOG = """\
examples:
  henderson fit "Reaction ~ Days + (Days | Subject)" sleepstudy
  henderson fit "score ~ age + (1 | school)" pupils.csv --save school.henderson
  henderson predict school.henderson new.csv --interval prediction --output predictions.csv
  henderson anova "angle ~ recipe * temp + (1 | recipe:replicate)" cake
  henderson COMMAND --help

exit codes: 0 done; 1 done, but a fit did not converge; 2 error; 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return OK
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        code = _run(options)
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        print(f"warning: {text}", file=sys.stderr)
    is_stuck = any(issubclass(warning.category, errors.ConvergenceWarning) for warning in caught)
    return NOT_CONVERGED if code == OK and is_stuck else code


def _run(options: argparse.Namespace) -> int:
    try:
        options.run(options)
        sys.stdout.flush()
    except (errors.MixedModelError, ImportError) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return ERROR
    except BrokenPipeError:  # the reader of the pipe has seen enough; do not flush into it again at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return OK


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    parser = argparse.ArgumentParser(
        prog="henderson",
        description="Linear mixed models from the command line.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"henderson {_version.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    for command in COMMANDS:
        command.add(commands)
    return parser
