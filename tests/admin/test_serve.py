"""How ``serve`` becomes ``twistd hyperhive``."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.admin.cli import make_parser
from hyperhive.admin.serve import twistd_arguments
from hyperhive.settings import flag_fields, spelled
from hyperhive.tap import Options
from tests.admin.terminal import console

START = ["--nodaemon", "--pidfile=", "--reactor=asyncio", "hyperhive"]


def arguments(*given: str, **environ: str) -> list[str]:
    """What twistd is given."""
    words = ["serve", *given]
    return twistd_arguments(
        console(environ=environ), make_parser(words).parse_args(words)
    )


class ServeTests(SynchronousTestCase):
    """The daemon's own arguments."""

    def test_plain(self) -> None:
        """Without flags it is twistd on the asyncio reactor, which prints a login link."""
        self.assertEqual(arguments(), [*START, "--print-login"])

    def test_flags(self) -> None:
        """Flags are passed on, and only those that were given."""
        self.assertEqual(
            arguments(
                "--demo", "--state-dir", "a b", "--agent-ports=0", "-c", "x.toml"
            ),
            [
                *START,
                "--config=x.toml",
                "--state-dir=a b",
                "--agent-ports=0",
                "--demo",
                "--print-login",
            ],
        )

    def test_journal(self) -> None:
        """The link is not printed to the journal, nor where it is not wanted."""
        self.assertEqual(arguments(JOURNAL_STREAM="8:1"), START)
        self.assertEqual(arguments("--no-login-link"), START)

    def test_logfile(self) -> None:
        """The log is twistd's own matter."""
        self.assertEqual(arguments("--logfile", "x")[3:5], ["--logfile=x", "hyperhive"])

    def test_same_flags(self) -> None:
        """Every flag of twistd hyperhive is one of serve, and is understood there."""
        values: dict[str, Any] = {
            "containers": "process",
            "agent_ports": "8100-8200",
            "agent_interface": "::1",
            "manager_port": "0",
        }
        given = [
            f"--{spelled(one.name)}"
            if one.metadata["meta"] is None
            else f"--{spelled(one.name)}={values.get(one.name, '7')}"
            for one in flag_fields()
        ]
        options = Options()
        options.parseOptions(arguments(*given)[len(START) :])
        self.assertEqual(options.settings.containers, "process")
        self.assertEqual(options.settings.max_turns, 7)
        self.assertTrue(options.settings.demo)
        self.assertTrue(options["print-login"])
