"""How a mistake is planted: an attribute of the product is replaced for a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Bug = Callable[[], Any]


@contextmanager
def replaced(owner: Any, name: str, wrong: Any) -> Iterator[None]:
    """Replace an attribute for a while."""
    right = owner.__dict__[name]
    setattr(owner, name, wrong)
    try:
        yield
    finally:
        setattr(owner, name, right)
