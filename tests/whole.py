"""Tests of whole data sets, beside the same tests of a part of them."""

import pytest

__all__ = ["parts"]

LONGEST = 4 * 3600  # s of such a test


def parts(names, some, whole):
    """Rows (name, amount) of a test: some of each, and the whole, for ``make whole``."""
    return [*(pytest.param(name, some, id=name) for name in names),
            *(pytest.param(name, whole, id=f"{name}-whole",
                           marks=[pytest.mark.whole, pytest.mark.timeout(LONGEST)])
              for name in names)]
