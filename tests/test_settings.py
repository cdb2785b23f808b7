"""Settings from flags, a file and defaults, and what is said of wrong ones."""

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.settings import (
    Layout,
    PortRange,
    Settings,
    SettingsError,
    check_model,
    flag_fields,
    load_settings,
    spelled,
)


class LoadTests(SynchronousTestCase):
    """Where a value comes from."""

    def file(self, text: str) -> Path:
        """A ``hive.toml``."""
        path = Path(self.mktemp())
        path.write_text(text)
        return path

    def test_defaults(self) -> None:
        """Nothing needs to be set."""
        settings = load_settings({})
        self.assertEqual(settings.dashboard, "tcp:7000:interface=127.0.0.1")
        self.assertEqual(settings.agent_ports, PortRange(8100, 8999))
        self.assertEqual(settings.model, "haiku")
        self.assertGreaterEqual(settings.max_turns, 1)

    def test_file(self) -> None:
        """The file's keys are the flags without their dashes."""
        settings = load_settings(
            {},
            self.file(
                'model = "opus"\nmax-turns = 3\ndemo = true\nagent-ports = 0\n'
                'recv-wait = 20\n[claude.env]\nHTTPS_PROXY = "http://p:1"\n'
            ),
        )
        self.assertEqual(
            (settings.model, settings.max_turns, settings.demo, settings.agent_ports),
            ("opus", 3, True, None),
        )
        self.assertEqual(settings.recv_wait, 20.0)
        self.assertEqual(settings.claude_env, {"HTTPS_PROXY": "http://p:1"})

    def test_approvals_expire_only_if_asked_for(self) -> None:
        """How long an approval waits: for ever, or as many seconds as are set."""
        self.assertIsNone(load_settings({}).approval_ttl)
        file = self.file("approval-ttl = 3600\n")
        self.assertEqual(load_settings({}, file).approval_ttl, 3600.0)
        self.assertEqual(load_settings({"approval_ttl": "60"}, file).approval_ttl, 60.0)
        with self.assertRaises(SettingsError):
            load_settings({"approval_ttl": "0"})

    def test_claude_path_and_environment(self) -> None:
        """The executable can be named beside its environment, or alone."""
        for text in ('[claude]\npath = "/x/claude"\n', 'claude = "/x/claude"\n'):
            self.assertEqual(
                load_settings({}, self.file(text)).claude, "/x/claude", text
            )

    def test_flag_wins(self) -> None:
        """A flag wins over the file."""
        file = self.file('model = "opus"\nmax-turns = 3\n')
        settings = load_settings({"model": "sonnet"}, file)
        self.assertEqual((settings.model, settings.max_turns), ("sonnet", 3))

    def test_secrets_are_not_shown(self) -> None:
        """A settings value can be logged."""
        file = self.file('[claude.env]\nANTHROPIC_API_KEY = "sk-secret"\n')
        self.assertNotIn("sk-secret", repr(load_settings({}, file)))

    def wrong(self, flags: dict[str, Any], text: str | None = None) -> str:
        """The one line that is said."""
        file = None if text is None else self.file(text)
        with self.assertRaises(SettingsError) as raised:
            load_settings(flags, file)
        sentence = str(raised.exception)
        self.assertNotIn("\n", sentence)
        return sentence

    def test_wrong_flags(self) -> None:
        """Each names the flag and what is allowed."""
        for name, value, allowed in (
            ("manager_port", "70000", "0 to 65535"),
            ("manager_port", "http", "whole number"),
            ("agent_ports", "9000-8000", "range of ports"),
            ("agent_ports", "1-70000", "range of ports"),
            ("containers", "docker", "auto, nixos, bubblewrap, process"),
            ("max_turns", "0", "1 to 1000"),
            ("model", "--evil", "model name"),
            ("agent_interface", "localhost", "IP address"),
            ("recv_wait", "-1", "number of seconds"),
            ("recv_wait", "nan", "number of seconds"),
            ("dashboard", " ", "text"),
        ):
            sentence = self.wrong({name: value})
            self.assertIn(f"--{spelled(name)}:", sentence)
            self.assertIn(allowed, sentence)

    def test_wrong_file(self) -> None:
        """Each names the file, the key and what is allowed."""
        for text, key, allowed in (
            ("modle = 'x'", "'modle'", "model"),
            ("max-turns = true", "max-turns", "whole number"),
            ("demo = 'yes'", "demo", "true or false"),
            ("[claude]\nevn = 1", "claude.evn", "path and env"),
            ("[claude.env]\nA = 1", "claude.env.A", "text"),
            ("[claude.env]\n'A B' = 'x'", "claude.env.A B", "name of an environment"),
            ("claude = {env = 1}", "claude.env", "table"),
            ("not toml", "TOML", "line 1"),
        ):
            sentence = self.wrong({}, text)
            self.assertIn(key, sentence)
            self.assertIn(allowed, sentence)

    def test_missing_file(self) -> None:
        """A file that was named must be there."""
        with self.assertRaises(SettingsError) as raised:
            load_settings({}, Path("/no/such/hive.toml"))
        self.assertIn("/no/such/hive.toml", str(raised.exception))

    def test_every_flag_is_explained(self) -> None:
        """Each has a help text, and a name for its value unless it has none."""
        for one in flag_fields():
            self.assertTrue(one.metadata["help"], one.name)
            self.assertEqual(one.metadata["meta"] is None, one.name == "demo")


class ModelTests(SynchronousTestCase):
    """What can be a model's name."""

    def test_names(self) -> None:
        """Aliases, full names, and gateways' forms."""
        for name in ("haiku", "claude-opus-5-5", "opus[1m]", "us.anthropic/x:1@v"):
            self.assertEqual(check_model(name), name)

    def test_not_names(self) -> None:
        """Nothing that could be a flag, or more than one word."""
        for name in ("", "-p", "a b", "x" * 101, "a\nb", None, 3):
            self.assertRaises(ValueError, check_model, name)


class LayoutTests(SynchronousTestCase):
    """Where things are."""

    def test_manager_and_agents(self) -> None:
        """The manager's socket has a folder of its own."""
        layout = Layout(Path("/s"), Path("/r"))
        self.assertEqual(str(layout.mcp_socket("hm1nd")), "/r/manager/mcp.sock")
        self.assertEqual(str(layout.mcp_socket("bob")), "/r/agents/bob/mcp.sock")
        self.assertEqual(str(layout.claude("bob")), "/s/agents/bob/claude")

    def test_settings_have_one(self) -> None:
        """It follows the two folders that can be set."""
        settings = Settings(state_dir=Path("/s"), run_dir=Path("/r"))
        self.assertEqual(str(settings.layout.host_socket), "/r/host.sock")
