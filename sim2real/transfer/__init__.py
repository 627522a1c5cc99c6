"""Ways to move a policy into another domain within a budget; one file a method.

`sim2real.transfer` is this package, and called it is the verb: `sim2real.transfer.api.transfer`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Verb(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        """Call `sim2real.transfer.api.transfer`, which see."""
        from sim2real.transfer.api import transfer

        return transfer(*args, **options)


sys.modules[__name__].__class__ = _Verb
