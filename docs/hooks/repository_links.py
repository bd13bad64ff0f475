"""Turn links to files outside `docs/` into plain text, and fail the build if such a file does not exist.

On a page of the repository `[causal.py](../crdtkv/crdt/causal.py)` is a link. The site has no such file.
"""

import logging
import re
from pathlib import Path
from typing import Any

log = logging.getLogger("mkdocs.hooks.repository_links")

LINK = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>(?:\.\./)+[^)#\s]+)(?:#[^)\s]*)?\)")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Replace links that leave `docs/` by their text."""
    docs = Path(config.docs_dir)

    def replaced(link: re.Match[str]) -> str:
        target = (docs / page.file.src_uri).parent.joinpath(link["target"]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        if not target.exists():
            log.warning("%s links to %s, which does not exist", page.file.src_uri, link["target"])
        name = str(target.relative_to(docs.parent))
        text = link["text"].strip("`")
        return f"`{name}`" if text in (target.name, name) else f"{link['text']} (`{name}`)"

    return LINK.sub(replaced, markdown)
