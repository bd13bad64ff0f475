"""`ClientParts`: what the calls of one client share."""

from random import Random
from typing import NamedTuple

from crdtkv.client.core.retry_budget import RetryBudget
from crdtkv.client.core.routing import Routing
from crdtkv.client.core.step import Step
from crdtkv.client.core.timers import Timers


class ClientParts(NamedTuple):
    """The step under way, the timers, the links, and the retries that are left."""

    step: Step
    timers: Timers
    random: Random
    routing: Routing
    budget: RetryBudget
