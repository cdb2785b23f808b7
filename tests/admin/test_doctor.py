"""``hive-c0re doctor``: what it finds, and what it says to do about it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from hyperhive.admin import doctor, programs
from hyperhive.admin.cli import make_parser
from hyperhive.admin.client import USAGE, Failed
from hyperhive.admin.doctor import host_findings
from hyperhive.admin.findings import NOTE, OK, PROBLEM, Finding
from hyperhive.admin.service import AdminService
from hyperhive.containers.interfaces import Denied, Probe
from hyperhive.deferreds import deferred
from hyperhive.settings import Settings
from tests.admin.support import Hive
from tests.admin.terminal import console, printed


class HostTests(SynchronousTestCase):
    """What can be seen without a reactor."""

    def setUp(self) -> None:
        """A host on which all is well: a claude, a socat, folders."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir(0o700)
        self.path = self.folder / "bin"
        self.path.mkdir()
        self.program("claude", "echo '2.1.197 (Claude Code)'")
        self.program("socat", "true")
        self.patch(os, "environ", {**os.environ, "PATH": f"{self.path}:/usr/bin:/bin"})
        for name in ("state", "run"):
            (self.folder / name).mkdir(0o700)

    def program(self, name: str, script: str) -> None:
        """An executable."""
        file = self.path / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def found(self, **settings: Any) -> dict[str, Finding]:
        """The findings by their subjects."""
        given = {
            "state_dir": self.folder / "state",
            "run_dir": self.folder / "run",
            **settings,
        }
        findings = list(host_findings(Settings(**given)))
        self.assertEqual(len({one.subject for one in findings}), len(findings))
        return {one.subject: one for one in findings}

    def assert_problem(self, finding: Finding, *words: str) -> None:
        """It is a problem, and text and remedy together have these words."""
        self.assertEqual(finding.mark, PROBLEM)
        for word in words:
            self.assertIn(word, f"{finding.text} {finding.remedy}")

    def test_well(self) -> None:
        """Each is told of, and what it is."""
        found = self.found()
        self.assertEqual({one.mark for one in found.values()}, {OK})
        self.assertIn("2.1.197 (Claude Code)", found["claude"].text)
        self.assertIn(sys.version.split()[0], found["python"].text)

    def test_python(self) -> None:
        """An old Python."""
        self.assert_problem(programs.python((3, 10, 9)), "3.10.9", "3.11 or newer")
        self.assertEqual(programs.python((4, 0, 0)).mark, OK)

    def test_no_claude(self) -> None:
        """A claude that is not there."""
        found = self.found(claude="no-such-claude")
        self.assert_problem(found["claude"], "no-such-claude", "npm install", "--demo")

    def test_demo(self) -> None:
        """The stand-in is worth a note."""
        self.assertEqual(self.found(demo=True)["claude"].mark, NOTE)

    def test_claude_fails(self) -> None:
        """A claude that does not work."""
        self.program("claude", "exit 3")
        self.assert_problem(self.found()["claude"], "status 3", "--claude")

    def test_not_claude(self) -> None:
        """Another program of that name."""
        self.program("claude", "echo 'claude 1.0, a cloud editor'")
        self.assert_problem(self.found()["claude"], "a cloud editor", "--claude")

    def test_claude_hangs(self) -> None:
        """A claude that does not answer."""

        def hang(arguments: Any, timeout: float, **options: Any) -> None:
            raise subprocess.TimeoutExpired(arguments, timeout)

        self.patch(subprocess, "run", hang)
        self.assert_problem(self.found()["claude"], "within 20 s", "--claude")

    def test_claude_is_no_program(self) -> None:
        """A file that can't be run."""
        (self.path / "claude").write_bytes(b"\x7fELF nonsense")
        self.assert_problem(self.found()["claude"], "can't be run", "--claude")

    def test_no_socat(self) -> None:
        """Without it agents have no tools."""
        self.patch(os, "environ", {**os.environ, "PATH": str(self.folder)})
        self.assert_problem(self.found(demo=True)["socat"], "install")

    def test_nixos(self) -> None:
        """There, containers bring claude and socat; the host needs what makes them."""
        self.program("nix", "echo 'nix (Nix) 2.18.1'")
        self.program("nixos-container", "exit 1")  # it has no --version
        found = self.found(containers="nixos")
        self.assertEqual({one.mark for one in found.values()}, {OK})
        self.assertIn("own system", found["claude"].text)
        self.assertIn("2.18.1", found["nix"].text)
        self.assertNotIn("socat", found)
        (self.path / "nixos-container").unlink()
        problem = self.found(containers="nixos")["nixos-container"]
        self.assert_problem(problem, "boot.enableContainers")

    def test_no_git(self) -> None:
        """Without it nothing can be deployed."""
        self.patch(os, "environ", {**os.environ, "PATH": str(self.folder)})
        self.assert_problem(self.found(demo=True)["git"], "commits", "install")

    def test_versions(self) -> None:
        """One that is too old is told apart from one that does not say, and from a newer one."""
        for said, words in (
            ("git version 2.35.8", ("2.35.8", "too old", "2.36 or newer")),
            ("git version unknown", ("does not say", "2.36 or newer")),
            ("a gitty thing", ("does not say",)),
            ("nothing of it", ("says 'nothing of it'",)),
        ):
            self.program("git", f"echo '{said}'")
            self.assert_problem(self.found(demo=True)["git"], *words)
        self.program("git", "echo 'git version 2.100.0.windows.1'")
        self.assertEqual(self.found(demo=True)["git"].mark, OK)
        self.program("nix", "echo 'nix (Nix) 2.3.16'")
        problem = self.found(containers="nixos")["nix"]
        self.assert_problem(problem, "2.3.16", "too old", "nix 2.8 or newer")

    def test_folder_to_be_made(self) -> None:
        """A folder that is not there yet is fine where it can be made."""
        path = self.folder / "not" / "yet"
        self.assertEqual(
            self.found(state_dir=path)["state"],
            Finding("state", OK, f"{path} will be made"),
        )

    def test_folder_that_cannot_be_made(self) -> None:
        """Else it is not."""
        # Root may write everywhere.
        self.patch(os, "access", lambda path, mode: False)
        finding = self.found(state_dir=self.folder / "not" / "yet")["state"]
        self.assert_problem(finding, "can't be made", "--state-dir")

    def test_open_folder(self) -> None:
        """Others must not look into the state; they may pass through the other folder."""
        for name in ("state", "run"):
            (self.folder / name).chmod(0o711)
        found = self.found()
        self.assert_problem(found["state"], "mode 711", "chmod 700")
        self.assertEqual(found["run"].mark, OK)

    def test_file(self) -> None:
        """Something that is no folder."""
        path = self.folder / "file"
        path.touch()
        self.assert_problem(self.found(run_dir=path)["run"], "no folder", "--run-dir")
        self.assert_problem(self.found(run_dir=path / "x")["run"], "--run-dir")

    def test_somebody_elses(self) -> None:
        """A folder of another user's."""
        owner = (self.folder / "state").stat().st_uid
        self.patch(os, "geteuid", lambda: owner + 1)
        self.assert_problem(self.found()["state"], f"user {owner}", "--state-dir")

    def test_settings(self) -> None:
        """A wrong setting is a mistake in usage."""
        options = make_parser(["doctor"]).parse_args(["doctor", "--max-turns", "x"])
        with self.assertRaises(Failed) as failed:
            doctor.doctor(console(), options, None, False)
        self.assertEqual(failed.exception.status, USAGE)
        self.assertIn("--max-turns", str(failed.exception))

    def test_shown(self) -> None:
        """A line each, the remedy below; nothing that a terminal obeys."""
        one = console()
        doctor._show(one, Finding("claude", PROBLEM, "odd\x1b", "mend it"), raw=False)
        doctor._show(one, Finding("socat", OK, "/bin/socat"), raw=True)
        first, second, third = printed(one).splitlines()
        self.assertEqual(first.split(None, 2), ["problem", "claude", "odd\\x1b"])
        self.assertEqual(second.strip(), "→ mend it")
        self.assertEqual(
            json.loads(third), {"subject": "socat", "mark": "ok", "text": "/bin/socat"}
        )


class ReactorTests(TestCase):
    """What takes a reactor to find out."""

    timeout = 30

    @deferred
    async def examined(self, home: str | None = None, **settings: Any) -> list[Finding]:
        """The findings."""
        found: list[Finding] = []
        await doctor.reactor_findings(reactor, Settings(**settings), home, found.append)
        return found

    def probed(self, outcome: Probe | Exception) -> None:
        """Let the sandbox be so."""

        @deferred
        async def choose_driver(*given: Any) -> tuple[None, Probe]:
            if isinstance(outcome, Exception):
                raise outcome
            return None, outcome

        self.patch(doctor, "choose_driver", choose_driver)

    async def serve(self, code: int) -> str:
        """A dashboard that answers with this code; where it is."""
        root = Resource()

        class Health(Data):
            def render_GET(self, request: Any) -> Any:
                request.setResponseCode(code)
                return super().render_GET(request)

        root.putChild(b"healthz", Health(b"ok\n", "text/plain"))
        port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}/"

    @deferred
    async def test_bubblewrap(self) -> None:
        """The real one is tried out, and what is weak about it is noted."""
        first, *notes = await self.examined(containers="bubblewrap")
        self.assertEqual((first.subject, first.mark), ("containers", OK))
        self.assertIn("bubblewrap", first.text)
        self.assertTrue(notes)
        self.assertEqual({one.mark for one in notes}, {NOTE})

    @deferred
    async def test_process(self) -> None:
        """The driver that isolates nothing is noted as such."""
        first, *_ = await self.examined(containers="process")
        self.assertEqual(first.mark, NOTE)

    @deferred
    async def test_denied(self) -> None:
        """A sandbox that does not work is a problem, in the driver's words."""
        self.probed(Denied("Do this."))
        self.assertEqual(
            await self.examined(), [Finding("containers", PROBLEM, "Do this.")]
        )

    @deferred
    async def test_dashboard(self) -> None:
        """One that answers, one that answers wrongly, and none."""
        self.probed(Probe("bubblewrap", "0.8.0", True))
        home = await self.serve(200)
        self.assertEqual(
            (await self.examined(home))[1:], [Finding("dashboard", OK, home)]
        )
        home = await self.serve(500)
        [finding] = (await self.examined(home))[1:]
        self.assertEqual(finding.mark, PROBLEM)
        self.assertIn("answers 500", finding.text)
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            home = f"http://127.0.0.1:{unused.getsockname()[1]}/"
            [finding] = (await self.examined(home))[1:]
        self.assertEqual(finding.mark, PROBLEM)
        self.assertIn("can't be reached", finding.text)


class ProcessTests(TestCase):
    """The command as it is run."""

    timeout = 60

    def setUp(self) -> None:
        """Folders with short paths."""
        self.folder = Path(tempfile.mkdtemp(prefix="hive-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.run_dir = self.folder / "r"
        self.run_dir.mkdir(0o700)

    async def doctor(self, *words: str) -> tuple[int, list[dict[str, str]]]:
        """Run it; its exit status and its findings."""
        arguments = (
            *("doctor", "--json", "--state-dir", str(self.folder / "s")),
            *("--run-dir", str(self.run_dir), *words),
        )
        output, errors, status = await getProcessOutputAndValue(
            str(Path(sys.executable).with_name("hive-c0re")),
            arguments,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
        )
        self.assertEqual(errors, b"")
        return status, [json.loads(line) for line in output.splitlines()]

    @deferred
    async def test_well(self) -> None:
        """Status 0, also without a hive."""
        status, found = await self.doctor("--demo")
        self.assertEqual(
            (status, [one for one in found if one["mark"] == PROBLEM]), (0, [])
        )
        marks = {one["subject"]: one["mark"] for one in found}
        self.assertEqual(marks["hive"], NOTE)
        self.assertNotIn("dashboard", marks)

    @deferred
    async def test_hive(self) -> None:
        """A hive that runs is asked; a dashboard that does not answer is a problem: status 1."""
        hive = Hive(reactor)
        service = AdminService(reactor, self.run_dir / "host.sock", hive.context)
        await service.start()
        self.addCleanup(service.stop)
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            home = f"http://127.0.0.1:{unused.getsockname()[1]}/"
            hive.pages["home"] = home
            status, found = await self.doctor("--demo")
        self.assertEqual(status, 1)
        by_subject = {one["subject"]: one for one in found}
        self.assertEqual(by_subject["hive"]["mark"], OK)
        self.assertIn("0.1.0 answers", by_subject["hive"]["text"])
        self.assertEqual(by_subject["dashboard"]["mark"], PROBLEM)

    @deferred
    async def test_demo_that_runs(self) -> None:
        """Beside a demo no claude is missed, though nothing says --demo to the doctor."""
        hive = Hive(reactor)
        hive.info["demo"] = True
        hive.pages.clear()
        service = AdminService(reactor, self.run_dir / "host.sock", hive.context)
        await service.start()
        self.addCleanup(service.stop)
        _, found = await self.doctor("--claude", "/nowhere/claude")
        [claude] = (one for one in found if one["subject"] == "claude")
        self.assertEqual(claude["mark"], NOTE)
        self.assertIn("scripted", claude["text"])

    @deferred
    async def test_notifications(self) -> None:
        """A target that can't be told is a problem, with the reason."""
        hive = Hive(reactor)
        target = {"target": "ntfy", "host": "ntfy.example", "waiting": 0}
        problem = {"target": "webhook", "host": "h", "problem": "it answers 403"}
        hive.info["notify"] = [target, {**problem, "waiting": 3}]
        hive.pages.clear()
        service = AdminService(reactor, self.run_dir / "host.sock", hive.context)
        await service.start()
        self.addCleanup(service.stop)
        status, found = await self.doctor("--demo")
        first, second = (one for one in found if one["subject"] == "notify")
        self.assertEqual(
            (status, first["mark"], second["mark"]), (1, OK, PROBLEM), found
        )
        self.assertIn("it answers 403", second["text"])
        self.assertIn("notify-test", second["remedy"])

    @deferred
    async def test_dead_hive(self) -> None:
        """A socket that nobody listens on is a problem."""
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.run_dir / "host.sock"))
        status, found = await self.doctor("--demo")
        [finding] = [one for one in found if one["subject"] == "hive"]
        self.assertEqual((status, finding["mark"]), (1, PROBLEM))
        self.assertIn("hive-c0re serve", finding["text"])
