"""What is remembered of containers from one daemon to the next."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.containers.interfaces import (
    Bind,
    ContainerSpec,
    ContainerState,
    ContainerStatus,
    DriverError,
)
from hyperhive.containers.records import Record, Records


class RecordsTests(SynchronousTestCase):
    """Records and their files."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        binds = (Bind(Path("/x/hömé"), "/root", True), Bind(Path("/y"), "/state"))
        self.record = Record(
            ContainerSpec("h-bob", binds), ContainerState.FAILED, 12.5, "stuck"
        )
        self.records = Records(self.folder)

    def test_remembered(self) -> None:
        """The next daemon knows all that this one knew."""
        self.records.put(self.record)
        again = Records(self.folder)
        self.assertEqual(again.get("h-bob"), self.record)
        self.assertEqual(
            again.all(),
            {"h-bob": ContainerStatus("h-bob", ContainerState.FAILED, 12.5, "stuck")},
        )

    def test_removed(self) -> None:
        """What is removed is forgotten; removing it again is fine."""
        self.records.put(self.record)
        for _ in range(2):
            self.records.remove("h-bob")
        self.assertIsNone(self.records.get("h-bob"))
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_damaged(self) -> None:
        """A file that is no record is left out, with a warning; the others count."""
        self.records.put(self.record)
        for name, text in (
            ("a", ""),
            ("b", "[]"),
            ("c", "{}"),
            ("d", '{"name": "d", "binds": [1], "state": "running", "since": 1}'),
            ("e", "\udcff"),
        ):
            file = self.folder / f"{name}.json"
            file.write_bytes(text.encode("utf-8", "surrogateescape"))
        self.assertEqual(list(Records(self.folder).all()), ["h-bob"])

    def test_half_written(self) -> None:
        """A write that the daemon died in leaves what was there before."""
        self.records.put(self.record)
        (self.folder / "h-bob.new").write_text('{"name"')
        self.assertEqual(Records(self.folder).get("h-bob"), self.record)

    def test_not_written(self) -> None:
        """What could not be written is not remembered either."""
        self.folder.joinpath("h-bob.new").mkdir()
        with self.assertRaises(DriverError):
            self.records.put(self.record)
        self.assertIsNone(self.records.get("h-bob"))
