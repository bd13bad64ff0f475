"""The `crdtkv` program: one typer application, one file per group of verbs.

Exit codes: 0 yes or done; 1 no (a key is absent, a cluster lags, a bounded counter has too little left); 2 the call or
the configuration is wrong; 3 the cluster could not do it (unavailable, timed out, unreachable).

Every error is one line on standard error, including unexpected ones; CRDTKV_DEBUG=1 prints their traceback.
"""

import os
import sys
import traceback
from typing import Annotated

import typer

from crdtkv.cli import (
    cluster,
    cluster_status,
    collections,
    data,
    fields,
    import_export,
    inspect,
    partition,
    repair,
    tools,
    watching,
)
from crdtkv.cli.output import EXIT_CALL, EXIT_CLUSTER, EXIT_NO, complain, escaped, say
from crdtkv.errors import (
    ConfigError,
    CrdtkvError,
    InsufficientRights,
    InvalidKey,
    InvalidRequest,
    StorageError,
    UnknownBucket,
    ValueTooLarge,
)
from crdtkv.version import shown_version

app = typer.Typer(
    name="crdtkv",
    help="A CRDT-based, geo-replicated key-value store: it merges instead of losing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        say(f"crdtkv {shown_version()}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and its build.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Take the options that stand before a verb."""


for group in (
    cluster,
    partition,
    data,
    collections,
    fields,
    watching,
    import_export,
    cluster_status,
    inspect,
    repair,
    tools,
):
    group.register(app)

#: The environment variable that makes the program print the traceback of an unexpected error.
DEBUG = "CRDTKV_DEBUG"
_CALL_ERRORS = (ConfigError, InvalidKey, InvalidRequest, UnknownBucket, ValueTooLarge, StorageError)


def main() -> None:
    """Run the program; errors become one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):  # a character that the terminal lacks is printed as its code
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        sys.exit(_told(_cause_of(error)))


def _told(error: BaseException) -> int:
    """Print an error as one line, and return the exit code."""
    if isinstance(error, BrokenPipeError):
        _give_up_output()
        return 0
    if isinstance(error, CrdtkvError):
        complain(str(error))
        return _exit_code(error)
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    if isinstance(error, OSError):  # for instance a full disk behind standard output
        _give_up_output()
        complain(f"{error.filename or 'standard output'}: {error.strerror or error}")
        return EXIT_CALL
    complain(
        f"unexpected {type(error).__name__}: {escaped(str(error))}: this is a bug in crdtkv; set {DEBUG}=1, run it "
        "again, and report what it prints"
    )
    return EXIT_CLUSTER


def _cause_of(error: BaseException) -> BaseException:
    """Return the first error of a group: the others follow from it, or are similar."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _give_up_output() -> None:
    """Keep the interpreter from writing buffered output to a closed pipe at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def _exit_code(error: CrdtkvError) -> int:
    if isinstance(error, InsufficientRights):
        return EXIT_NO
    return EXIT_CALL if isinstance(error, _CALL_ERRORS) else EXIT_CLUSTER
