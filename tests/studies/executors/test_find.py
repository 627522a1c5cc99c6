from __future__ import annotations

import pytest

from sim2real.errors import UserError
from sim2real.studies.executors.find import Where


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="unknown executor 'lokal'; did you mean 'local'"):
        Where("lokal")
    with pytest.raises(UserError, match="workers is 2; the executor inline has none"):
        Where("inline", 2)
    with pytest.raises(UserError, match="workers is 0; allowed: 1 to"):
        Where("local", 0)
    with pytest.raises(UserError, match="address is of Ray; executor is 'local'"):
        Where("local", address="auto")
