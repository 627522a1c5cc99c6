"""`sim2real <verb>`: every verb is the library's function of the same name, as a typed command.

A command prints a table and writes the same as JSON beside it; `--json` prints the JSON instead.
Exit codes: 0 done; 1 an audit or a check found errors, the disk is full, or the reader of the
output is gone; 2 bad input; 130 interrupted. A new verb is one subclass of `Command` in a file of
this package, and one line in `VERBS`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, cast

import tyro

from sim2real import __version__
from sim2real.cli import (
    attribution,
    audit,
    check,
    export,
    failures,
    identify,
    information,
    log,
    new,
    planning,
    policies,
    replay,
    report,
    robot,
    study,
    sweeps,
    training,
    tune,
    verify,
)
from sim2real.cli.arguments import check_words, with_homes
from sim2real.cli.command import Command
from sim2real.cli.output import show
from sim2real.errors import ChangedError, UserError
from sim2real.files import write_json

VERBS: dict[str, type[Command]] = {
    "pretrain": training.Pretrain,
    "transfer": training.Transfer,
    "distill": training.Distill,
    "evaluate": policies.Evaluate,
    "failures": failures.Failures,
    "attribute": attribution.Attribute,
    "sweep": sweeps.SweepVerb,
    "influence": sweeps.InfluenceVerb,
    "plan": planning.PlanVerb,
    "decide": planning.Decide,
    "identify": identify.Identify,
    **{f"log {name}": command for name, command in log.LOG_VERBS.items()},
    "report": report.Report,
    "compare": report.Compare,
    "study": study.Study,
    "tune": tune.Tune,
    "resume": training.Resume,
    "verify": verify.Verify,
    "publish": policies.Publish,
    "export": export.Export,
    "preflight": export.Preflight,
    "run": robot.Run,
    "robot": robot.Robot,
    "view": policies.View,
    "replay": replay.Replay,
    "audit": audit.Audit,
    "check": check.Check,
    "new": new.New,
    "list": information.List,
    "doctor": information.Doctor,
}

ABOUT = (
    "Pretrain a policy in randomized worlds, transfer it to a shifted one, measure the gap. "
    "`sim2real --version` prints the version."
)

REFUSED = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG),
)
"""Errors of a full or damaged disk, or of a folder that cannot be written."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code."""
    warnings.formatwarning = cast(Any, _one_line)
    try:
        try:
            return _main(sys.argv[1:] if argv is None else list(argv))
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has closed standard output
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _main(words: list[str]) -> int:
    if words == ["--version"]:
        print(f"sim2real {__version__}")
        return 0
    if " ".join(words[:2]) in VERBS:  # a verb of two words
        words = [" ".join(words[:2]), *words[2:]]
    try:
        check_words(words, VERBS)
    except UserError as error:
        return fail(f"error: {error}", 2)
    command: Command = tyro.extras.subcommand_cli_from_dict(
        dict(VERBS),
        args=words,
        prog="sim2real",
        description=ABOUT,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    command = with_homes(command)
    try:
        return _execute(command)
    except ChangedError as error:
        hint = "; --accept-changes goes on" if hasattr(command, "accept_changes") else ""
        return fail(f"error: {error.what}{hint}", 2)
    except UserError as error:
        return fail(f"error: {error}", 2)
    except KeyboardInterrupt as error:
        return fail(f"interrupted: {str(error) or command.interrupted}", 130)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        where = f" {error.filename}" if error.filename else ""
        reason = f"cannot write{where}: {error.strerror}"
        return fail(f"error: {reason}; what was saved before is whole", 1)


def _one_line(message: Warning | str, *_: Any, **__: Any) -> str:
    """A warning as one line, without the source line that raised it."""
    return f"warning: {' '.join(str(message).split())}\n"


def _execute(command: Command) -> int:
    """Run the command; print only its result to standard output; return the exit code."""
    with contextlib.redirect_stdout(sys.stderr if command.json else sys.stdout):
        outcome = command.run()
    if outcome.file is not None:
        write_json(outcome.file, outcome.data)
    if command.json:
        print(json.dumps(outcome.data, indent=2))
        return outcome.code
    show(outcome.tables, sys.stdout)
    for written in filter(None, (outcome.file, outcome.page)):
        print(f"written to {written}")
    return outcome.code


def fail(message: str, code: int) -> int:
    """Print `message` on one line of standard error, without control characters; return `code`."""
    line = " ".join(message.split())
    print("".join(c if c.isprintable() else repr(c)[1:-1] for c in line), file=sys.stderr)
    return code
