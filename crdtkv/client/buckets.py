"""`Buckets`: all buckets of a cluster; its verbs act on the bucket `default`."""

from typing import Any

from crdtkv.client.arguments import checked_codec
from crdtkv.client.bucket import Bucket, V
from crdtkv.client.codecs import CBOR, Codec
from crdtkv.client.value_ref import BucketScope, Level


class Buckets(Bucket[Any]):
    """The bucket `default`, and the way to others."""

    def bucket(self, name: str, *, of: Codec[V] = CBOR, consistency: Level = None) -> Bucket[V]:
        """Return another bucket, with a codec and a default level of its own if they are given.

        Raises:
            InvalidKey: no bucket can be named so. (Whether it is declared shows with the first request.)
            InvalidRequest: no such level, or no codec.
        """
        return Bucket(BucketScope(self._scope.executor, name, consistency), checked_codec(of))
