"""Named groups of a policy's tensors, to freeze them or to give them a learning rate."""

from __future__ import annotations

from collections.abc import Callable

from sim2real.policies.anatomy import Part

GROUPS: dict[str, Callable[[Part], bool]] = {
    "actor": lambda part: part.role != "critic" and part.place != "statistics",
    "critic": lambda part: part.role != "actor" and part.place != "statistics",
    "features": lambda part: part.role != "critic" and part.place in ("trunk", "statistics"),
    "all_but_head": lambda part: part.place in ("trunk", "statistics"),
    "first_layers": lambda part: (
        part.place == "statistics" or (part.place == "trunk" and part.reads_input)
    ),
    "head": lambda part: part.place == "head",
    "noise": lambda part: part.place == "noise",
    "statistics": lambda part: part.place == "statistics",
}
"""By name, whether a tensor belongs to it.

A tensor that actor and critic share belongs to both; `features` are the hidden layers of the actor
and its statistics, `all_but_head` those of the critic, too.
"""
