"""The `crdtkv` program: one typer application, one file per group of verbs.

Exit codes: 0 yes or done; 1 no (a key is absent, a cluster lags, a bounded counter has not so much left); 2 the call or
the configuration is wrong; 3 the cluster could not do it (unavailable, timed out, unreachable).
"""

import sys

import typer

from crdtkv.cli import (
    cluster,
    collections,
    cutting,
    data,
    fields,
    holdings,
    inspection,
    mending,
    moving,
    tools,
    watching,
)
from crdtkv.cli.output import EXIT_CALL, EXIT_CLUSTER, EXIT_NO, complain
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

app = typer.Typer(
    name="crdtkv",
    help="A CRDT-based, geo-replicated key-value store: it merges instead of losing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

for group in (cluster, cutting, data, collections, fields, watching, moving, inspection, holdings, mending, tools):
    group.register(app)

_CALL_ERRORS = (ConfigError, InvalidKey, InvalidRequest, UnknownBucket, ValueTooLarge, StorageError)


def main() -> None:
    """Run the program; errors become one line and an exit code."""
    try:
        app()
    except CrdtkvError as error:
        complain(str(error))
        sys.exit(_exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)


def _exit_code(error: CrdtkvError) -> int:
    if isinstance(error, InsufficientRights):
        return EXIT_NO
    return EXIT_CALL if isinstance(error, _CALL_ERRORS) else EXIT_CLUSTER
