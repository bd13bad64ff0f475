"""`ClientParts`: the objects that all calls of one client share."""

from random import Random
from typing import NamedTuple

from crdtkv.client.core.retry_budget import RetryBudget
from crdtkv.client.core.routing import Routing
from crdtkv.client.core.step import Step
from crdtkv.client.core.timers import Timers


class ClientParts(NamedTuple):
    """The current step, the timers, the source of randomness, the links, and the retry budget."""

    step: Step
    timers: Timers
    random: Random
    routing: Routing
    budget: RetryBudget
