"""`Buckets`: the bucket `default`, with access to all other buckets."""

from typing import Any

from crdtkv.client.arguments import checked_codec
from crdtkv.client.bucket import Bucket, V
from crdtkv.client.codecs import CBOR, Codec
from crdtkv.client.value_ref import BucketScope, Level


class Buckets(Bucket[Any]):
    """The bucket `default`; `bucket` returns other buckets. Base of `Client` and `Session`."""

    def bucket(self, name: str, *, of: Codec[V] = CBOR, consistency: Level = None) -> Bucket[V]:
        """Return another bucket. `of` is the codec of its values, `consistency` the default level of its calls.

        The first request raises `UnknownBucket` if the bucket is not declared.

        Raises:
            InvalidKey: the name is not a valid bucket name.
            InvalidRequest: there is no such level, or `of` is not a codec.
        """
        return Bucket(BucketScope(self._scope.executor, name, consistency), checked_codec(of))
