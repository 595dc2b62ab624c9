"""Tests of whole data sets, beside the same tests of a part of them."""

import pytest

__all__ = ["parts", "some_of"]

LONGEST = 4 * 3600  # s of such a test


def some_of(names, kept):
    """Rows (name) of a test: those that are kept, and for ``make whole`` all others."""
    assert set(kept) <= set(names)
    return [pytest.param(name, marks=[] if name in kept else [pytest.mark.whole])
            for name in names]


def parts(names, some, whole, kept=None):
    """Rows (name, amount) of a test: some of each, or of those that are kept, and the whole of
    all, for ``make whole``."""
    return [*(pytest.param(name, some, id=name) for name in kept or names),
            *(pytest.param(name, whole, id=f"{name}-whole",
                           marks=[pytest.mark.whole, pytest.mark.timeout(LONGEST)])
              for name in names)]
