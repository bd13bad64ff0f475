"""`Session`: reads that never go back in time, and show all that the session has written.

A session remembers the causal context of every key it has read or written (`core.observations`). A read whose answer
lacks something of that is asked again (`core.sessions`).
"""

from crdtkv.causality.seen import Seen
from crdtkv.client.buckets import Buckets
from crdtkv.client.core.observations import Observations
from crdtkv.client.request_executor import RequestExecutor
from crdtkv.client.value_ref import BucketScope
from crdtkv.ids import DEFAULT_BUCKET


class Session(Buckets):
    """The verbs of a client within a session; made by `Client.session`."""

    def __init__(self, executor: RequestExecutor, token: str | None) -> None:
        self._seen = Seen.from_token(token) if token is not None else Seen()
        self._observations = Observations(self._seen, executor.observations.newest)
        within = RequestExecutor(executor.host, executor.default_level, executor.timeout_s, self._observations)
        super().__init__(BucketScope(within, DEFAULT_BUCKET, None))

    @property
    def token(self) -> str:
        """What the session has seen, as one word: `Client.session(token=…)` goes on from there, in any process."""
        return self._seen.to_token()

    def take(self, token: str) -> None:
        """See from now on also what another session has seen.

        Raises:
            InvalidRequest: it is no token, or there are too many keys.
        """
        other = Seen.from_token(token)
        self._seen.take(other)
        self._observations.observe(other.newest)
