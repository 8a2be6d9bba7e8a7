"""Property tests have no deadline for a single example: machines stall, and that is not a finding."""

from hypothesis import settings

settings.register_profile("farshore", deadline=None)
settings.load_profile("farshore")
