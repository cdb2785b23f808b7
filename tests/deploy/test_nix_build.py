"""Builds with the real nix, of the hive's own flake upon a stub of nixpkgs."""

import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from hyperhive.agents.config import AgentConfig
from hyperhive.deferreds import deferred
from hyperhive.deploy import nix_build
from hyperhive.deploy.flake import host_platform
from hyperhive.deploy.interfaces import (
    BuilderMissing,
    BuildError,
    BuildFailed,
    BuildTimedOut,
    Built,
    EvalError,
    FetchError,
    IBuilder,
)
from hyperhive.deploy.nix_build import NixBuilder
from hyperhive.deploy.trees import SourceTree, UnfitCommit
from tests.nixos.support import Nix, missing

#: A module whose system is what a shell makes of ``script``.
SCRIPTED = """
{ lib, ... }:
{
  system.build.toplevel = lib.mkForce (derivation {
    name = "scripted";
    system = "%(platform)s";
    builder = "/bin/sh";
    args = [ "-c" "PATH=/usr/bin:/bin; %(script)s" ];
  });
}
"""


def scripted(script: str) -> dict[str, bytes]:
    """The files of an agent whose system is built by ``script``."""
    text = SCRIPTED % {"platform": host_platform(), "script": script}
    return {"agent.nix": text.encode()}


def module(text: str) -> dict[str, bytes]:
    """The files of an agent with nothing but a module."""
    return {"agent.nix": text.encode()}


def running(mark: str) -> list[bytes]:
    """The command lines with ``mark`` in them of all processes."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in line:
            found.append(line)
    return found


class NixTestCase(TestCase):
    """With a nix of its own."""

    timeout = 60
    skip = missing()

    def setUp(self) -> None:
        self.nix = Nix()
        self.addCleanup(self.nix.remove)
        self.hive = f"path:{self.nix.hive()}"
        self.folder = self.nix.folder / "builder"
        self.stub = ("--override-input", "hyperhive/nixpkgs", f"path:{self.nix.stub}")
        self.said: list[str] = []
        self.programs: frozenset[str] = frozenset()
        self._awaited: list[tuple[str, Deferred[None]]] = []
        self.builder = self.make()

    def make(
        self,
        hive: str | None = None,
        path: str | None = None,
        limit: float = nix_build.LIMIT,
        arguments: Sequence[str] | None = None,
    ) -> NixBuilder:
        """A builder, by default one that can build."""
        environment = dict(self.nix.environment)
        if path is not None:
            environment["PATH"] = path
        return NixBuilder(
            reactor,
            self.folder,
            self.hive if hive is None else hive,
            environment,
            limit=limit,
            arguments=self.stub if arguments is None else arguments,
        )

    def hear(self, line: str) -> None:
        """What a build says is kept, and told to who waits for it."""
        self.said.append(line)
        for said, heard in self._awaited:
            if said in line and not heard.called:
                heard.callback(None)

    def until(self, said: str) -> "Deferred[None]":
        """Fire when a line has ``said`` in it."""
        heard: Deferred[None] = Deferred()
        self._awaited.append((said, heard))
        return heard

    def build(self, files: dict[str, bytes], name: str = "bob") -> "Deferred[Built]":
        """Start a build, and check at its end that nothing of it is left over."""

        def nothing_left(result: object) -> object:
            work = self.folder / "work"
            self.assertEqual(list(work.iterdir()) if work.exists() else [], [])
            return result

        tree = SourceTree(files, self.programs)
        build = self.builder.build(name, "agent", tree, self.hear)
        return build.addBoth(nothing_left)

    async def refused(
        self, files: dict[str, bytes], kind: type[BuildFailed]
    ) -> BuildFailed:
        """How a build fails that must."""
        try:
            built = await self.build(files)
        except BuildFailed as error:
            self.assertIs(type(error), kind, str(error))
            self.assertNotIn("-source/", str(error))
            self.assertLessEqual(len(str(error).encode()), 4096)
            return error
        raise AssertionError(f"it was built: {built}")


class BuiltTests(NixTestCase):
    """What is built, and how long it stays."""

    @deferred
    async def test_template(self) -> None:
        """What a new agent's repo begins with builds, with the hive's defaults."""
        self.assertTrue(IBuilder.providedBy(self.builder))
        files = dict(self.builder.template("bob"))
        self.assertIn(self.builder.entry, files)
        built = await self.build(files)
        assert built.system is not None
        self.assertEqual(built.system.name.partition("-")[2], "nixos-system-bob")
        self.assertEqual(AgentConfig.from_json(built.config), AgentConfig())

    @deferred
    async def test_what_the_schema_refuses(self) -> None:
        """What the options' types let through is refused by the daemon, and says why."""
        given = b'{ hyperhive.environment.LD_PRELOAD = "/x"; }'
        files = {**self.builder.template("bob"), self.builder.entry: given}
        with self.assertRaises(EvalError) as raised:
            await self.build(files)
        self.assertIn("LD_PRELOAD", str(raised.exception))

    @deferred
    async def test_options(self) -> None:
        """Every option lands in the configuration, by the same name."""
        given = """
        { pkgs, ... }:
        {
          hyperhive = {
            model = "sonnet";
            recipients = [ "manager" ];
            tools.built_in = [ "Bash" "Read" ];
            tools.bash = [ "git *" ];
            mcp_servers.one = { command = "one"; args = [ "-x" ]; env.A = "b ${"$"}{c}"; };
            environment.LANG = "C";
            limits = {
              memory = "2G"; cpu = 1.5; tasks = 200; turn_timeout = 60; silence_timeout = 9.5;
            };
          };
          environment.systemPackages = [ pkgs.socat ];
        }
        """
        built = await self.build(module(given))
        self.assertEqual(
            json.loads(built.config),
            {
                "model": "sonnet",
                "recipients": ["manager"],
                "tools": {"built_in": ["Bash", "Read"], "bash": ["git *"]},
                "mcp_servers": {
                    "one": {"command": "one", "args": ["-x"], "env": {"A": "b ${c}"}}
                },
                "environment": {"LANG": "C"},
                "limits": {
                    "memory": "2G",
                    "cpu": 1.5,
                    "tasks": 200,
                    "turn_timeout": 60,
                    "silence_timeout": 9.5,
                },
            },
        )

    @deferred
    async def test_other_files(self) -> None:
        """The repo's other files are there, under any name; its flake is not ours."""
        built = await self.build(
            {
                "agent.nix": b"""{
                  imports = [ ./more/model.nix ];
                  hyperhive.environment.TEXT = builtins.readFile (./. + "/a \\${b} \xc3\xa9");
                }""",
                "more/model.nix": b'{ hyperhive.model = "opus"; }',
                "a ${b} é": b"text",
                "flake.nix": b'{ outputs = throw "not ours"; }',
            }
        )
        config = json.loads(built.config)
        self.assertEqual(config["model"], "opus")
        self.assertEqual(config["environment"], {"TEXT": "text"})

    @deferred
    async def test_programs(self) -> None:
        """What can be executed in the repo can be, where it is built."""
        files = {**scripted("${./run}; exit 1"), "run": b"#!/bin/sh\necho it ran\n"}
        self.programs = frozenset({"run"})
        await self.refused(files, BuildError)
        self.assertIn("it ran", "\n".join(self.said))

    @deferred
    async def test_manager(self) -> None:
        """The manager's system extends the manager's configuration."""
        files = self.builder.template("hm1nd")
        built = await self.builder.build(
            "hm1nd", "manager", SourceTree(files), self.hear
        )
        assert built.system is not None
        self.assertTrue(built.system.name.endswith("nixos-system-hm1nd"))

    @deferred
    async def test_kept_until_released(self) -> None:
        """Nix collects a system no sooner than it is released, nor the next one."""
        first = (await self.build(module('{ hyperhive.model = "one"; }'))).system
        other = (await self.build(self.files(), name="carol")).system
        assert first is not None
        assert other is not None
        self.nix.must("nix-store", "--gc")
        self.assertTrue(first.exists() and other.exists())
        second = (await self.build(module('{ hyperhive.model = "two"; }'))).system
        assert second is not None
        self.nix.must("nix-store", "--gc")
        self.assertEqual(
            [first.exists(), second.exists(), other.exists()], [False, True, True]
        )
        await self.builder.release("bob")
        await self.builder.release("bob")
        self.nix.must("nix-store", "--gc")
        self.assertEqual([second.exists(), other.exists()], [False, True])

    @deferred
    async def test_profile(self) -> None:
        """A released system stays as long as it is in a profile, and can be gone back to."""
        profile = self.nix.folder / "profile"
        built = []
        for model in ("one", "two"):
            one = await self.build(module(f'{{ hyperhive.model = "{model}"; }}'))
            self.nix.must("nix-env", "-p", str(profile), "--set", str(one.system))
            built.append(one.system)
        await self.builder.release("bob")
        self.nix.must("nix-store", "--gc")
        self.assertEqual(profile.resolve(), built[1])
        self.nix.must("nix-env", "-p", str(profile), "--rollback")
        self.assertEqual(profile.resolve(), built[0])

    @deferred
    async def test_failed_build_keeps_the_last(self) -> None:
        """What was built before stays when a later build fails."""
        first = (await self.build(self.files())).system
        await self.refused(module("{ hyperhive.modle = 1; }"), EvalError)
        self.nix.must("nix-store", "--gc")
        assert first is not None
        self.assertTrue(first.exists())

    @deferred
    async def test_left_over_work(self) -> None:
        """What a daemon left that died while it built is removed by the next build."""
        left = self.folder / "work" / "bob-1" / "agent"
        left.mkdir(parents=True)
        await self.build(self.files())
        self.assertFalse(left.exists())

    def files(self) -> dict[str, bytes]:
        return dict(self.builder.template("bob"))


class LogTests(NixTestCase):
    """What a build says while it runs."""

    @deferred
    async def test_lines(self) -> None:
        """A builder's lines come one by one; long ones and terminal codes do not."""
        await self.refused(
            scripted(
                "echo one; printf '\\\\033[31mtwo\\\\033[0m\\\\n';"
                " head -c 3000 /dev/zero | tr '\\\\0' x; echo; echo three; exit 1"
            ),
            BuildError,
        )
        lines = [line for line in self.said if line.startswith(("scripted>", "("))]
        self.assertEqual(
            lines,
            [
                "scripted> one",
                "scripted> two",
                "(a line of more than 2000 bytes)",
                "scripted> three",
            ],
        )

    @deferred
    async def test_many_lines(self) -> None:
        """A build that says too much goes on in silence."""
        self.patch(nix_build, "MAX_LINES", 10)
        await self.refused(scripted("seq 1000; exit 1"), BuildError)
        self.assertEqual(len(self.said), 10)
        self.assertEqual(self.said[-1], "(more than 10 lines: the rest is not shown)")


class RefusedTests(NixTestCase):
    """How wrong configurations fail."""

    @deferred
    async def test_unknown_option(self) -> None:
        """A misspelt option is named, with its file."""
        error = await self.refused(module('{ hyperhive.modle = "x"; }'), EvalError)
        assert isinstance(error, EvalError)
        self.assertIn("The option `hyperhive.modle' does not exist", str(error))
        self.assertIn("In `agent.nix'", str(error))
        self.assertEqual((error.file, error.line), ("agent.nix", None))

    @deferred
    async def test_wrong_type(self) -> None:
        """A value of the wrong type is shown, with its option and its file."""
        error = await self.refused(
            {
                "agent.nix": b"{ imports = [ ./sub/limits.nix ]; }",
                "sub/limits.nix": b'{ hyperhive.limits.cpu = "many"; }',
            },
            EvalError,
        )
        assert isinstance(error, EvalError)
        self.assertIn("`hyperhive.limits.cpu' is not of type", str(error))
        self.assertEqual(error.file, "sub/limits.nix")

    @deferred
    async def test_syntax(self) -> None:
        """A syntax error has its line."""
        error = await self.refused(module("{\n  hyperhive = ;\n}\n"), EvalError)
        assert isinstance(error, EvalError)
        self.assertIn("syntax error", str(error))
        self.assertEqual((error.file, error.line), ("agent.nix", 2))

    @deferred
    async def test_missing_package(self) -> None:
        """A package that does not exist is named, with its line."""
        error = await self.refused(
            module(
                "{ pkgs, ... }:\n{\n  environment.systemPackages = [\n"
                "    pkgs.no-such-thing\n  ];\n}\n"
            ),
            EvalError,
        )
        assert isinstance(error, EvalError)
        self.assertIn("attribute 'no-such-thing' missing", str(error))
        self.assertEqual((error.file, error.line), ("agent.nix", 4))

    @deferred
    async def test_assertion(self) -> None:
        """A failed assertion says its message."""
        error = await self.refused(
            module('{ assertions = [ { assertion = false; message = "no no"; } ]; }'),
            EvalError,
        )
        self.assertIn("Failed assertions:\n- no no", str(error))

    @deferred
    async def test_no_entry(self) -> None:
        """Without the entry file nothing is started."""
        error = await self.refused({"other.nix": b"{ }"}, EvalError)
        self.assertEqual(str(error), "There is no file agent.nix.")

    @deferred
    async def test_missing_import(self) -> None:
        """A file that is not in the repo."""
        await self.refused(module("{ imports = [ ./no.nix ]; }"), EvalError)

    @deferred
    async def test_host_files(self) -> None:
        """The host's files can't be read, by whatever path."""
        for secret in ("/etc/hostname", "./../../../../../../etc/hostname"):
            await self.refused(
                module(f"{{ hyperhive.model = builtins.readFile {secret}; }}"),
                EvalError,
            )

    @deferred
    async def test_configuration_outside(self) -> None:
        """A built system can't make the daemon read a file that is not in the store."""
        secret = self.nix.folder / "secret"
        secret.write_text('{"model": "secret"}')
        error = await self.refused(
            scripted(
                f"mkdir -p $out/etc/hyperhive; ln -s {secret} $out/etc/hyperhive/agent.json"
            ),
            EvalError,
        )
        self.assertIn("leads out of the store", str(error))

    @deferred
    async def test_configuration_of_no_kind(self) -> None:
        """A configuration that is missing, a folder, or far too large is refused."""
        for script, reason in (
            ("mkdir $out", "has no /etc/hyperhive/agent.json"),
            ("mkdir -p $out/etc/hyperhive/agent.json", "is not a file"),
            (
                "mkdir -p $out/etc/hyperhive;"
                " truncate -s 2M $out/etc/hyperhive/agent.json",
                "is larger than",
            ),
        ):
            error = await self.refused(scripted(script), EvalError)
            self.assertIn(reason, str(error))

    @deferred
    async def test_builder_fails(self) -> None:
        """A package that does not build says the end of its log."""
        error = await self.refused(
            scripted("echo error: the cause; exit 3"), BuildError
        )
        self.assertIn("failed with exit code 3", str(error))
        self.assertIn("the cause", str(error))

    @deferred
    async def test_dependency_fails(self) -> None:
        """What failed is shown, not what needed it."""
        broken = SCRIPTED % {
            "platform": host_platform(),
            "script": "echo the cause; exit 3",
        }
        broken = broken.replace("system.build.toplevel = lib.mkForce (", "x = (")
        text = f"""
        args@{{ lib, ... }}:
        {{
          environment.systemPackages = [ (({broken}) args).x ];
        }}
        """
        error = await self.refused(module(text), BuildError)
        self.assertIn("the cause", str(error))

    @deferred
    async def test_fetch(self) -> None:
        """A hive's flake that can't be downloaded may come later."""
        self.builder = self.make(hive="https://127.0.0.1:9/hive.tar.gz", arguments=())
        error = await self.refused(module("{ }"), FetchError)
        self.assertIn("unable to download", str(error))

    @deferred
    async def test_paths_that_lead_out(self) -> None:
        """No file is written outside of the build's folder."""
        for path in ("../out", "a/../../out", "/out", "a//b", "a\0"):
            build = self.build({"agent.nix": b"{ }", path: b""})
            await self.assertFailure(build, UnfitCommit)
        self.assertEqual(list(self.folder.rglob("out")), [])

    @deferred
    async def test_odd_folder(self) -> None:
        """A folder that nix can't be told of is refused, not misunderstood."""
        self.folder = self.nix.folder / "a builder's #1"
        self.builder = self.make()
        error = await self.refused(module("{ }"), BuildFailed)
        self.assertIn("choose a state folder", str(error))

    @deferred
    async def test_no_nix(self) -> None:
        """Where there is no nix, the error says what to install."""
        self.builder = self.make(path="/nonexistent")
        error = await self.refused(module("{ }"), BuilderMissing)
        self.assertIn("apt install nix-bin", str(error))


class EndedTests(NixTestCase):
    """Builds that are ended from outside."""

    def setUp(self) -> None:
        super().setUp()
        self.mark = f"5{secrets.randbelow(10**8)}.5"

    async def cancelled(self, build: "Deferred[Built]") -> None:
        """See that it fires as cancelled."""
        try:
            await build
        except CancelledError:
            return
        raise AssertionError("it was not cancelled")

    @deferred
    async def test_cancel(self) -> None:
        """A cancel ends nix and its builders, and only then fires."""
        ready = self.until("ready")
        build = self.build(scripted(f"echo ready; sleep {self.mark}"))
        await ready
        self.assertNotEqual(running(self.mark), [])
        build.cancel()
        await self.cancelled(build)
        self.assertEqual(running(self.mark), [])
        # And the same can be built afterwards.
        await self.build(dict(self.builder.template("bob")))

    @deferred
    async def test_cancel_at_once(self) -> None:
        """A cancel before nix was started leaves nothing either."""
        build = self.build(scripted(f"echo ready; sleep {self.mark}"))
        build.cancel()
        await self.cancelled(build)
        self.assertEqual(self.said, [])

    def stand_in(self, limit: float = nix_build.LIMIT) -> NixBuilder:
        """A builder whose nix has a child, and heeds nothing but KILL."""
        folder = self.nix.folder / "bin"
        folder.mkdir()
        program = folder / "nix"
        program.write_text(
            "#!/bin/sh\ntrap '' TERM INT HUP\n"
            f"sleep {self.mark} &\necho ready >&2\n"
            f"while :; do sleep {self.mark}; done\n"
        )
        program.chmod(0o755)
        return self.make(path=f"{folder}:{os.environ['PATH']}", limit=limit)

    @deferred
    async def test_deaf(self) -> None:
        """What does not heed TERM is killed, with all of its group."""
        self.patch(nix_build, "GRACE", 0.05)
        self.builder = self.stand_in()
        ready = self.until("ready")
        build = self.build(module("{ }"))
        await ready
        build.cancel()
        build.cancel()
        await self.cancelled(build)
        self.assertEqual(running(self.mark), [])

    @deferred
    async def test_time_limit(self) -> None:
        """A build that takes too long is ended, and says so."""
        self.patch(nix_build, "GRACE", 0.05)
        self.builder = self.stand_in(limit=0.3)
        error = await self.refused(module("{ }"), BuildTimedOut)
        self.assertIn("longer than 0.3 s", str(error))
        self.assertEqual(running(self.mark), [])
