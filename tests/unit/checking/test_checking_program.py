"""`python -m crdtkv.checking`: a file in, a verdict and an exit code out."""

import subprocess
import sys
from pathlib import Path

from .histories import final, put


def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "crdtkv.checking", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_a_good_history_passes(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    file.write_text(put("x", 0, "a1").to_json() + "\n\n" + final(["x"], {"a": [1]}).to_json() + "\n")
    done = run(str(file))
    assert (done.returncode, done.stdout) == (0, "2 operations (2 ok, 0 fail, 0 info): 0 violations\n")


def test_a_bad_history_fails_and_tells_the_story() -> None:
    done = run("-", text=put("x", 0, "a1").to_json() + "\n" + final([], {}).to_json())
    assert done.returncode == 1
    assert done.stdout.startswith("I1: eu has lost an acknowledged write: c put x register/k in eu")


def test_what_is_no_history_is_told_in_one_line(tmp_path: Path) -> None:
    for name, text in (("absent", None), ("junk", "nonsense")):
        file = tmp_path / name
        if text is not None:
            file.write_text(text)
        done = run(str(file))
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert str(file) in done.stderr
