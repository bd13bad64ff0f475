"""Reading `datacenters.yaml`, and saying what is wrong with it in the words of the file.

Every mistake becomes one line: the path of the field as one would write it, and what is allowed there.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from crdtkv.config.model import ClusterConfig
from crdtkv.errors import ConfigError

# How pydantic's constraints read in a sentence; what is not here keeps pydantic's own words.
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
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # dates that are none, brackets without end
        raise ConfigError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{source}: must be a mapping with the field 'datacenters'")
    try:
        return ClusterConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError("\n".join(f"{source}: {_sentence(item)}" for item in error.errors())) from None


def dump(config: ClusterConfig) -> str:
    """Return the configuration as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _sentence(item: Any) -> str:
    context = item.get("ctx") or {}
    if item["type"] == "value_error":  # ours: it brings its own path
        path, _, text = str(context["error"]).partition(": ")
        return f"{path} {text}"
    context = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
    phrase = _PHRASES.get(item["type"], item["msg"].lower())
    return f"{_path(item['loc'])} {phrase.format(**context)}"


def _path(location: tuple[str | int, ...]) -> str:
    """Write a location as in `datacenters.eu.nodes[2].weight`."""
    path = ""
    for part in location:
        if part == "[key]":  # pydantic's mark for "the key itself, not its value"
            continue
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path or "the file"
