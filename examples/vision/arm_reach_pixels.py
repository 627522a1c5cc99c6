"""Arm reach from pixels: the place of the goal is not told, a camera beside the arm shows it."""

from __future__ import annotations

from typing import ClassVar

import mujoco

from sim2real.envs.arm_reach import ArmReach
from sim2real.task import Array, Image, World

EYE = {"pos": [0.75, -0.55, 0.55], "xyaxes": [0.62, 0.78, 0.0, -0.37, 0.29, 0.88]}
"""The place of the camera in m, and its x and y axes: it looks down at the arm from the front."""
HIDDEN = ("goal", "to_goal")


class ArmReachPixels(ArmReach):
    """As arm_reach, but the policy observes an image of the arm and the green goal.

    The physics, actions and rewards are those of arm_reach; `goal` and `to_goal` are privileged.
    """

    model = str(ArmReach().model_file)
    commanded = ("target", "action")
    images: ClassVar = {"eye": Image("eye", width=64, height=64, period=0.08)}

    def edit(self, spec: mujoco.MjSpec) -> None:
        spec.worldbody.add_camera(name="eye", fovy=45.0, **EYE)

    def observe(self, world: World) -> dict[str, Array]:
        terms = super().observe(world)
        return {name: values for name, values in terms.items() if name not in HIDDEN}

    def privileged(self, world: World) -> dict[str, Array]:
        terms = ArmReach.observe(self, world)
        return {name: terms[name] for name in HIDDEN} | super().privileged(world)
