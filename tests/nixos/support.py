"""A nix of a test's own: store, state and settings in one folder, and no network."""

import json
import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
#: In nixpkgs' place.
STUB = Path(__file__).parent / "stub"
#: What is claude there.
CLAUDE = ROOT / "hyperhive" / "demo" / "agent.py"
#: What the hive's flake is made of, as far as Nix reads it.
FLAKE = ("flake.nix", "nixos", "hyperhive/__init__.py")

_SETTINGS = """\
experimental-features = nix-command flakes
build-users-group =
sandbox = false
substitute = false
flake-registry =
download-attempts = 1
connect-timeout = 5
"""


def missing() -> str | None:
    """Why there can't be such a nix, if there can't: for a test's ``skip``."""
    if shutil.which("nix") is None or shutil.which("nix-instantiate") is None:
        return "there is no nix on PATH (Debian: nix-bin)"
    return None


def shipped() -> list[Path]:
    """Every .nix file of the project."""
    return [
        ROOT / "flake.nix",
        *sorted((ROOT / "nixos").rglob("*.nix")),
        *sorted(STUB.rglob("*.nix")),
    ]


class Nix:
    """Nix as a test uses it, nothing of which is outside of its folder.

    :ivar folder: not below the project, whose path may have what nix can't take.
    :ivar stub: a copy of what is in nixpkgs' place.
    :ivar environment: what makes any nix use it.
    """

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="hive-nix-"))
        settings = folder / "conf"
        settings.mkdir()
        (settings / "nix.conf").write_text(_SETTINGS)
        self.folder = folder
        self.stub = folder / "stub"
        shutil.copytree(STUB, self.stub)
        shutil.copy(CLAUDE, self.stub / "claude.py")
        self.environment = {
            "HOME": str(folder),
            "NIX_CONF_DIR": str(settings),
            "NIX_LOG_DIR": str(folder / "log"),
            "NIX_STATE_DIR": str(folder / "var"),
            "NIX_STORE_DIR": str(folder / "store"),
            "PATH": os.environ["PATH"],
            "USER": "tester",
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def hive(self) -> Path:
        """A copy of the hive's own flake, so that nix does not copy the whole project."""
        copy = self.folder / "hive"
        for name in FLAKE:
            source, target = ROOT / name, copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy(source, target)
        return copy

    def run(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        """Run a program with it, to its end."""
        return subprocess.run(
            argv,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def must(self, *argv: str) -> str:
        """What a program that has to succeed prints."""
        done = self.run(*argv)
        if done.returncode:
            raise AssertionError(f"{argv}: {done.stderr}")
        return done.stdout

    def values(self, expressions: list[str]) -> Any:
        """What Nix takes expressions for."""
        file = self.folder / "values.nix"
        file.write_text("[\n" + "\n".join(f"({one})" for one in expressions) + "\n]\n")
        return json.loads(
            self.must("nix-instantiate", "--eval", "--strict", "--json", str(file))
        )

    def attribute(
        self, flake: Path, path: str, apply: str = "x: x", nixpkgs: str = "nixpkgs"
    ) -> Any:
        """What a flake has at ``path``, with the stub in nixpkgs' place.

        :param nixpkgs: the input that is nixpkgs.
        """
        return json.loads(
            self.must(
                *("nix", "eval", "--json", "--no-write-lock-file"),
                *("--override-input", nixpkgs, f"path:{self.stub}"),
                *(f"path:{flake}#{path}", "--apply", apply),
            )
        )

    def remove(self) -> None:
        """Remove it all; what is in a store can't be written."""
        for folder, _, _ in os.walk(self.folder):
            os.chmod(folder, stat.S_IRWXU)
        shutil.rmtree(self.folder)
