"""Frameworks of spiking networks, for tests: none is needed, so a test is skipped without it."""

import warnings
from importlib import import_module
from importlib.util import find_spec

import pytest

__all__ = ["framework"]


def framework(*modules):
    """Modules of a framework, or the test is skipped."""
    for name in modules:
        package = name.partition(".")[0]
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install --no-deps {package}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they warn of when they load is theirs
        found = [import_module(name) for name in modules]
    return found if len(found) > 1 else found[0]
