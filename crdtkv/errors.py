"""All errors that users of crdtkv can get.

The split is Cassandra's: *not tried* (`Unavailable`, `Overloaded`, the validation errors), *read failed*
(`ReadTimeout`) and *write of unknown outcome* (`WriteTimeout`). After a failure a caller needs one bit,
`maybe_applied`: False means that the write certainly did not happen and may be repeated safely.

Errors carry fields, not only text, because they travel: a node answers with `(code, fields)` and the client raises the
same class again. `ERRORS_BY_CODE` is the only table of codes and classes.
"""

from collections.abc import Sequence
from typing import ClassVar


class CrdtkvError(Exception):
    """Base of all errors of this package."""

    code: ClassVar[str] = "error"
    field_names: ClassVar[tuple[str, ...]] = ("message",)
    #: True when the failed write may have been applied on some replica, and may surface later.
    maybe_applied: bool = False

    def __init__(self, *fields: object) -> None:
        super().__init__(*fields)
        self.fields: tuple[object, ...] = fields

    def __str__(self) -> str:
        return str(self.fields[0]) if self.fields else self.code


class _LevelError(CrdtkvError):
    """A consistency level was not reached. `missing` are the data centers that did not answer.

    If there are any, the two numbers count data centers, else replicas.
    """

    def __init__(self, first: int, second: int, missing: Sequence[object] = ()) -> None:
        self.missing = tuple(name for name in missing if isinstance(name, str))
        super().__init__(first, second, *([[*self.missing]] if self.missing else []))


class _QuorumError(_LevelError):
    """A consistency level was not reached; `received` of `required` replicas have answered."""

    field_names = ("received", "required")

    def __init__(self, received: int, required: int, missing: Sequence[object] = ()) -> None:
        super().__init__(received, required, missing)
        self.received = received
        self.required = required


class Unavailable(_LevelError):
    """Fewer replicas are alive than the level requires; nothing was written."""

    code = "unavailable"
    field_names = ("required", "alive")

    def __init__(self, required: int, alive: int, missing: Sequence[object] = ()) -> None:
        super().__init__(required, alive, missing)
        self.required = required
        self.alive = alive

    def __str__(self) -> str:
        if self.missing:
            return (
                f"{self.required} data centers are required, and {', '.join(self.missing)} cannot be reached because "
                "the NATS of this data center is down: use LOCAL_QUORUM or wait until it is back"
            )
        return (
            f"{self.required} replicas are required, {self.alive} are alive: "
            "use a lower consistency level or wait until nodes are back"
        )


class ReadTimeout(_QuorumError):
    """Too few replicas answered a read before the deadline."""

    code = "read_timeout"

    def __str__(self) -> str:
        if self.missing:
            return (
                f"{self.received} of {self.required} other data centers answered in time, "
                f"{', '.join(self.missing)} did not: retry, or read at LOCAL_QUORUM"
            )
        return f"{self.received} of {self.required} required replicas answered in time: retry, or read at ONE"


class WriteTimeout(_QuorumError):
    """Too few replicas confirmed a write before the deadline; it may have been applied and may surface later."""

    code = "write_timeout"
    maybe_applied = True

    def __str__(self) -> str:
        if self.missing:
            return (
                f"{self.received} of {self.required} required data centers confirmed in time, "
                f"{', '.join(self.missing)} did not: the write may have been applied, and reaches them later then"
            )
        return (
            f"{self.received} of {self.required} required replicas confirmed in time: the write may have been "
            "applied; read the key before you repeat it"
        )


class Overloaded(CrdtkvError):
    """A bounded queue is full; nothing was written. Back off, for `retry_after_s` at least, and retry."""

    code = "overloaded"
    field_names = ("message", "retry_after_ms")

    def __init__(self, message: str, retry_after_ms: int = 0) -> None:
        super().__init__(message, retry_after_ms)
        self.retry_after_ms = retry_after_ms

    @property
    def retry_after_s(self) -> float:
        """How long to wait before the next try, in seconds."""
        return self.retry_after_ms / 1000


class InsufficientStorage(CrdtkvError):
    """The node's disk is below its free-space floor; nothing was written. It resumes by itself."""

    code = "insufficient_storage"


class InvalidKey(CrdtkvError, ValueError):
    """A key or bucket name is out of bounds; nothing was written."""

    code = "invalid_key"


class UnknownBucket(CrdtkvError, ValueError):
    """The bucket is not declared in the cluster's configuration; nothing was written."""

    code = "unknown_bucket"


class ValueTooLarge(CrdtkvError, ValueError):
    """The value, or the entry it would make, exceeds the limit; nothing was written."""

    code = "value_too_large"
    field_names = ("size_bytes", "limit_bytes")

    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(size_bytes, limit_bytes)
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes

    def __str__(self) -> str:
        return f"the value takes {self.size_bytes} bytes, the limit is {self.limit_bytes}: split it over several keys"


class StaleReplica(CrdtkvError):
    """No reachable replica has seen everything that the caller has already seen; nothing was written."""

    code = "stale_replica"


class InsufficientRights(CrdtkvError):
    """A node has too few rights for a decrement of a bounded counter; nothing was written.

    `requested` is the amount, `available` are the rights of the node that refused, `value` is the counter as it sees
    it.
    """

    code = "insufficient_rights"
    field_names = ("requested", "available", "value")

    def __init__(self, requested: int, available: int, value: int) -> None:
        super().__init__(requested, available, value)
        self.requested = requested
        self.available = available
        self.value = value

    def __str__(self) -> str:
        if self.value < self.requested:
            return f"{self.requested} were requested, only {self.value} are left"
        return (
            f"{self.requested} were requested, {self.value} are left, but only {self.available} may be taken here: "
            "the rights to the others belong to nodes that are out of reach"
        )


class InvalidRequest(CrdtkvError, ValueError):
    """A level, operation or argument is unknown or invalid; nothing was written."""

    code = "invalid_request"


class ProtocolError(CrdtkvError):
    """The other side sent data that is not this protocol, or belongs to another cluster."""

    code = "protocol_error"


class StorageError(CrdtkvError):
    """The disk failed: damaged, of another node, unwritable or full."""

    code = "storage_error"


class DamagedStore(StorageError):
    """The disk does not hold the data that was written to it."""

    code = "damaged_store"


class ConfigError(CrdtkvError, ValueError):
    """The configuration is wrong; the message names the field and the allowed values."""

    code = "config_error"


class BusError(CrdtkvError):
    """NATS is missing, too old or configured in a way that loses data."""

    code = "bus_error"


class NoNodeReachable(CrdtkvError):
    """No node answers at any known address; nothing was sent."""

    code = "no_node_reachable"


class ClosedError(CrdtkvError):
    """The client or link was closed; nothing was written."""

    code = "closed"


ERRORS_BY_CODE: dict[str, type[CrdtkvError]] = {
    error.code: error
    for error in (
        Unavailable,
        ReadTimeout,
        WriteTimeout,
        Overloaded,
        InsufficientStorage,
        InvalidKey,
        UnknownBucket,
        ValueTooLarge,
        StaleReplica,
        InsufficientRights,
        InvalidRequest,
        ProtocolError,
        StorageError,
    )
}


def error_from_wire(code: str, fields: list[object]) -> CrdtkvError:
    """Build the error of a node's answer; an unknown code (of a newer node) becomes a plain `CrdtkvError`."""
    error_class = ERRORS_BY_CODE.get(code)
    if error_class is Overloaded and len(fields) == 1 and isinstance(fields[0], str):
        fields = [*fields, 0]  # a node of an older version does not send how long to wait
    is_of_datacenters = error_class is not None and issubclass(error_class, _LevelError) and len(fields) == 3
    if is_of_datacenters and isinstance(fields[2], list):
        return error_class(*fields)  # type: ignore[misc]
    if error_class is None or len(fields) != len(error_class.field_names):
        error = CrdtkvError(f"{code}: {', '.join(str(field) for field in fields)}")
        error.maybe_applied = True
        return error
    return error_class(*fields)
