"""`python -m crdtkv.checking FILE`: judge a history of operations, one JSON object a line."""

import argparse
import sys
from pathlib import Path

from crdtkv.checking.history import read_lines
from crdtkv.checking.verdict import judge


def main() -> int:
    """Exit 0 if every invariant holds, 1 if not, 2 if the file is no history."""
    parser = argparse.ArgumentParser(prog="python -m crdtkv.checking", description=__doc__)
    parser.add_argument("file", help="the history, or - for standard input")
    arguments = parser.parse_args()
    try:
        text = sys.stdin.read() if arguments.file == "-" else Path(arguments.file).read_text(encoding="utf-8")
        history = read_lines(text.splitlines())
    except (OSError, ValueError) as error:
        print(f"{arguments.file}: {error}", file=sys.stderr)
        return 2
    violations = judge(history)
    for violation in violations:
        print(violation)
    outcomes = [operation.outcome for operation in history]
    counts = ", ".join(f"{outcomes.count(kind)} {kind}" for kind in ("ok", "fail", "info"))
    print(f"{len(history)} operations ({counts}): {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
