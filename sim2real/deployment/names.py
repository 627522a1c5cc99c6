"""The names in the folder of an exported policy: files, inputs and outputs; nothing is imported."""

from __future__ import annotations

CONTRACT, CONTROLLER = "contract.json", "controller.onnx"
TORCHSCRIPT = "policy.pt"
FORMAT = "sim2real-policy/1"
STATE, FIRST, NEXT_STATE = "state", "first", "next_state"
OBSERVATION, ACTIONS, COMMANDS = "observation", "actions", "commands"
POSITIONS, VELOCITIES = "joints.position", "joints.velocity"
