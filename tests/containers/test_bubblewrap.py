"""The driver with bwrap."""

from hyperhive.containers.bubblewrap import BubblewrapDriver
from tests.containers.real import RealSuite


class BubblewrapSuiteTests(RealSuite):
    """The suite over real sandboxes."""

    driver_class = BubblewrapDriver
    added = frozenset({"PWD"})


del RealSuite
