"""What a NixOS container's configuration says."""

import os
import shlex
import string
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from hyperhive.containers.interfaces import (
    Bind,
    ContainerSpec,
    DriverError,
    Limits,
)
from hyperhive.containers.nixos_conf import (
    CLEARED,
    drop_in,
    parse,
    render,
    replace_file,
)

OWNER = '/run/it\'s a "hive"\\ $HOME `id` ü'
PLAIN = st.text(string.ascii_letters + string.digits + "._+@=,-", min_size=1)
SPECS = st.builds(
    ContainerSpec,
    name=st.just("h-bob"),
    binds=st.lists(
        st.builds(
            Bind,
            source=PLAIN.map(lambda name: Path("/srv", name)),
            destination=PLAIN.map(lambda name: f"/state/{name}"),
            writable=st.booleans(),
        ),
        max_size=4,
    ).map(tuple),
    system=PLAIN.map(lambda name: Path("/nix/store", name)),
    limits=st.builds(
        Limits,
        memory=st.none() | st.integers(1, 2**50),
        cpu=st.none() | st.floats(0.01, 64),
        tasks=st.none() | st.integers(1, 10**6),
    ),
)


class ConfTests(SynchronousTestCase):
    """The text of a ``.conf``."""

    @given(SPECS, st.text())
    def test_there_and_back(self, spec: ContainerSpec, owner: str) -> None:
        """A specification and an owner come back as they were, from lines that systemd reads."""
        owner = owner.encode("utf-8", "replace").decode()
        text = render("", spec, owner)
        self.assertEqual(parse(text), (owner, spec))
        for line in text.splitlines():
            self.assertRegex(line, r"^[A-Z_]+=")
            self.assertEqual(len(shlex.split(line, posix=True)), 1)

    @given(SPECS)
    def test_flags(self, spec: ContainerSpec) -> None:
        """A shell takes the flags apart as they were put together."""
        text = render("", spec, OWNER)
        (line,) = [one for one in text.splitlines() if one.startswith("EXTRA_")]
        flags = line.partition("=")[2].strip('"').split()
        expected = [
            f"--bind{'' if bind.writable else '-ro'}={bind.source}:{bind.destination}"
            for bind in spec.binds
        ]
        self.assertEqual(flags[: len(expected)], expected)

    def test_again(self) -> None:
        """Rendered again it is the same, and what was cleared does not come back."""
        spec = ContainerSpec("h-bob", (), Path("/nix/store/x"))
        before = "".join(f"{key}=1\n" for key in sorted(CLEARED)) + "KEPT=1\nodd line\n"
        once = render(before, spec, OWNER)
        self.assertEqual(once.splitlines()[:2], ["KEPT=1", "odd line"])
        self.assertEqual(render(once, spec, OWNER), once)
        self.assertEqual(
            CLEARED & {line.partition("=")[0] for line in once.split()}, set()
        )

    def test_not_ours(self) -> None:
        """A .conf without our line, or with one that can't be read, is nobody's."""
        for text in (
            "",
            "A=1\n",
            "HYPERHIVE=\n",
            "HYPERHIVE='{}'\n",
            "HYPERHIVE='[1]'",
        ):
            self.assertIsNone(parse(text), text)

    def test_limits(self) -> None:
        """Each limit is a line of the drop-in, after what is always there."""
        roots = Path("/var/lib/nixos-containers")
        always = drop_in(Limits(), roots).splitlines()
        self.assertEqual(always[0], "[Service]")
        self.assertEqual(
            drop_in(Limits(1024, 0.001, 5), roots).splitlines(),
            [*always, "MemoryMax=1024", "CPUQuota=1%", "TasksMax=5"],
        )


class ReplaceTests(SynchronousTestCase):
    """A file of the host's is replaced in one step."""

    def test_replaced(self) -> None:
        """It has the new text, and nothing else is left."""
        folder = Path(self.mktemp())
        for text in ("one\n", "two\n"):
            replace_file(folder / "x.conf", text)
            self.assertEqual((folder / "x.conf").read_text(), text)
        self.assertEqual(os.listdir(folder), ["x.conf"])

    def test_fails(self) -> None:
        """What can't be written is told, and leaves no draft."""
        folder = Path(self.mktemp())
        (folder / "x.conf").mkdir(parents=True)
        with self.assertRaises(DriverError):
            replace_file(folder / "x.conf", "text")
        self.assertEqual(os.listdir(folder), ["x.conf"])
