"""The command line: ``henderson fit "Reaction ~ Days + (Days | Subject)" sleepstudy``; one file a command."""

from henderson.cli.program import main

__all__ = ["main"]
