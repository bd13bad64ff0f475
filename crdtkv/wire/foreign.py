"""Recognizes a server that is no node by its first bytes, and names the error for the connecting process.

A frame begins with its length; text in that place is a length that no frame has. So the first bytes show a wrong port.
"""

from crdtkv.errors import ProtocolError

_NODES_PORT = "connect to a node's `port`, as in datacenters.yaml"
_GREETINGS = (
    (b"INFO", "this is a NATS server, not a node"),
    (b"HTTP", "this is an HTTP server, not a node (it may be a node's http_port)"),
    (b"SSH-", "this is an SSH server, not a node"),
    (b"-ERR", "this is a Redis server, not a node"),
    (b"\x15\x03", "this speaks TLS, which nodes do not yet"),
)


def too_long(announced: bytes, limit_bytes: int) -> ProtocolError:
    """Return the error for four bytes that announce more than a frame may have."""
    for greeting, what in _GREETINGS:
        if announced.startswith(greeting):
            return ProtocolError(f"{what}: {_NODES_PORT}")
    length = int.from_bytes(announced, "big")
    return ProtocolError(f"a frame of {length} bytes is announced, {limit_bytes} are allowed")
