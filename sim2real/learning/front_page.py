"""What TensorBoard shows first: curves that belong together, and the run in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter

from sim2real.evaluation.wrappers import GAP, SIDES
from sim2real.runs.publish import command_of
from sim2real.runs.run import RunFolder, read_folder

SCORES = ("source/score", "target/score")
"""TensorBoard tags of the scores, where a study has left references of the domain."""
GAP_CLOSED = "rollout/gap_closed"
"""TensorBoard tag of the share of the gap that is closed, in scores."""
LAYOUT = {
    "Transfer": {
        "return in source and target": ["Multiline", list(SIDES)],
        "score in source and target": ["Multiline", list(SCORES)],
        "gap": ["Multiline", [GAP]],
        "gap closed": ["Multiline", [GAP_CLOSED]],
    },
    "Training": {
        "return": ["Multiline", ["rollout/ep_rew_mean"]],
        "share of the episodes": ["Multiline", ["rollout/failure_rate", "rollout/success_rate"]],
        "reward terms": ["Multiline", ["rollout/reward/.*"]],
    },
}
"""The charts of the tab Custom Scalars, by their headings; a name is a regular expression."""
TEXT = "run"
"""TensorBoard tag of the text."""


def write_front_page(writer: SummaryWriter, run: Path) -> None:
    """Write the layout, and for a run folder its command and its domains as text."""
    events: Any = writer
    events.add_custom_scalars(LAYOUT)
    if (run / "config.yaml").is_file():
        events.add_text(TEXT, in_words(read_folder(run)), 0)


def in_words(folder: RunFolder) -> str:
    """The command that makes a run, and its domains in words, in Markdown."""
    lines = [f"    {command_of(folder.config, folder.task_info['name'])}", ""]
    for domain in folder.domains.values():
        lines += [f"**{domain.name}** {domain.about}", ""]
        lines += [*(f"- {one}" for one in domain.describe()), ""]
    return "\n".join(lines)
