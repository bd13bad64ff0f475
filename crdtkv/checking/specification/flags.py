"""`flag` and `dwflag`."""

from typing import Any

from crdtkv.checking.specification.view import Specification, View, undone


class FlagSpecification(Specification):
    """On if there is an enable that no later operation had seen."""

    def values(self, view: View) -> list[Any]:
        """Return `[True]` if it is on, nothing if it is off."""
        operations = view.operations
        left = {one.name for one in operations if not undone(one, operations) and not view.is_over(one, one.expires_at)}
        return [True] if self.decide(left) else []

    def decide(self, left: set[str]) -> bool:
        """Return whether the operations that nothing has superseded turn the flag on."""
        return "enable" in left


class DisableWinsFlagSpecification(FlagSpecification):
    """On if there is an enable, and no disable, that no later operation had seen."""

    def decide(self, left: set[str]) -> bool:
        """Return whether the operations that nothing has superseded turn the flag on."""
        return "enable" in left and "disable" not in left
