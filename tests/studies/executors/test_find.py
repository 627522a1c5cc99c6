from __future__ import annotations

import pytest

from sim2real.errors import UserError
from sim2real.studies.executors.find import check_executor


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match="unknown executor 'lokal'; did you mean 'local'"):
        check_executor("lokal", None)
    with pytest.raises(UserError, match="workers is 2; the executor inline has none"):
        check_executor("inline", 2)
    with pytest.raises(UserError, match="workers is 0; allowed: 1 to"):
        check_executor("local", 0)
