"""Finding what is run as claude."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents import executable
from hyperhive.agents.executable import Executable, NoClaude, environment, resolve
from hyperhive.containers.interfaces import Bind
from hyperhive.settings import Settings


class ClaudeTests(SynchronousTestCase):
    """A real claude."""

    def setUp(self) -> None:
        """A folder of its own for each test, by its real path."""
        self.root = Path(self.mktemp()).resolve()
        self.root.mkdir(parents=True)

    def program(self, name: str, content: bytes = b"\x7fELF") -> Path:
        """An executable file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o755)
        return path

    def test_by_path_through_links(self) -> None:
        """A path is followed to the file itself, and only that file is shown to containers."""
        real = self.program("versions/2.1.330")
        (self.root / "versions" / "package.json").write_text("{}")
        link = self.root / "claude"
        link.symlink_to(real)
        self.assertEqual(
            resolve(Settings(claude=str(link))),
            Executable(
                (real,),
                (Bind(real, "/opt/hyperhive/bin/claude"),),
                demo=False,
                version_source=real,
            ),
        )

    def test_by_name(self) -> None:
        """A name is looked up on the daemon's PATH."""
        real = self.program("bin/some-claude")
        self.patch(os, "environ", {"PATH": str(real.parent)})
        self.assertEqual(resolve(Settings(claude="some-claude")).argv, (real,))

    def test_in_its_own_system(self) -> None:
        """A container that is a system of its own runs the claude that was built for it."""
        found = resolve(Settings(), own_system=True)
        self.assertEqual(found.command(str), ("/run/current-system/sw/bin/claude",))
        self.assertEqual((found.binds, found.version_source), ((), None))

    def test_in_the_store(self) -> None:
        """Of the host's programs it sees those in the store; another is refused."""
        path = "/nix/store/abc-claude/bin/claude"
        found = resolve(Settings(claude=path), own_system=True)
        self.assertEqual((found.command(str), found.binds), ((path,), ()))
        with self.assertRaises(NoClaude) as caught:
            resolve(Settings(claude="/opt/claude"), own_system=True)
        self.assertIn("leave out --claude", str(caught.exception))

    def test_not_there(self) -> None:
        """The error names what was looked for and the ways out."""
        with self.assertRaises(NoClaude) as caught:
            resolve(Settings(claude="no-such-claude"))
        for words in ("no-such-claude", "install", "--claude", "--demo"):
            self.assertIn(words, str(caught.exception))

    def test_not_executable(self) -> None:
        """A file without the right to execute it is none, and a folder neither."""
        plain = self.program("claude")
        plain.chmod(0o644)
        for path in (plain, self.root):
            with self.assertRaises(NoClaude):
                resolve(Settings(claude=str(path)))

    def test_a_script_of_a_package(self) -> None:
        """A script sees its package, which it reads."""
        script = self.program("package/bin/claude", b"#!/usr/bin/env node\n")
        (self.root / "package" / "package.json").write_text("{}")
        found = resolve(Settings(claude=str(script)))
        self.assertEqual(
            found.binds, (Bind(self.root / "package", "/opt/hyperhive/claude"),)
        )
        self.assertEqual(found.argv, (script,))

    def test_a_script_in_somebodys_home(self) -> None:
        """Its folder may hold anything: only the script itself is shown."""
        script = self.program("home/claude", b"#!/bin/sh\n")
        found = resolve(Settings(claude=str(script)))
        self.assertEqual(found.binds, (Bind(script, "/opt/hyperhive/bin/claude"),))

    def test_under_usr(self) -> None:
        """What every container sees anyway needs no bind."""
        found = resolve(Settings(claude="/usr/bin/env"))
        self.assertEqual(found.binds, ())
        self.assertEqual(found.argv, (Path("/usr/bin/env").resolve(),))

    def test_called_inside(self) -> None:
        """Paths are called as the container has them, other arguments stay."""
        found = Executable((Path("/a/python"), "-I", Path("/a/x.py")), (), True, Path())
        self.assertEqual(
            found.command(lambda path: f"/inside{path}"),
            ("/inside/a/python", "-I", "/inside/a/x.py"),
        )


class DemoTests(SynchronousTestCase):
    """The scripted agent."""

    def test_python_outside_usr(self) -> None:
        """A python of its own is shown as a whole; one with a shared library is told where that is now."""
        prefix = Path(self.mktemp()).resolve()
        python = prefix / "bin" / f"python3.{sys.version_info.minor}"
        python.parent.mkdir(parents=True)
        python.write_bytes(b"")
        python.chmod(0o755)
        self.patch(sys, "base_prefix", str(prefix))
        self.patch(sysconfig, "get_config_var", {"Py_ENABLE_SHARED": 0}.get)
        found = resolve(Settings(demo=True))
        script = found.version_source
        self.assertTrue(found.demo)
        self.assertEqual(script.parts[-3:], ("hyperhive", "demo", "agent.py"))
        self.assertEqual(found.argv, (python, "-I", "-S", script))
        self.assertEqual(
            found.binds,
            (
                Bind(script, "/opt/hyperhive/demo_agent.py"),
                Bind(prefix, "/opt/hyperhive/python"),
            ),
        )

        self.patch(sysconfig, "get_config_var", {"Py_ENABLE_SHARED": 1}.get)
        inside = {prefix / "lib": "/opt/lib", python: "/opt/python", script: "/x.py"}
        self.assertEqual(
            resolve(Settings(demo=True)).command(inside.__getitem__),
            (
                *("/bin/sh", "-c", 'LD_LIBRARY_PATH=$0 exec "$@"', "/opt/lib"),
                *("/opt/python", "-I", "-S", "/x.py"),
            ),
        )

    def test_the_systems_python(self) -> None:
        """It needs no bind; only the script does."""
        self.patch(sys, "base_prefix", "/usr")
        self.patch(executable.os, "access", lambda path, mode: True)
        found = resolve(Settings(demo=True))
        self.assertEqual(
            [bind.destination for bind in found.binds], ["/opt/hyperhive/demo_agent.py"]
        )

    def test_no_python(self) -> None:
        """A python that is not where it says is named."""
        self.patch(sys, "base_prefix", "/nowhere")
        with self.assertRaises(NoClaude) as caught:
            resolve(Settings(demo=True))
        self.assertIn("/nowhere/bin/python3", str(caught.exception))

    def test_it_is_found_and_runs(self) -> None:
        """The python that is named here exists and runs a script without anything else."""
        argv = resolve(Settings(demo=True)).command(str)
        done = subprocess.run(
            [*argv[:-1], "-c", "import json, socket"], env={}, check=False
        )
        self.assertEqual(done.returncode, 0)


class EnvironmentTests(SynchronousTestCase):
    """What claude gets of the daemon's environment."""

    def test_only_what_is_listed(self) -> None:
        """Keys and proxies, in both cases; nothing else, and nothing empty."""
        environ = {
            "ANTHROPIC_API_KEY": "k",
            "ANTHROPIC_AUTH_TOKEN": "",
            "HTTPS_PROXY": "http://proxy",
            "no_proxy": "localhost",
            "HOME": "/root",
            "AWS_SECRET_ACCESS_KEY": "s",
        }
        self.assertEqual(
            environment(Settings(), environ),
            {
                "ANTHROPIC_API_KEY": "k",
                "HTTPS_PROXY": "http://proxy",
                "no_proxy": "localhost",
            },
        )

    def test_the_settings_win(self) -> None:
        """What hive.toml sets is taken over what the daemon inherited, and need not be listed."""
        settings = Settings(claude_env={"ANTHROPIC_API_KEY": "mine", "X": "1"})
        self.assertEqual(
            environment(settings, {"ANTHROPIC_API_KEY": "k"}),
            {"ANTHROPIC_API_KEY": "mine", "X": "1"},
        )
