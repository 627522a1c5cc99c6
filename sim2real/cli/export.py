"""The verbs that bring a policy to a robot: `export` and `preflight`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from sim2real.cli.command import Command, PolicyCommand
from sim2real.cli.output import Outcome, table
from sim2real.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Export(PolicyCommand):
    """Write a policy as ONNX and TorchScript, alone and as a controller, with its contract."""

    source: Positional[Path]
    """Run folder, a shipped policy such as pretrained:hopper, or the .zip of a Stable-Baselines3
    model. No code in the .zip is executed."""
    out: Path
    """New folder of the files."""

    def run(self) -> Outcome:
        """Call `sim2real.deployment.export`."""
        from sim2real.deployment.export import CONTRACT, export
        from sim2real.deployment.graph import require_packages

        require_packages()
        contract = export(self.load(self.source), self.out)
        shown = [table(f"{self.source}: observations", _terms(contract)), _files(contract)]
        return Outcome(contract, shown, page=self.out / CONTRACT)


@dataclass(frozen=True, kw_only=True)
class Preflight(Command):
    """Check an exported policy on this computer, against a log or what the robot's side says.

    Ends with go or no-go: the exit code is 1 if a check fails.
    """

    folder: Positional[Path]
    """The folder that `sim2real export` wrote."""
    log: Path | None = None
    """A log of the robot, in any format that `identify` reads."""
    mapping: Path | None = None
    """YAML file: which column of the log is what, in which unit."""
    contract: Path | None = None
    """YAML file in which the robot's side says its joints, units, rate, latency and limits."""

    def run(self) -> Outcome:
        """Call `sim2real.deployment.preflight`."""
        from sim2real.deployment.preflight import preflight, read_log

        if self.mapping is not None and self.log is None:
            raise UserError("--mapping belongs to --log; there is none")
        log = None if self.log is None else read_log(self.log, self.mapping)
        checks = preflight(self.folder, log, self.contract)
        failed = sum(not one.passed for one in checks)
        result = f"no-go: {failed} of {len(checks)} checks failed" if failed else "go"
        rows = [{"check": one.name, "result": one.message or "passed"} for one in checks]
        data = {"passed": not failed, "checks": [asdict(one) for one in checks]}
        return Outcome(data, [table(f"{self.folder}: {result}", rows)], code=1 if failed else 0)


def _terms(contract: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {name: term[name] for name in ("name", "size", "history", "unit", "commanded")}
        for term in contract["observation"]["terms"]
    ]


def _files(contract: dict[str, Any]) -> Any:
    measured = contract["measured"]
    found = measured["difference"] | {"controller.onnx": measured["controller"]["actions"]}
    rows = [
        {"file": name, "largest_difference_from_predict": f"{off:.1e}"}
        for name, off in found.items()
    ]
    latency, count = measured["latency_us"], measured["observations"]
    return table(f"{count:,} recorded observations; one call of the ONNX: {latency} µs", rows)
