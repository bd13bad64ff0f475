"""How a mistake is planted: an attribute of the product is replaced for a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Bug = Callable[[], Any]


@contextmanager
def replaced(owner: Any, name: str, wrong: Any) -> Iterator[None]:
    """Replace an attribute for a while, also one that is inherited."""
    assert hasattr(owner, name)
    right = owner.__dict__.get(name)
    setattr(owner, name, wrong)
    try:
        yield
    finally:
        if right is None:
            delattr(owner, name)
        else:
            setattr(owner, name, right)
