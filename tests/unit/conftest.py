"""Property tests have no deadline for a single example: machines stall, and that is not a finding. They try
the same examples in each run, so that a run says something about a change; the soak draws new ones."""

import os

from hypothesis import settings

settings.register_profile("farshore", deadline=None, derandomize="FARSHORE_SOAK" not in os.environ)
settings.load_profile("farshore")
