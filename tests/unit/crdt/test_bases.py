"""A class of value types has at most one base: what types share beyond it they hold, or call."""

import importlib
import inspect
import pkgutil
from typing import Generic

import pytest

from crdtkv import crdt

MODULES = [importlib.import_module(f"{crdt.__name__}.{module.name}") for module in pkgutil.iter_modules(crdt.__path__)]
CLASSES = [
    found
    for module in MODULES
    for found in vars(module).values()
    if inspect.isclass(found) and found.__module__ == module.__name__
]


@pytest.mark.parametrize("found", CLASSES, ids=lambda found: found.__qualname__)
def test_a_class_has_one_base_besides_generic(found: type) -> None:
    assert len([base for base in found.__bases__ if base is not Generic]) <= 1
