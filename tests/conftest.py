"""Hypothesis profiles: random and without a deadline on a developer's machine, derandomized in CI (`CI=true`)."""

import os

from hypothesis import settings

settings.register_profile("default", deadline=None)
settings.register_profile("derandomized", deadline=None, derandomize=True)
settings.load_profile("derandomized" if os.environ.get("CI") == "true" else "default")
