"""The command line: `sim2real VERB ...`."""

from sim2real.cli.command_line import VERBS, main

__all__ = ["VERBS", "main"]
