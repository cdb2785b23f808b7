"""How claude is called, and the files that it is given."""

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from hyperhive.agents.claude import (
    COMPACT,
    SETTINGS,
    Capabilities,
    FilesInTheWay,
    NotClaude,
    TurnFiles,
    auth_present,
    turn_command,
    write_turn_files,
)
from hyperhive.agents.config import AgentConfig, McpServer, Tools
from hyperhive.agents.executable import Executable
from hyperhive.containers.interfaces import Command
from hyperhive.settings import Layout

#: The form of claude's help: options at two spaces, their text further in.
HELP = """Usage: claude [options] [command] [prompt]

Options:
  --add-dir <directories...>            Words
  --allowedTools, --allowed-tools <tools...>
      More words, that name --no-option and
  -c, --continue                        Words
                                        --neither, which is only a word
  --mcp-config <configs...>             Words
  --output-format <format>              Words
  -p, --print                           Words
  --setting-sources <sources>           Words
"""
#: What the newer versions have.
NEWER = """  --permission-prompts <mode>           Words
  --restricted                          Words
  --system-prompt-snapshot <on|off>     Words
"""

LAYOUT = Layout(Path("/var/hive"), Path("/run/hive"))
FILES = TurnFiles(Path("/run/hive/s"), Path("/run/hive/m"), Path("/run/hive/p"))


def command(
    help: str = HELP,
    *,
    role: str = "agent",
    prompt: str = "Message 1",
    fresh: bool = False,
    environment: Mapping[str, str] | None = None,
    config: AgentConfig = AgentConfig(),  # noqa: B008  # it is frozen
) -> Command:
    """The command of a turn of bob, where every path has ``/in`` before it."""
    return turn_command(
        Executable((Path("/claude"),), (), demo=False, version_source=Path("/claude")),
        Capabilities.from_help(help),
        layout=LAYOUT,
        name="bob",
        role=role,
        model="haiku",
        prompt=prompt,
        fresh=fresh,
        files=FILES,
        environment=environment or {},
        temporary="/tmp",
        inside=lambda path: f"/in{path}",
        config=config,
    )


def value(argv: tuple[str, ...], flag: str) -> str:
    """What follows a flag."""
    return argv[argv.index(flag) + 1]


class CapabilitiesTests(SynchronousTestCase):
    """Which flags a version has."""

    def test_flags_of_a_help(self) -> None:
        """Options with their other spellings; what the text mentions is no option."""
        self.assertEqual(
            Capabilities.from_help(HELP).flags,
            {
                "--add-dir",
                "--allowedTools",
                "--allowed-tools",
                "--continue",
                "--mcp-config",
                "--output-format",
                "--print",
                "--setting-sources",
            },
        )

    def test_something_else(self) -> None:
        """A program that lacks what nothing works without is refused, with what it lacks."""
        for help in ("", "Usage: ls [OPTION]...\n", HELP.replace("--mcp-", "--x-")):
            with self.assertRaises(NotClaude) as caught:
                Capabilities.from_help(help)
            self.assertIn("--mcp-config", str(caught.exception))


class TurnCommandTests(SynchronousTestCase):
    """The command of a turn."""

    def test_an_older_version(self) -> None:
        """The whole command line: only flags that it has or that every version takes."""
        self.assertEqual(
            command().argv,
            (
                *("/in/claude", "--print", "--continue"),
                *("--output-format", "stream-json", "--verbose"),
                *("--model", "haiku", "--settings", "/in/run/hive/s"),
                *("--system-prompt-file", "/in/run/hive/p", "--setting-sources", ""),
                *("--mcp-config", "/in/run/hive/m", "--strict-mcp-config"),
                *("--tools", "Bash,Read,Write,Edit,Glob,Grep"),
                "--allowedTools",
                "Read,Write,Edit,Glob,Grep,Bash,mcp__hyperhive__send,"
                "mcp__hyperhive__recv,mcp__hyperhive__set_status,"
                "mcp__hyperhive__whoami,mcp__hyperhive__ask_operator",
            ),
        )

    def test_a_newer_version(self) -> None:
        """What it has beyond that closes the ways round the hive."""
        argv = command(HELP + NEWER).argv
        self.assertEqual(value(argv, "--system-prompt-snapshot"), "off")
        self.assertEqual(value(argv, "--permission-prompts"), "none")
        self.assertIn("--restricted", argv)

    def test_the_managers_tools(self) -> None:
        """The manager may call its tools, an agent may not."""
        for role, may in (("manager", True), ("agent", False)):
            allowed = value(command(role=role).argv, "--allowedTools").split(",")
            self.assertEqual("mcp__hyperhive__kill" in allowed, may)

    def test_configured_tools(self) -> None:
        """Only the tools of its configuration, and of Bash only the patterns."""
        config = AgentConfig(
            tools=Tools(("Bash", "Read"), ("git *", "ls")),
            mcp_servers={"issues": McpServer("issue-server")},
        )
        argv = command(config=config).argv
        self.assertEqual(value(argv, "--tools"), "Bash,Read")
        self.assertEqual(
            value(argv, "--allowedTools").split(",")[:4],
            ["Read", "mcp__issues", "Bash(git *)", "Bash(ls)"],
        )
        none = command(config=AgentConfig(tools=Tools((), ("git *",)))).argv
        self.assertEqual(value(none, "--tools"), "")
        self.assertNotIn("Bash", value(none, "--allowedTools"))

    def test_configured_environment(self) -> None:
        """What it sets is there; what the hive and the operator set wins."""
        config = AgentConfig(environment={"EDITOR": "true", "DISABLE_TELEMETRY": "0"})
        given = command(config=config, environment={"EDITOR": "vi"}).environment
        self.assertEqual((given["EDITOR"], given["DISABLE_TELEMETRY"]), ("vi", "1"))

    def test_a_fresh_session(self) -> None:
        """It goes on with nothing."""
        self.assertNotIn("--continue", command(fresh=True).argv)

    def test_the_prompt_comes_by_stdin(self) -> None:
        """However long it is and whatever it begins with, no argument holds it."""
        long = "-- /x " * 100_000
        ours = command(prompt=long)
        self.assertEqual(ours.stdin, long.encode())
        self.assertLess(sum(map(len, ours.argv)), 2000)
        self.assertEqual(command(prompt=COMPACT).stdin, b"/compact")
        self.assertEqual(command(prompt="\ud83d").stdin, b"?")

    def test_where_things_are(self) -> None:
        """Home, session store, working directory and temporary files are the agent's own."""
        ours = command()
        self.assertEqual(ours.directory, "/in/var/hive/agents/bob/state")
        expected = {
            "HOME": "/in/var/hive/agents/bob/home",
            "CLAUDE_CONFIG_DIR": "/in/var/hive/agents/bob/claude",
            "TMPDIR": "/tmp",
            "CLAUDE_CODE_TMPDIR": "/tmp",
        }
        self.assertEqual(ours.environment, ours.environment | expected)

    def test_the_environment(self) -> None:
        """It sends nothing but API calls, reads no @paths, leaves nothing behind, and retries little."""
        ours = command().environment
        for name in (
            "DISABLE_TELEMETRY",
            "DISABLE_ERROR_REPORTING",
            "DISABLE_AUTOUPDATER",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
            "CLAUDE_CODE_DISABLE_FILE_MENTIONS",
            "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS",
        ):
            self.assertEqual(ours[name], "1")
        self.assertEqual(ours["CLAUDE_CODE_MAX_RETRIES"], "3")
        self.assertTrue({"PATH", "LANG"} <= set(ours))

    def test_what_the_operator_sets(self) -> None:
        """It wins over how claude is tuned, but an agent's session stays where it is."""
        ours = command(
            environment={
                "ANTHROPIC_API_KEY": "k",
                "CLAUDE_CODE_MAX_RETRIES": "0",
                "PATH": "/opt/bin",
                "HOME": "/root",
                "CLAUDE_CONFIG_DIR": "/root/.claude",
            }
        ).environment
        self.assertEqual(ours["ANTHROPIC_API_KEY"], "k")
        self.assertEqual(ours["CLAUDE_CODE_MAX_RETRIES"], "0")
        self.assertEqual(ours["PATH"], "/opt/bin")
        self.assertEqual(ours["HOME"], "/in/var/hive/agents/bob/home")
        self.assertEqual(ours["CLAUDE_CONFIG_DIR"], "/in/var/hive/agents/bob/claude")


class TurnFilesTests(SynchronousTestCase):
    """What claude reads."""

    def setUp(self) -> None:
        """A socket directory."""
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        self.servers: dict[str, McpServer] = {}

    def write(self) -> TurnFiles:
        """Write the files."""
        return write_turn_files(
            self.directory, "You are bob.", "/run/hive/mcp.sock", self.servers
        )

    def test_what_is_in_them(self) -> None:
        """Valid JSON, one MCP server over the agent's socket, and the prompt; readable, and nothing besides."""
        files = self.write()
        self.assertEqual(json.loads(files.settings.read_text()), SETTINGS)
        self.assertEqual(
            json.loads(files.mcp_config.read_text()),
            {
                "mcpServers": {
                    "hyperhive": {
                        "command": "socat",
                        "args": ["-", "UNIX-CONNECT:/run/hive/mcp.sock"],
                    }
                }
            },
        )
        self.assertEqual(files.system_prompt.read_text(), "You are bob.")
        self.assertEqual(
            sorted(os.listdir(self.directory)),
            [
                "claude-mcp-config.json",
                "claude-settings.json",
                "claude-system-prompt.md",
            ],
        )
        for path in self.directory.iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o644)

    def test_the_hive_compacts(self) -> None:
        """Claude does not compact by itself, has no hooks, and forgets no session."""
        self.assertIs(SETTINGS["autoCompactEnabled"], False)
        self.assertIs(SETTINGS["disableAllHooks"], True)
        self.assertEqual(SETTINGS["cleanupPeriodDays"], 3650)

    def test_its_own_servers(self) -> None:
        """The agent's MCP servers are beside the hive's, and can't take its place."""
        self.servers = {
            "issues": McpServer("issue-server", ("--stdio",), {"TOKEN": "x"}),
            "hyperhive": McpServer("evil"),
        }
        servers = json.loads(self.write().mcp_config.read_text())["mcpServers"]
        self.assertEqual(
            servers["issues"],
            {"command": "issue-server", "args": ["--stdio"], "env": {"TOKEN": "x"}},
        )
        self.assertEqual(servers["hyperhive"]["command"], "socat")

    def test_again(self) -> None:
        """They are replaced, also where the agent has written to them."""
        self.write().settings.write_text("{}")
        self.assertEqual(json.loads(self.write().settings.read_text()), SETTINGS)

    def test_nothing_of_the_agents_is_followed(self) -> None:
        """A link in the way is replaced, and what it points to stays; a pipe holds up nobody."""
        secret = self.directory.parent / "secret"
        secret.write_text("secret")
        link = self.directory / "claude-settings.json"
        link.symlink_to(secret.absolute())
        os.mkfifo(self.directory / "claude-mcp-config.json")
        files = self.write()
        self.assertEqual(secret.read_text(), "secret")
        self.assertFalse(link.is_symlink())
        self.assertTrue(files.mcp_config.is_file())

    def test_in_the_way(self) -> None:
        """What can't be replaced is an error with a reason, and leaves no waste."""
        (self.directory / "claude-settings.json").mkdir()
        with self.assertRaises(FilesInTheWay) as caught:
            self.write()
        self.assertIn(str(self.directory), str(caught.exception))
        self.assertEqual(os.listdir(self.directory), ["claude-settings.json"])

    def test_no_directory(self) -> None:
        """A missing directory is the same error."""
        with self.assertRaises(FilesInTheWay):
            write_turn_files(self.directory / "none", "", "", {})


class AuthTests(SynchronousTestCase):
    """Whether there is something that could be a login."""

    def setUp(self) -> None:
        """An empty store."""
        self.claude = Path(self.mktemp())
        self.claude.mkdir(parents=True)

    def test_none(self) -> None:
        """No file and no key, or an empty one."""
        self.assertFalse(auth_present(self.claude, {}))
        self.assertFalse(auth_present(self.claude, {"ANTHROPIC_API_KEY": ""}))
        self.assertFalse(auth_present(self.claude, {"ANTHROPIC_BASE_URL": "http://x"}))
        self.assertFalse(auth_present(self.claude / "none", {}))

    def test_by_environment(self) -> None:
        """Each of three variables is a login."""
        for name in (
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "CLAUDE_CODE_OAUTH_TOKEN",
        ):
            self.assertTrue(auth_present(self.claude, {name: "x"}))

    def test_by_file(self) -> None:
        """A credentials file is one; a link, which the agent could make, and a folder are not."""
        credentials = self.claude / ".credentials.json"
        credentials.mkdir()
        self.assertFalse(auth_present(self.claude, {}))
        credentials.rmdir()
        credentials.symlink_to("/etc/hostname")
        self.assertFalse(auth_present(self.claude, {}))
        credentials.unlink()
        credentials.write_text("{}")
        self.assertTrue(auth_present(self.claude, {}))
