"""`RetryBudget`: limits the retries of a client after refusals and silence of nodes.

Retries add load, so they can keep an overloaded cluster overloaded. Each request adds a tenth of a retry to the budget,
up to `SAVED_MAX`, which is used when a node fails. A retry beyond the budget is still made, but after about the longest
pause of retries.

Source: Google, "Site Reliability Engineering" (2016), chapter 21, "Handling Overload".
"""

SHARE = 0.1
SAVED_MAX = 1_000.0


class RetryBudget:
    """The budget of one client."""

    def __init__(self) -> None:
        #: The number of requests without their retries; each call increments it when it begins.
        self.requests = 0
        self._earned_until = 0
        self._saved = SAVED_MAX

    def spend(self) -> bool:
        """Return whether the budget has a retry left, and if so, use it."""
        self._saved = min(SAVED_MAX, self._saved + SHARE * (self.requests - self._earned_until))
        self._earned_until = self.requests
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
