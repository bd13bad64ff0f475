"""`Calls`: counts the calls of functions, for the benchmarks."""

import sys
from types import FrameType


class Calls:
    """Counts calls while it is entered: of Python functions of crdtkv, with their files, and of C functions."""

    def __init__(self) -> None:
        self.python = 0
        self.c = 0
        self.files: set[str] = set()

    def __enter__(self) -> "Calls":
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _called(self, frame: FrameType, event: str, _: object) -> None:
        if event == "c_call":
            self.c += 1
        elif event == "call" and "/crdtkv/" in frame.f_code.co_filename:
            self.python += 1
            self.files.add(frame.f_code.co_filename)
