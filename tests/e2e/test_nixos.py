"""A hive on NixOS containers, on a host that is made up: its own flake, real nix, and whole turns."""

import os
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.containers.fake_nixos import FakeHostDriver, end_world, make_world
from tests.containers.nixos_daemon import NixosDaemon
from tests.nixos.support import Nix, missing


class NixosTests(SynchronousTestCase):
    """Everything between a message and its answer, but for systemd and the isolation."""

    skip = missing()

    def setUp(self) -> None:
        """A hive with bob, whose claude is the one of his own system."""
        if not Path("/usr/bin/python3").exists():
            raise SkipTest("the agents' claude needs /usr/bin/python3")
        nix = Nix()
        self.addCleanup(nix.remove)
        self.hive = NixosDaemon(FakeHostDriver, nix)
        self.addCleanup(self.hive.remove)
        self.world = make_world(self.hive.run / "containers")
        self.addCleanup(end_world, self.world)
        self.hive.environment["PATH"] = f"{self.world.bin}:{os.environ['PATH']}"
        self.hive.start()
        self.hive.quiet()
        self.hive.do(cmd="spawn", name="bob")

    def until_done(self, message: int) -> dict[str, Any]:
        """Wait for the end of a message's turn; the last that was said to the operator."""
        with closing(self.hive.events("message")) as events:
            while self.message(message)["state"] != "done":
                events.next()
        return self.hive.inbox()[-1]

    def message(self, number: int) -> dict[str, Any]:
        """A message to bob."""
        return next(one for one in self.hive.inbox("bob") if one["id"] == number)

    def test_a_turn(self) -> None:
        """A message comes in, claude of the built system takes it, its answer goes out."""
        profile = self.world.profiles / "h-bob" / "system"
        with closing(self.hive.events("stream")) as events:
            message = self.hive.send(
                "bob", "!reply Hello\n!tool Bash tr '\\0' ' ' </proc/$PPID/cmdline"
            )
            claude = f"{os.path.realpath(profile)}/sw/bin/claude --print"
            events.until(lambda event: claude in str(event))
        answer = self.until_done(message)
        self.assertEqual((answer["from"], answer["body"]), ("bob", "Hello"))
        # Not run, and not update: these enter it as root of the host.
        self.assertLessEqual(
            {
                call["words"][1]
                for call in self.world.calls()
                if call["words"][0] == "nixos-container"
            },
            {"list", "create", "start"},
        )

    def test_stopped_in_a_turn(self) -> None:
        """A container that is stopped in the middle gives its message back, for the next start."""
        with closing(self.hive.events("stream")) as events:
            message = self.hive.send("bob", "!say here\n!once x !hang\n!reply again")
            events.until(lambda event: "here" in str(event))
        self.hive.do(cmd="kill", name="bob")
        self.assertEqual(self.message(message)["state"], "queued")
        self.assertFalse(self.hive.status("bob")["running"])
        self.hive.spend_once("bob", "x")
        self.hive.do(cmd="start", scope={"agent_names": ["bob"]})
        self.assertEqual(self.until_done(message)["body"], "again")
