"""Tests of hyperhive. They need Twisted's asyncio reactor: run them by ``make test``."""

from hypothesis import HealthCheck, settings

# The same examples each time, and no verdict that hangs on how busy the machine is.
settings.register_profile(
    "steady",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")
