"""`AskEach`: one request to every linked node of the first data center, for example `status`."""

from collections.abc import Callable
from typing import Any

from crdtkv.client.core.calls import Call
from crdtkv.client.core.failures import LinkLost, NoAnswer
from crdtkv.client.core.parts import ClientParts
from crdtkv.errors import CrdtkvError
from crdtkv.wire.messages import Message


class AskEach(Call):
    """A request to each node. The result has the answers by node name, without nodes that did not answer.

    `request` returns the message for a request id. If a node refuses the request, the call ends with that error.
    """

    def __init__(self, request: Callable[[int], Message], timeout_s: float) -> None:
        super().__init__()
        self._request = request
        self._timeout_s = timeout_s
        self._waiting = 0
        self._answers: dict[str, Any] = {}
        self._error: CrdtkvError | None = None

    def begin(self, parts: ClientParts) -> None:
        """Send the request to all nodes at once."""
        self.parts = parts
        linked = parts.routing.views[0].linked
        self._waiting = len(linked) + 1
        for node, link in linked.items():
            link.ask(self._request(link.next_id()), _NodeRequest(self, node), self._timeout_s)
        self._part_ended()

    def part_answered(self, node: str, answer: Any) -> None:
        """Handle the answer of a node; of `inspect` it is None if the node stores nothing."""
        self._answers[node] = answer
        self._part_ended()

    def part_failed(self, node: str, error: CrdtkvError) -> None:
        """Handle a failure: the call ends with the first refusal; a lost link or a timeout counts as no answer."""
        if not isinstance(error, (LinkLost, NoAnswer)):
            self._error = self._error or error
        self._part_ended()

    def _part_ended(self) -> None:
        """End the call after the last node."""
        self._waiting -= 1
        if not self._waiting:
            self.end(self._answers, self._error)


class _NodeRequest:
    """The request to one node."""

    def __init__(self, asking: AskEach, node: str) -> None:
        self._asking = asking
        self._node = node

    def answered(self, reply: Any) -> None:
        self._asking.part_answered(self._node, reply)

    def failed(self, error: CrdtkvError) -> None:
        self._asking.part_failed(self._node, error)
