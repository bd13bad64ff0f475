"""`Session`: read-your-writes and monotonic reads.

A session remembers the causal context of every key it has read or written (`core.observations`). A read is repeated if
its answer lacks a part of that context (`core.sessions`).
"""

from crdtkv.causality.seen import Seen
from crdtkv.client.buckets import Buckets
from crdtkv.client.core.observations import Observations
from crdtkv.client.request_executor import RequestExecutor
from crdtkv.client.value_ref import BucketScope
from crdtkv.ids import DEFAULT_BUCKET


class Session(Buckets):
    """The methods of a client in a session, returned by `Client.session`. A session remembers at most 10,000 keys."""

    def __init__(self, executor: RequestExecutor, token: str | None) -> None:
        self._seen = Seen.from_token(token) if token is not None else Seen()
        self._observations = Observations(self._seen, executor.observations.newest)
        within = RequestExecutor(executor.host, executor.default_level, executor.timeout_s, self._observations)
        super().__init__(BucketScope(within, DEFAULT_BUCKET, None))

    @property
    def token(self) -> str:
        """The contexts that the session has seen, as text for `Client.session(token=…)` in any process."""
        return self._seen.to_token()

    def take(self, token: str) -> None:
        """Add the contexts that another session has seen: later reads show these, too.

        Raises:
            InvalidRequest: `token` is not a session token, or both sessions together have more than 10,000 keys.
        """
        other = Seen.from_token(token)
        self._seen.take(other)
        self._observations.observe(other.newest)
