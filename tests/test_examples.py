"""The examples in docstrings."""

import doctest
import importlib

import pytest

MODULES = ("groups", "reporting.logs", "reporting.progress", "rows", "selectors", "settings.nearest")


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    found = doctest.testmod(importlib.import_module(f"oilwater_jax.{name}"))
    assert found.attempted
    assert not found.failed
