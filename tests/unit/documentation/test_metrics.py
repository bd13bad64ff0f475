"""Every counter is exported, and the page for operators names exactly the exported ones."""

import re
from pathlib import Path

from crdtkv.admin.metrics import COUNTERS

REPOSITORY = Path(__file__).parents[3]
PAGE = REPOSITORY / "docs" / "operations.md"
COUNTED = re.compile(r'\.count\(\s*"([a-z_]+)"(?: if .*? else "([a-z_]+)")?')


def counted() -> set[str]:
    """Return the names that the product counts under."""
    product = [path for path in (REPOSITORY / "crdtkv").rglob("*.py") if "sim" not in path.parts]
    return {name for path in product for names in COUNTED.findall(path.read_text()) for name in names if name}


def test_every_counter_is_exported() -> None:
    assert counted() == set(COUNTERS)


def test_the_page_names_exactly_the_exported_counters() -> None:
    assert set(re.findall(r"`crdtkv_([a-z_]+)_total`", PAGE.read_text())) == set(COUNTERS)
