"""What we ship for NixOS: it parses, and it evaluates upon a stub of nixpkgs."""

import json
import re
from configparser import ConfigParser
from importlib import metadata
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from hyperhive import __version__
from hyperhive.settings import load_settings
from tests.nixos.support import ROOT, Nix, missing, shipped

#: The flake of a host, as its operator would write it.
HOST = """
{
  inputs.hyperhive.url = "path:%(hive)s";
  outputs = { hyperhive, ... }: {
    nixosConfigurations.host = hyperhive.inputs.nixpkgs.lib.nixosSystem {
      modules = [
        hyperhive.nixosModules.default
        {
          nixpkgs.hostPlatform = "x86_64-linux";
          system.stateVersion = "25.11";
          services.hive-c0re = %(options)s;
        }
      ];
    };
  };
}
"""
#: What of it is looked at.
COMES_TO = """
{ config, ... }:
let
  service = config.systemd.services.hive-c0re or { };
in
{
  inherit (config.boot) enableContainers;
  inherit (config.systemd.tmpfiles) rules;
  inherit (config.services.hive-c0re) settings;
  start = service.serviceConfig.ExecStart or null;
  file = service.serviceConfig.EnvironmentFile or null;
  runtime = service.serviceConfig.RuntimeDirectoryPreserve or null;
  path = map (one: one.pname) (service.path or [ ]);
  toplevel = config.system.build.toplevel.drvPath;
}
"""


def required() -> list[str]:
    """The names of what we depend on, as setup.cfg has them; of extras, what they add."""
    parser = ConfigParser()
    parser.read(ROOT / "setup.cfg")
    names: set[str] = set()
    for line in parser["options"]["install_requires"].split():
        name, _, extra = re.split("[<>]", line)[0].rstrip("]").partition("[")
        names.add(name)
        names.update(added(name, extra) if extra else ())
    return sorted(names)


def added(name: str, extra: str) -> set[str]:
    """What an extra of a package depends on."""
    marker = re.compile(f"extra == ['\"]{extra}['\"]")
    wanted = [one for one in metadata.requires(name) or () if marker.search(one)]
    return {re.split("[^a-z-]", one.lower())[0] for one in wanted}


class ParseTests(SynchronousTestCase):
    """Syntax."""

    skip = missing()

    def test_all(self) -> None:
        """Every .nix file is Nix."""
        nix = Nix()
        self.addCleanup(nix.remove)
        files = [str(file) for file in shipped()]
        self.assertIn("host.nix", {file.name for file in shipped()})
        nix.must("nix-instantiate", "--parse", *files)


class FlakeTests(SynchronousTestCase):
    """What the flake gives."""

    skip = missing()

    def setUp(self) -> None:
        self.nix = Nix()
        self.addCleanup(self.nix.remove)
        self.hive = self.nix.hive()

    def attribute(self, path: str, apply: str = "x: x") -> Any:
        return self.nix.attribute(self.hive, path, apply)

    def test_package(self) -> None:
        """It has our version, and each dependency of ours exists."""
        for platform in ("x86_64-linux", "aarch64-linux"):
            given = self.attribute(
                f"packages.{platform}.default",
                "p: { inherit (p.given) version; deps = map (d: d.pname) p.given.dependencies; }",
            )
            self.assertEqual(given["version"], __version__)
            self.assertEqual(given["deps"], required())

    def test_shell(self) -> None:
        """There is a shell to develop in."""
        self.assertTrue(
            self.attribute("devShells.x86_64-linux.default", "s: s ? drvPath")
        )

    def test_containers(self) -> None:
        """An agent's container is one of nspawn's, knows its own name and has what a turn
        needs; the manager's is the same under its name."""
        for base, name in (("agent-base", "agent"), ("manager", "hm1nd")):
            config = self.attribute(
                f"nixosConfigurations.{base}.config",
                """
                c: {
                  inherit (c.networking) hostName;
                  inherit (c.boot) isNspawnContainer isContainer;
                  packages = map (p: p.pname) c.environment.systemPackages;
                  git = c.programs.git.config.user.name;
                  unfree = map (pname: c.nixpkgs.config.allowUnfreePredicate { inherit pname; })
                    [ "claude-code" "steam" ];
                  json = c.environment.etc."hyperhive/agent.json".text;
                  toplevel = c.system.build.toplevel.drvPath;
                }
                """,
            )
            self.assertEqual(config["hostName"], name)
            self.assertEqual(config["git"], name)
            self.assertEqual(config["unfree"], [True, False])
            self.assertEqual(
                (config["isNspawnContainer"], config["isContainer"]), (True, False)
            )
            self.assertLessEqual({"claude-code", "socat"}, set(config["packages"]))
            self.assertEqual(
                set(json.loads(config["json"])),
                {"environment", "limits", "mcp_servers", "tools"},
            )

    def test_older_nixos(self) -> None:
        """Where NixOS does not tell nspawn's containers from others, it is a container."""
        stub = self.nix.stub / "nixos.nix"
        lines = stub.read_text().splitlines()
        stub.write_text("\n".join(one for one in lines if "isNspawn" not in one))
        self.assertTrue(
            self.attribute("nixosConfigurations.agent-base.config.boot.isContainer")
        )

    def host(self, options: str) -> Any:
        """What a host with these options comes to."""
        folder = self.nix.folder / "host"
        folder.mkdir()
        flake = HOST % {"hive": self.hive, "options": options}
        (folder / "flake.nix").write_text(flake)
        return self.nix.attribute(
            folder, "nixosConfigurations.host", COMES_TO, "hyperhive/nixpkgs"
        )

    def test_host(self) -> None:
        """The service runs with settings that the daemon takes, and containers are on."""
        host = self.host(
            """{
              enable = true;
              stateDir = "/srv/hive";
              managerPort = 8001;
              agentPorts = "0";
              settings = { model = "sonnet"; max-turns = 3; };
              environmentFile = "/etc/hive.env";
            }"""
        )
        self.assertTrue(host["enableContainers"])
        self.assertEqual(host["rules"], ["d '/srv/hive' 0700 root root - -"])
        self.assertRegex(
            host["start"], r"/bin/hive-c0re serve --config /\S+-hive\.toml$"
        )
        self.assertEqual((host["file"], host["runtime"]), ("/etc/hive.env", True))
        self.assertLessEqual(
            {"gitMinimal", "nix", "nixos-container", "systemd", "util-linux"},
            set(host["path"]),
        )
        file = self.nix.folder / "hive.toml"
        file.write_text(
            "".join(
                f"{key} = {json.dumps(one)}\n" for key, one in host["settings"].items()
            )
        )
        settings = load_settings({}, file)
        self.assertEqual(str(settings.state_dir), "/srv/hive")
        self.assertEqual(str(settings.run_dir), "/run/hyperhive")
        self.assertEqual((settings.manager_port, settings.agent_ports), (8001, None))
        self.assertEqual((settings.model, settings.max_turns), ("sonnet", 3))

    def test_host_by_default(self) -> None:
        """Imported and not enabled, the module changes nothing."""
        host = self.host("{ }")
        self.assertFalse(host["enableContainers"])
        self.assertEqual((host["start"], host["rules"]), (None, []))
