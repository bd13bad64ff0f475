"""The version of the package, and which build of it runs."""

from crdtkv import hashing

VERSION = "0.1.0"
#: `compiled` if the modules that decide are compiled (`make wheel`), `interpreted` if Python runs their source.
BUILD = "interpreted" if hashing.__file__.endswith((".py", ".pyc")) else "compiled"


def shown_version() -> str:
    """Return both, such as `0.1.0 (interpreted)`."""
    return f"{VERSION} ({BUILD})"
