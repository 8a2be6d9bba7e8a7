"""Property tests have no deadline for a single example: machines stall, and that is not a finding. They try
the same examples in each run, so that a run says something about a change; the soak draws new ones."""

from hypothesis import settings

from tests.long_form import LONG

settings.register_profile("farshore", deadline=None, derandomize=not LONG)
settings.load_profile("farshore")
