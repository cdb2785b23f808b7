"""The verbs of deployments, by bytes, and their subcommands in a terminal."""

from hyperhive.admin.client import REFUSED
from hyperhive.deferreds import deferred
from hyperhive.deploy.interfaces import Deployed
from hyperhive.names import OPERATOR
from hyperhive.testing.agents import NOW, Call
from tests.admin.support import AdminCase
from tests.admin.terminal import console, said
from tests.admin.test_cli import CliCase

DONE = b'{"version":1,"ok":true}'
SHA = "0123456789" * 4
JOB = {
    "id": 12,
    "kind": "rebuild",
    "agent": "bob",
    "by": "operator",
    "state": "failed",
    "queued_at": "2026-01-31T12:00:00.000Z",
    "ended_at": "2026-01-31T12:00:05.000Z",
    "sha": SHA,
    "note": "agent.toml, line 3: 'modle' is not a key",
}


class DeployVerbTests(AdminCase):
    """What each asks for, and what it answers."""

    def setUp(self) -> None:
        super().setUp()
        self.hive.deploys.deployed["bob"] = [Deployed(3, SHA, NOW, True)]
        self.hive.deploys.rows = [JOB]
        self.hive.deploys.logs[12] = ("building", "failed")

    def test_changes(self) -> None:
        """Each is one call, and an answer when it is done."""
        for request, call in (
            (b'{"cmd":"rebuild","name":"bob"}\n', ("rebuild", "bob", OPERATOR)),
            (
                b'{"cmd":"rollback","name":"bob","id":3}\n',
                ("rollback", "bob", 3, OPERATOR),
            ),
            (b'{"cmd":"run_again","id":12}\n', ("run_again", 12)),
        ):
            self.client.send(request)
            self.assertEqual(self.client.lines(), [DONE])
            self.assertEqual(self.hive.deploys.calls[-1], call)

    def test_update_all(self) -> None:
        """It says how many."""
        self.client.send(b'{"cmd":"update_all"}\n')
        self.assertEqual(self.client.lines(), [b'{"version":1,"ok":true,"count":1}'])

    def test_facts(self) -> None:
        """The queue, a log, a history."""
        answer = self.client.ask({"cmd": "deploys"})
        self.assertEqual(answer["jobs"], [JOB])
        self.client.send(b'{"cmd":"job_log","id":12}\n')
        self.assertEqual(
            self.client.lines(),
            [b'{"version":1,"ok":true,"lines":["building","failed"]}'],
        )
        self.client.send(b'{"cmd":"deployments","name":"bob"}\n')
        self.assertEqual(
            self.client.lines(),
            [
                b'{"version":1,"ok":true,"deployments":[{"id":3,"sha":"%s",'
                b'"at":"2026-01-31T12:00:00.000Z","current":true}]}' % SHA.encode()
            ],
        )

    def test_cancel(self) -> None:
        """What can be cancelled is; what can't says why."""
        refused = self.client.ask({"cmd": "cancel_job", "id": 12})
        self.assert_refused(refused, "12", "can't be cancelled")
        self.hive.deploys.rows = [{**JOB, "cancellable": True}]
        self.assertTrue(self.client.ask({"cmd": "cancel_job", "id": 12})["ok"])
        self.assertEqual(self.hive.deploys.calls, [("cancel", 12)])

    def test_unknown(self) -> None:
        """What does not exist is said so, and the next good request is answered."""
        self.assert_refused(
            self.client.ask({"cmd": "rollback", "name": "bob", "id": 4}), "4", "none"
        )
        self.assert_refused(self.client.ask({"cmd": "job_log", "id": 99}), "99")
        self.assert_refused(self.client.ask({"cmd": "rollback", "name": "bob"}), "id")
        self.assertTrue(self.client.ask({"cmd": "deploys"})["ok"])

    def test_tombstones(self) -> None:
        """What a destroyed agent left is listed, and purged only then."""
        self.assert_refused(
            self.client.ask({"cmd": "purge", "name": "bob"}), "destroy it first"
        )
        self.client.ask({"cmd": "destroy", "name": "bob"})
        self.client.send(b'{"cmd":"tombstones"}\n')
        self.assertEqual(
            self.client.lines(),
            [
                b'{"version":1,"ok":true,"tombstones":[{"name":"bob","bytes":4096,'
                b'"since":"2026-01-31T12:00:00.000Z","login":true}]}'
            ],
        )
        self.assertTrue(self.client.ask({"cmd": "purge", "name": "bob"})["ok"])
        self.assertEqual(self.hive.agents.calls[-1], Call("purge", {"name": "bob"}))
        self.assertEqual(self.client.ask({"cmd": "tombstones"})["tombstones"], [])


class DeploySubcommandTests(CliCase):
    """What is printed."""

    @deferred
    async def test_deploys(self) -> None:
        """Jobs, oldest first, with why they failed."""
        self.hive.deploys.rows = [JOB, {**JOB, "id": 11, "state": "done", "note": ""}]
        lines = (await self.ask("deploys")).splitlines()
        self.assertTrue(lines[0].startswith("#11  rebuild bob  done"), lines)
        self.assertTrue(lines[1].startswith("#12  rebuild bob  failed"), lines)
        self.assertTrue(lines[1].endswith("by operator  0123456789"), lines)
        self.assertEqual(lines[2], "    agent.toml, line 3: 'modle' is not a key")

    @deferred
    async def test_a_log(self) -> None:
        """Its lines; what would steer the terminal is spelled out."""
        self.hive.deploys.logs[12] = ("building", "\x1b[31mred")
        text = await self.ask("job-log", "12")
        self.assertNotIn("\x1b", text)
        self.assertTrue(text.startswith("building\n"))

    @deferred
    async def test_history(self) -> None:
        """Deployments, and which of them runs."""
        self.hive.deploys.deployed["bob"] = [
            Deployed(5, SHA, NOW, True),
            Deployed(3, "f" * 40, NOW, False),
        ]
        first, second = (await self.ask("deployments", "bob")).splitlines()
        self.assertTrue(first.startswith("5  0123456789"), first)
        self.assertTrue(first.endswith("runs now"), first)
        self.assertTrue(second.startswith("3  ffffffffff"), second)
        self.assertEqual(
            await self.ask("rollback", "bob", "3"), "bob runs deployment 3 again.\n"
        )
        self.assertEqual(await self.ask("update-all"), "1 agent rebuilt.\n")
        self.assertEqual(await self.ask("rebuild", "bob"), "bob is rebuilt.\n")

    @deferred
    async def test_purge(self) -> None:
        """It asks first."""
        await self.hive.agents.destroy("bob")
        self.assertIn("bob", await self.ask("tombstones"))
        one = console("something else\n", terminal=True)
        self.assertEqual(await self.run_on(one, "purge", "bob"), REFUSED)
        self.assertIn("Nothing was done.", said(one))
        self.assertEqual(
            await self.ask("purge", "--yes", "bob"), "Nothing of bob is left.\n"
        )
