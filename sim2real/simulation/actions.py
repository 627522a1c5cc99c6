"""Actions in [-1, 1]: the affine map from what a policy gives to the range of a task's actions.

PPO starts with a Gaussian near N(0, 1) in the units of its action space; where an actuator takes 0
to 200 it never finds the middle. So a policy acts in [-1, 1], and the map does the rest.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias, get_args

import mujoco
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sim2real.domains import Domain
from sim2real.errors import UserError, unknown
from sim2real.simulation.contract import action_space
from sim2real.task import Array, Task

Actions = Literal["own", "normalized"]
"""Actions in the task's own range, or in [-1, 1] of it."""


@dataclass(frozen=True)
class ActionMap:
    """The affine map from [-1, 1] to [`low`, `high`], one number of each per action."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        same_size = len(self.low) == len(self.high) > 0
        if not same_size or not np.isfinite([self.low, self.high]).all():
            raise UserError(f"an action map needs finite numbers, as many low as high; got {self}")
        if not np.less(self.low, self.high).all():
            raise UserError(f"an action map needs low < high for each action; got {self}")

    @classmethod
    def onto(cls, space: spaces.Box) -> ActionMap:
        """The map onto the range of a bounded `space`, (nu,)."""
        return cls(tuple(space.low.tolist()), tuple(space.high.tolist()))

    @property
    def space(self) -> spaces.Box:
        """[-1, 1] for each action: what the map takes."""
        return spaces.Box(-1.0, 1.0, (len(self.low),), np.float32)

    @property
    def range(self) -> spaces.Box:
        """[low, high]: what the map gives."""
        return spaces.Box(*np.array([self.low, self.high], np.float32), dtype=np.float32)

    @cached_property
    def _line(self) -> tuple[Array, Array]:
        """Half the width and the middle of each range, (nu,)."""
        low, high = np.array(self.low), np.array(self.high)
        middle = (low + high) / 2
        # adding -0.0 changes no bit of any number, adding 0.0 turns -0.0 into 0.0
        return (high - low) / 2, np.where(middle == 0.0, -0.0, middle)

    def __call__(self, action: NDArray[Any]) -> NDArray[Any]:
        """The task's action of an `action` in [-1, 1], each (n, nu).

        Where the range is [-1, 1] already, the same numbers to the last bit.
        """
        half, middle = self._line
        if (half == 1.0).all() and not middle.any():
            return action
        dtype = action.dtype if np.issubdtype(action.dtype, np.floating) else np.float64
        mapped: NDArray[Any] = (half * action + middle).astype(dtype)
        return mapped

    def plain(self) -> dict[str, list[float]]:
        """As plain JSON values."""
        return {name: list(values) for name, values in asdict(self).items()}

    @classmethod
    def of(cls, data: Any) -> ActionMap:
        """A map from plain data; UserError if it is not one."""
        try:
            low, high = (tuple(float(value) for value in data[name]) for name in ("low", "high"))
        except (TypeError, KeyError, ValueError):
            raise UserError(f"an action map needs low and high, got {data!r}") from None
        return cls(low, high)


Choice: TypeAlias = Actions | ActionMap | spaces.Space[Any]
"""How actions are given: by name, by a map, or as those of a policy's action space."""


@dataclass(frozen=True)
class ActionSpaces:
    """The `range` of a task's actions, the `space` they are given in, the `map` between them.

    There is no map where they are given in their own range.
    """

    range: spaces.Box
    space: spaces.Box
    map: ActionMap | None


def action_spaces(
    choice: Choice, task: Task, domain: Domain, model: mujoco.MjModel
) -> ActionSpaces:
    """The action spaces of `task` in `domain`, whose model is `model`, and the map between them.

    The range is the task's limits, else the control ranges of its own model: the other model
    of a domain does not change the meaning of an action. Raises UserError for an actuator
    without a control range, and as `chosen_map`.
    """
    here = action_space(task, model)
    own = here if domain.model is None else action_space(task, task.compile())
    found = chosen_map(choice, own, here)
    return ActionSpaces(own, here if found is None else found.space, found)


def chosen_map(choice: Choice, own: spaces.Space[Any], here: spaces.Space[Any]) -> ActionMap | None:
    """The map of a `choice`; None where actions are given in the range that they have.

    `own` is the task's range, `here` that in the present domain. The bounds of a policy's space
    decide whether it acts in one of them or in [-1, 1]. Raises UserError for a space that is
    neither, and for a map of another size.
    """
    if isinstance(choice, spaces.Space):
        return _map_of_space(choice, own, here)
    if isinstance(choice, ActionMap):
        if (len(choice.low),) != own.shape:
            raise UserError(f"the action map has {len(choice.low)} actions, needed are {own.shape}")
        return choice
    if choice not in get_args(Actions):
        raise unknown("actions", choice, get_args(Actions))
    if choice == "own":
        return None
    if not isinstance(own, spaces.Box) or len(own.shape) != 1 or not own.is_bounded():
        raise UserError(f"actions in [-1, 1] need a range to map to, got {own}; allowed: 'own'")
    return ActionMap.onto(own)


def _map_of_space(
    space: spaces.Space[Any], own: spaces.Space[Any], here: spaces.Space[Any]
) -> ActionMap | None:
    """The map of a policy with the action space `space`; a space of another shape has none."""
    if not isinstance(space, spaces.Box) or not isinstance(own, spaces.Box):
        return None
    if space.shape != own.shape or len(own.shape) != 1 or _equal(space, own):
        return None
    if not space.is_bounded() or not own.is_bounded():
        return None
    normalized = ActionMap.onto(own)
    if _equal(space, normalized.space):
        return normalized
    if _equal(space, here):
        return None
    allowed = dict.fromkeys([describe_range(own), describe_range(normalized.space)])
    raise UserError(f"the policy acts in {describe_range(space)}; allowed: {' or '.join(allowed)}")


def _equal(one: spaces.Box, other: spaces.Space[Any]) -> bool:
    """Whether two boxes have the same bounds, up to the rounding of float32."""
    if not isinstance(other, spaces.Box) or one.shape != other.shape:
        return False
    bounds = ((one.low, other.low), (one.high, other.high))
    return all(np.allclose(a, b, rtol=1e-6, atol=0.0) for a, b in bounds)


def describe_range(space: spaces.Box) -> str:
    """`[-1, 1]`; of actions with several ranges, each of them once."""
    low, high = space.low.tolist(), space.high.tolist()
    ends = list(dict.fromkeys(zip(low, high, strict=True)))
    return ", ".join(f"[{a:g}, {b:g}]" for a, b in ends)


def choice_of(policy: Any) -> Choice:
    """How `policy` gives its actions: its own `action_map`, else its action space, else "own".

    The policies of a run have an `action_map`, None where they act in the task's own range.
    """
    if hasattr(policy, "action_map"):
        return policy.action_map or "own"
    space = getattr(policy, "action_space", None)
    return space if isinstance(space, spaces.Space) else "own"
