"""The verb `verify`: compare a run with what was recorded when it was made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from tyro.conf import Positional

from sim2real.cli.command import RunCommand
from sim2real.cli.output import Outcome, table


@dataclass(frozen=True, kw_only=True)
class Verify(RunCommand):
    """Compare a run's hashes, versions and returns with those recorded when it was made."""

    path: Positional[Path]
    """Run folder, or a shipped policy such as pretrained:hopper."""
    episodes: int = 0
    """Evaluate the policy on the first so many episodes of the last point of its learning curve."""

    def run(self) -> Outcome:
        """Call `sim2real.runs.verify.verify`."""
        from sim2real.runs.verify import verify

        found = verify(self.path, self.episodes, **self.loading())
        rows = [asdict(one) for one in found.findings]
        data = {"run": str(found.run), "intact": found.intact, "findings": rows}
        title = f"{found.run}: {'intact' if found.intact else 'not intact'}"
        return Outcome(data, [table(title, rows)], code=0 if found.intact else 1)
