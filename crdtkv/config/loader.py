"""Reads `datacenters.yaml`, and reports its errors in the words of the file.

Every error becomes one line: the path of the field, and the allowed values. Some input that YAML accepts silently is an
error as well: a duplicate name, of which YAML takes the last, and a name such as `no`, which YAML reads as false.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from crdtkv.config.contradictions import contradictions
from crdtkv.config.model import ClusterConfig
from crdtkv.errors import ConfigError

# Pydantic's constraints as parts of a sentence; all others keep pydantic's text.
_PHRASES = {
    "greater_than": "must be > {gt}",
    "greater_than_equal": "must be >= {ge}",
    "less_than_equal": "must be <= {le}",
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "must have at least {min_length} item",
    "literal_error": "must be one of {expected}",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "string_type": "must be text (put it in quotes)",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
}


def load(path: str | Path) -> ClusterConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: unreadable, not YAML, or wrong; one line per mistake.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return parse(text, str(path))


def parse(text: str, source: str = "datacenters.yaml") -> ClusterConfig:
    """Check the text of a configuration; `source` names it in errors.

    Raises:
        ConfigError: not YAML, or wrong; one line per mistake.
    """
    try:
        document, mistakes = _read(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # invalid dates, too many nested brackets
        raise ConfigError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None
    if not mistakes and not isinstance(document, dict):
        mistakes = ["must be a mapping with the field 'datacenters'"]
    if not mistakes:
        try:
            config = ClusterConfig.model_validate(document)
        except ValidationError as error:
            mistakes = [_sentence(item) for item in error.errors()]
        else:
            mistakes = contradictions(config)
    if mistakes:
        raise ConfigError("\n".join(f"{source}: {mistake}" for mistake in mistakes))
    return config


def _read(text: str) -> tuple[Any, list[str]]:
    """Return the parsed document, and the errors that YAML would accept silently."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        mistakes = list(_wrong_names(node, "", set()))
        return (None if node is None or mistakes else loader.construct_document(node)), mistakes
    finally:
        loader.dispose()


def _wrong_names(node: Node | None, path: str, seen: set[int]) -> Iterator[str]:
    """Yield a line for every name that is a duplicate in its mapping, or that YAML does not read as text."""
    if node is None or id(node) in seen:  # an alias is visited once
        return
    seen.add(id(node))
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            yield from _wrong_names(item, f"{path}[{index}]", seen)
    if not isinstance(node, MappingNode):
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        if not isinstance(key, ScalarNode):
            continue  # YAML itself refuses it
        where = f"{path}.{key.value}" if path else str(key.value)
        line = key.start_mark.line + 1
        if key.tag == "tag:yaml.org,2002:bool":
            yield f"{where} must be text: YAML reads {key.value} as true or false (put it in quotes)"
        elif key.tag not in ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"):
            yield f"{where} must be text (put it in quotes)"
        elif key.value in lines:
            yield f"{where} is there twice, in lines {lines[key.value]} and {line}: take one away"
        lines.setdefault(key.value, line)
        yield from _wrong_names(value, where, seen)


def dump(config: ClusterConfig) -> str:
    """Return the configuration as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _sentence(item: Any) -> str:
    context = item.get("ctx") or {}
    if item["type"] == "value_error":  # an error of our validators, with its own path
        text = str(context["error"])
        if item["loc"]:
            return f"{_path(item['loc'])} {text}"
        path, _, text = text.partition(": ")
        return f"{path} {text}"
    if item["type"] == "boolean":
        return f"{_path(item['loc'])} {item['msg']}"
    context = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
    phrase = _PHRASES.get(item["type"], item["msg"].lower())
    return f"{_path(item['loc'])} {phrase.format(**context)}"


def _path(location: tuple[str | int, ...]) -> str:
    """Return a location as text, as in `datacenters.eu.nodes[2].weight`."""
    path = ""
    for part in location:
        if part == "[key]":  # pydantic's mark for "the key itself, not its value"
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "the file"
