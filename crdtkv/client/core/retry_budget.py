"""`RetryBudget`: how many requests a client may send again because nodes refused them or were silent.

While a cluster is overloaded, requests that are sent again are a load of their own, and keep it overloaded. So every
request earns a tenth of such a retry; what is not used is saved, for the moment when a node fails. A retry beyond that
is not given up but waits for as long as retries ever do.

Source: Google, "Site Reliability Engineering" (2016), chapter 21, "Handling Overload".
"""

SHARE = 0.1
SAVED_MAX = 1_000.0


class RetryBudget:
    """The retries one client has left."""

    def __init__(self) -> None:
        #: Requests that were sent for the first time; whoever sends one counts it here.
        self.requests = 0
        self._earned_until = 0
        self._saved = SAVED_MAX

    def spend(self) -> bool:
        """Tell whether a request may be sent again now; if so, that counts."""
        self._saved = min(SAVED_MAX, self._saved + SHARE * (self.requests - self._earned_until))
        self._earned_until = self.requests
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
