"""Options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

from crdtkv.cli.arguments import either, key_of, seconds
from crdtkv.crdt.registry import TYPES
from crdtkv.quorum.level import LEVEL_NAMES

DAY_S = 86_400
YEAR_S = 365 * DAY_S

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", envvar="CRDTKV_CONFIG", help="The cluster's configuration.")
]
Datacenter = Annotated[
    str | None, typer.Option("--dc", envvar="CRDTKV_DC", help="The data center to connect to; default the first.")
]
BucketName = Annotated[str, typer.Option("--bucket", "-b", help="The bucket.")]
LevelText = Annotated[
    str | None,
    typer.Option("--level", "-l", help=f"{', '.join(LEVEL_NAMES)}, or R,W as numbers; default the bucket's."),
]
Timeout = Annotated[
    float, typer.Option(help="Deadline of a request, seconds.", callback=seconds(0, DAY_S, is_least_taken=False))
]
Wait = Annotated[float, typer.Option(help="Seconds to wait for the condition, at most.", callback=seconds(0, YEAR_S))]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
TypeName = Annotated[str, typer.Option("--type", "-t", help=f"{either(tuple(TYPES))}.")]
# A typed key or prefix need not be UTF-8: it is then `bytes` instead of `str`.
Key = Annotated[str, typer.Argument(help="The key.", callback=key_of)]
Prefix = Annotated[str, typer.Argument(help="The prefix of the keys; default all keys.", callback=key_of)]
Ttl = Annotated[float | None, typer.Option(help="Time to live in seconds, 0 for no expiry; default the bucket's.")]
AsText = Annotated[bool, typer.Option("--text", help="Take the argument as text even if it is JSON.")]
