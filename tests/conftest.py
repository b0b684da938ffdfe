"""For all tests: no time limit of hypothesis' own, which only finds out how busy the machine is."""

from hypothesis import settings

settings.register_profile("aftercall", deadline=None)
settings.load_profile("aftercall")
