"""Write the help text of every verb into the CLI reference when the site is built.

The page holds a mark and no copy, so it cannot differ from what the program prints.
"""

from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

from crdtkv.cli.app import app

PAGE = "reference/cli.md"
MARK = "<!-- verbs -->"
COLUMNS = "100"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace the mark of the CLI reference by one section per verb."""
    if page.file.src_uri != PAGE:
        return markdown
    assert MARK in markdown, f"{PAGE} has no {MARK}"
    return markdown.replace(MARK, "\n".join(sections()))


def sections() -> list[str]:
    """Return a section for each verb, in the order of `crdtkv --help`."""
    return [f"## {verb}\n\n```text\n{help_of(verb)}\n```\n" for verb in verbs()]


def verbs() -> list[str]:
    """Return the names of all verbs."""
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    return list(commands)


def help_of(verb: str) -> str:
    """Return what `crdtkv VERB --help` prints."""
    outcome = CliRunner().invoke(app, [verb, "--help"], prog_name="crdtkv", env={"COLUMNS": COLUMNS})
    assert outcome.exit_code == 0, outcome.output
    return outcome.output.strip()
