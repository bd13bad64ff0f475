"""Turn the machine's Debian package index into JSON lines for `crdtkv import`.

    apt-cache dumpavail | python examples/debian_packages.py > packages.jsonl
    crdtkv import packages.jsonl --bucket packages --dc eu

One record per package: the key is its name, the value an object with its fields as Debian names them. Of several
versions of one package the last one listed is taken. Fields that go over several lines keep their line breaks.
"""

import json
import sys
from collections.abc import Iterable, Iterator


def paragraphs(lines: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the fields of each paragraph of a Debian control file."""
    fields: dict[str, str] = {}
    last = ""
    for line in lines:
        text = line.rstrip("\n")
        if not text:
            if fields:
                yield fields
            fields = {}
        elif text[0] in " \t":  # the previous field continues
            fields[last] += "\n" + text.strip()
        else:
            last, _, value = text.partition(":")
            fields[last] = value.strip()
    if fields:
        yield fields


def main() -> None:
    """Read a package index on standard input, write JSON lines on standard output."""
    packages = {fields["Package"]: fields for fields in paragraphs(sys.stdin) if "Package" in fields}
    for name, fields in packages.items():
        print(json.dumps({"key": name, "value": fields}, ensure_ascii=False))
    print(f"{len(packages):,} packages", file=sys.stderr)


if __name__ == "__main__":
    main()
