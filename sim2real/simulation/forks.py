"""Thread pools and `os.fork`: a child process never runs the destructor of a pool of its parent.

A child of a fork has all objects of its parent and none of the parent's threads, so the engine's
destructor, which joins the pool's threads, never returns there. Gymnasium's AsyncVectorEnv and
stable-baselines3's SubprocVecEnv fork. In a child every batch that has threads therefore stays
alive until the process ends, and a world on such a batch raises UserError when it is used.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from typing import Any, NoReturn, Protocol

import mujoco.batch

from sim2real.errors import UserError


class Ended:
    """Stands in for what a closed object had: any use raises UserError with the reason `why`."""

    _why: str

    def __init__(self, why: str) -> None:
        object.__setattr__(self, "_why", why)

    def _refuse(self, *_: Any) -> NoReturn:
        raise UserError(self._why)

    __getattr__ = __setattr__ = __getitem__ = __setitem__ = _refuse


class Threaded(Protocol):
    """An object that runs on a batch with threads."""

    def end(self, why: str) -> None:
        """Be unusable from now on, for the reason `why`."""


_pools: weakref.WeakSet[Any] = weakref.WeakSet()
_users: weakref.WeakSet[Any] = weakref.WeakSet()


def guard(batch: mujoco.batch.Batch, user: Threaded) -> None:
    """Make the `batch`, on which `user` runs, safe for forks; one without threads is safe."""
    if batch.nthread > 1:
        _pools.add(batch._b)  # its arrays keep this object, not the Batch
        _users.add(user)


def _in_child() -> None:
    for pool in list(_pools):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(pool))
    for user in list(_users):
        user.end(
            "a simulation with threads cannot be used in a child of os.fork: make it in the child, "
            "make it with threads=1, or start the child by spawn"
        )


os.register_at_fork(after_in_child=_in_child)
