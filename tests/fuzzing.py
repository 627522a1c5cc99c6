"""Files of domains, studies and models with mistakes in them, from a seeded generator.

A mutation changes the text (bytes inserted, removed, repeated) or a value in its tree.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from sim2real.plain import dump_yaml

Rng = np.random.Generator
DOMAINS: dict[str, Any] = {
    "windy": {
        "about": "A windy place.",
        "dynamics": [
            {"field": "body_mass", "of": ["cart", "pole"], "scale": {"uniform": [0.7, 1.3]}},
            {"field": "dof_damping", "scale": {"log_uniform": [0.5, 2.0]}, "shared": True},
        ],
        "actuation": [{"delay": {"uniform": [0.0, 0.016]}}, {"strength": {"choice": [0.8, 1.2]}}],
        "sensing": [{"noise": {"normal": [0.0, 0.01]}, "of": "velocity"}, {"dropped": 0.1}],
    }
}
STUDY: dict[str, Any] = {
    "name": "small", "task": "cartpole", "targets": ["hard", "mild"], "seeds": 2,
    "source": {"domain": "nominal", "steps": 256, "options": {"num_envs": 4, "net_arch": [8]}},
    "methods": ["fine_tune", {"freeze": {"layers": 1}}], "budget": 256, "episodes": 2,
    "oracle": {"steps": 256, "seeds": [0]}, "evaluations": 2,
}  # fmt: skip
MODEL = """<mujoco model="arm">
  <compiler angle="radian"/>
  <option timestep="0.01" integrator="implicitfast"><flag contact="enable"/></option>
  <default><geom density="100" friction="1 0.1 0.1"/><joint damping="0.1"/></default>
  <asset><texture name="t" type="2d" builtin="checker" width="8" height="8"/>
  <material name="m" texture="t"/></asset>
  <worldbody><light pos="0 0 3"/><geom name="floor" type="plane" size="1 1 .1" material="m"/>
    <body name="upper" pos="0 0 1"><joint name="shoulder" axis="0 1 0" range="-1 1"/>
      <geom name="a" type="capsule" fromto="0 0 0 0.3 0 0" size=".03"/>
      <body name="lower" pos="0.3 0 0"><joint name="elbow" axis="0 1 0"/><site name="tip"/>
        <geom name="b" type="box" size=".1 .02 .02" mass="0.2"/></body></body></worldbody>
  <actuator><motor name="m1" joint="shoulder" gear="10" ctrlrange="-1 1"/>
    <position name="m2" joint="elbow" kp="5"/></actuator>
  <sensor><jointpos joint="elbow"/><framepos objtype="site" objname="tip"/></sensor>
  <keyframe><key name="home" qpos="0.1 0.2"/></keyframe>
</mujoco>
"""
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 10**9, -(10**12), 10**40, 0.5, -0.0, 1e308, -1e-300),
    *(float("nan"), float("inf"), "", " ", "windy", "nominal", "a\nb", "\0", "é\u202e", "x" * 5000),
    *([], {}, [[]], [1, 2, 3], {"uniform": [1, 0]}, {"a": {"b": {"c": [1]}}}, ["cart"] * 300),
    *("../../etc/passwd", "~root", "1e9", "0x1F", "2026-11-28", "!!int 3", "pole:cart", "*"),
)
PIECES = (
    b":", b"-", b"[", b"]", b"{", b"}", b"\n", b"\t", b"  ", b"&a ", b"*a", b"!", b"|", b">", b"%",
    b"#", b"\"", b"'", b"<", b"/>", b"\0", b"\xff", b"1e999", b"<<: ", b"? ", b"---\n", b"...\n",
    b"nan", b"-1", b"99999999999", b"=", b"</body>", b"\xe2\x80\xae",
)  # fmt: skip


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container in a tree with each of its keys."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        keys = list(one) if isinstance(one, dict) else list(range(len(one)))
        found += [(one, key) for key in keys]
        waiting += [one[key] for key in keys if isinstance(one[key], dict | list)]
    return found


def changed(tree: Any, rng: Rng) -> Any:
    """A copy of a tree with a few mistakes."""
    tree = json.loads(json.dumps(tree))
    for _ in range(int(rng.integers(1, 4))):
        every = places(tree)
        if not every:
            break
        container, key = every[rng.integers(len(every))]
        kind = rng.integers(4)
        if kind == 0:
            container[key] = ODD[rng.integers(len(ODD))]
        elif kind == 1:
            del container[key]
        elif kind == 2 and isinstance(container, dict):
            container[str(ODD[rng.integers(len(ODD))])[:40]] = container.pop(key)
        else:
            other, at = every[rng.integers(len(every))]
            container[key] = json.loads(json.dumps(other[at], default=str))
    return tree


def cut(text: bytes, rng: Rng) -> bytes:
    """A text with pieces inserted, removed or repeated."""
    for _ in range(int(rng.integers(1, 6))):
        at = int(rng.integers(len(text) + 1))
        end = min(len(text), at + int(rng.integers(0, 30)))
        kind = rng.integers(3)
        if kind == 0:
            text = text[:at] + PIECES[rng.integers(len(PIECES))] + text[at:]
        elif kind == 1:
            text = text[:at] + text[end:]
        else:
            text = text[:end] + text[at:end] * int(rng.integers(1, 4)) + text[end:]
    return text


def yaml_text(tree: Any, rng: Rng) -> bytes:
    """The YAML of a tree with mistakes in it, in its text or in its values."""
    if rng.integers(3) == 0:
        return cut(dump_yaml(tree).encode(), rng)
    return dump_yaml(changed(tree, rng)).encode()


def model_text(rng: Rng) -> bytes:
    """An MJCF with mistakes: attributes that are odd, or a text that is cut."""
    text = MODEL.encode()
    if rng.integers(2):
        return cut(text, rng)
    parts = text.split(b'"')
    for _ in range(int(rng.integers(1, 5))):
        at = 1 + 2 * int(rng.integers(len(parts) // 2))
        parts[at] = str(ODD[rng.integers(len(ODD))]).encode()[:200].replace(b'"', b"")
    return b'"'.join(parts)
