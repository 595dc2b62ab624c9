"""Leaks as words: what stays of a membrane from one time step to the next, ``1/2`` or ``15/16``."""

import re
from math import gcd

__all__ = ["MAX_LEAK", "NO_LEAK", "is_leak", "leak_of", "leak_text", "worth"]

MAX_LEAK = 8  # of k, where m / 2**k stays
NO_LEAK = (1, 0)  # an integrate-and-fire neuron


def is_leak(value):
    """Whether it is (m, k): k 0 .. 8, and m odd below 2**k; or (1, 0), where all of it stays."""
    if type(value) is not tuple or len(value) != 2 or not all(type(n) is int for n in value):
        return False
    m, k = value
    return value == NO_LEAK or 1 <= k <= MAX_LEAK and m & 1 == 1 and 0 < m < 1 << k


def leak_of(text):
    """(m, k) of ``m/2**k``, or of ``1`` or ``none``: no leak. Raises ``ValueError``."""
    if text.strip() == "none":
        return NO_LEAK
    parts = re.fullmatch(r"([0-9]{1,4})(?:/([0-9]{1,4}))?", text.strip())
    if parts:
        m, whole = int(parts[1]), int(parts[2] or 1)
        common = gcd(m, whole) or 1
        m, whole = m // common, whole // common
        found = m, whole.bit_length() - 1
        if whole & (whole - 1) == 0 and is_leak(found):
            return found
    raise ValueError(f"a leak of {text[:20]!r}: what stays of a membrane is 1 (no leak), 1/2, 3/4, "
                     f"15/16 or another fraction with a power of two up to {1 << MAX_LEAK} below")


def worth(leak, steps):
    """What comes of one a step, after so many of them, of which m / 2**k stays each time."""
    m, k = leak
    return sum((m / (1 << k)) ** step for step in range(steps))


def leak_text(leak):
    """``1/2`` of (1, 1)."""
    m, k = leak
    return f"{m}/{1 << k}" if k else "1"
