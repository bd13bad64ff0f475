"""The pages: links lead to existing targets, the README is short, and the words are those of the glossary."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[3]
DOCS = REPOSITORY / "docs"
PAGES = sorted(page for page in (*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md"), *(REPOSITORY / "deploy").rglob("*.md")))
#: Pages about the past, whose words are those of their time.
DATED = {page for page in PAGES if page.parent.name == "decisions" or page.name == "CHANGELOG.md"}

CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://)(?P<target>[^)#\s]*)(?:#(?P<anchor>[^)\s]+))?\)")
HEADING = re.compile(r"^#+ (?P<text>.+)$", re.MULTILINE)

#: Words that the glossary has others for.
REPLACED = re.compile(
    r"(?<![-\w])(stand-ins?|guests?|mend(s|ed|ing)?|told|tells?|whoever|somebody|nobody|everybody|cut apart)(?![-\w])",
    re.IGNORECASE,
)


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = [found["text"] for found in HEADING.finditer(FENCED.sub("", page.read_text()))]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def hook(name: str) -> ModuleType:
    found = importlib.util.spec_from_file_location(name, DOCS / "hooks" / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in LINK.finditer(CODE.sub("", page.read_text())):
        target = page.parent / link["target"] if link["target"] else page
        assert target.exists(), f"there is no {link['target']}"
        if link["anchor"]:
            assert link["anchor"] in anchors_of(target), f"{link['target']} has no heading for #{link['anchor']}"


@pytest.mark.parametrize("page", [page for page in PAGES if page not in DATED and DOCS in page.parents], ids=name_of)
def test_a_page_uses_the_words_of_the_glossary(page: Path) -> None:
    found = sorted({word[0].lower() for word in REPLACED.finditer(LINK.sub("", CODE.sub("", page.read_text())))})
    assert found == []


def test_the_readme_is_for_a_newcomer_and_short() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 150


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    navigation = (REPOSITORY / "mkdocs.yml").read_text()
    for page in DOCS.rglob("*.md"):
        assert f"- {page.relative_to(DOCS)}\n" in navigation


def test_terms_of_the_glossary_are_unique() -> None:
    rows = re.findall(r"^\| (?!term \|)(?!-)([^|]+) \|", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert len(rows) > 70
    assert len(set(rows)) == len(rows)


def test_the_reference_of_the_cli_has_the_help_of_every_verb() -> None:
    reference = hook("cli_reference")
    sections = reference.sections()
    assert {"up", "put", "get", "watch", "decode"} <= set(reference.verbs())
    assert len(sections) == len(reference.verbs())
    for verb, section in zip(reference.verbs(), sections, strict=True):
        assert section.startswith(f"## {verb}\n\n```text\nUsage: crdtkv {verb} ")
