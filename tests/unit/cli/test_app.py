"""The program as a whole."""

from importlib.metadata import version

from typer.testing import CliRunner

import crdtkv
from crdtkv.cli.app import app
from crdtkv.version import BUILD


def test_the_program_says_its_version_and_build() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"crdtkv {crdtkv.__version__} ({BUILD})\n")
    assert crdtkv.__version__ == version("crdtkv")
