"""The verbs that bring a policy to a robot: `export` and `preflight`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from sim2real.cli.command import Command, PolicyCommand
from sim2real.cli.output import Outcome, table


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
    """Check an exported policy on this computer: files, contract, test vectors, limits, speed."""

    folder: Positional[Path]
    """The folder that `sim2real export` wrote."""

    def run(self) -> Outcome:
        """Call `sim2real.deployment.preflight`."""
        from sim2real.deployment.preflight import preflight

        checks = preflight(self.folder)
        failed = sum(not one.passed for one in checks)
        title = f"{self.folder}: {failed} of {len(checks)} checks failed"
        rows = [{"check": one.name, "result": one.message or "passed"} for one in checks]
        data = {"passed": not failed, "checks": [asdict(one) for one in checks]}
        return Outcome(data, [table(title, rows)], code=1 if failed else 0)


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
