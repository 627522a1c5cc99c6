"""The command line: `sim2real VERB ...`."""

from sim2real.cli.main import VERBS, main

__all__ = ["VERBS", "main"]
