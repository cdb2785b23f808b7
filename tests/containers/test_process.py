"""The driver without isolation."""

from tests.containers.real import RealSuite
from hyperhive.containers.marked import VARIABLE
from hyperhive.containers.process import ProcessDriver


class ProcessSuiteTests(RealSuite):
    """The suite over real processes as they are."""

    driver_class = ProcessDriver
    added = frozenset({VARIABLE})


del RealSuite
