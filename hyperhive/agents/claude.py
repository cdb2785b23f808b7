"""How claude is called: its flags by version, its environment, the files it reads."""

import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import frozen

from hyperhive.agents.config import AgentConfig, McpServer
from hyperhive.agents.executable import Executable
from hyperhive.agents.stream import MCP_SERVER
from hyperhive.containers.interfaces import Command
from hyperhive.errors import PublicError
from hyperhive.settings import Layout

#: The hive's tools by role.
HIVE_TOOLS = {
    "agent": ("send", "recv", "set_status", "whoami", "ask_operator"),
    "manager": (
        *("send", "recv", "set_status", "whoami", "ask_operator"),
        *("list_agents", "start", "kill", "restart", "update", "get_logs"),
        *("request_spawn", "request_apply_commit"),
    ),
}
#: What makes claude compact its session, given in place of a prompt.
COMPACT = "/compact"
#: Without these a program is no claude that the hive can run.
_NEEDED = ("--print", "--continue", "--output-format", "--mcp-config")

#: Claude sends nothing but its API calls, and never changes its own version.
_QUIET = {
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
}
_SYSTEM = {
    # The last two are NixOS's, which has next to nothing in the others.
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:"
    "/run/wrappers/bin:/run/current-system/sw/bin",
    "LANG": "C.UTF-8",
}
_TUNING = {
    # A peer could have files of the agent attached by writing @/path.
    "CLAUDE_CODE_DISABLE_FILE_MENTIONS": "1",
    # A background task keeps the process alive after its result, for ten minutes.
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    # Ten retries are three minutes in which a wrong key looks like work. The longer
    # pauses are the hive's, which shows them.
    "CLAUDE_CODE_MAX_RETRIES": "3",
}
#: What claude is told in its settings file. A file that claude finds wrong is
#: ignored in silence, so that only keys belong here that were seen to be accepted.
SETTINGS = {
    # The hive compacts, between turns, where it can be seen.
    "autoCompactEnabled": False,
    "idleCompaction": False,
    "autoMemoryEnabled": False,
    # Agents talk through the hive and by no other way.
    "crossSessionInbound": "refuse",
    "disableBundledSkills": True,
    "disableAllHooks": True,
    # An agent may be idle for long, and its session is its memory.
    "cleanupPeriodDays": 3650,
    "fileCheckpointingEnabled": False,
    "promptSuggestionEnabled": False,
}

#: Variables that are a login by themselves.
_LOGINS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")


class NotClaude(PublicError):
    """What was found is not a claude that the hive can run; the text says why."""


class FilesInTheWay(PublicError):
    """The files that a turn is given could not be written; the text says why."""


@frozen
class Capabilities:
    """Which flags a version of claude has: an unknown one ends it at once.

    ``--system-prompt-file`` is no part of any version's help; all have it.
    """

    flags: frozenset[str]

    @classmethod
    def from_help(cls, text: str) -> "Capabilities":
        """Read what ``--help`` prints.

        :raises NotClaude: if flags are missing that nothing works without.
        """
        found = re.findall(r"^ {2}(?:-\w, )?(--[\w-]+)(?:, (--[\w-]+))?", text, re.M)
        flags = frozenset(flag for pair in found for flag in pair if flag)
        missing = [flag for flag in _NEEDED if flag not in flags]
        if missing:
            raise NotClaude(
                "This is not a claude that the hive can run: its --help does not name "
                f"{', '.join(missing)}. Install 2.1.197 or newer."
            )
        return cls(flags)

    def only(self, flag: str, *values: str) -> tuple[str, ...]:
        """The flag with its values, or nothing where it is not known."""
        return (flag, *values) if flag in self.flags else ()


@frozen
class TurnFiles:
    """What a turn's claude reads; paths of the host."""

    settings: Path
    mcp_config: Path
    system_prompt: Path


def write_turn_files(
    directory: Path,
    system_prompt: str,
    mcp_socket: str,
    servers: Mapping[str, McpServer],
) -> TurnFiles:
    """Write what a turn's claude reads, each file at once or not at all.

    The agent can write to ``directory`` too: nothing there is read or followed.

    :param directory: the agent's socket directory, which exists.
    :param mcp_socket: the path of the agent's MCP socket as seen inside.
    :param servers: the agent's own MCP servers.
    :raises FilesInTheWay: if the disk or the agent prevents it.
    """
    socat = {"command": "socat", "args": ["-", f"UNIX-CONNECT:{mcp_socket}"]}
    config = {"mcpServers": {**_described(servers), MCP_SERVER: socat}}
    files = TurnFiles(
        directory / "claude-settings.json",
        directory / "claude-mcp-config.json",
        directory / "claude-system-prompt.md",
    )
    try:
        _write(files.settings, json.dumps(SETTINGS, indent=2))
        _write(files.mcp_config, json.dumps(config, indent=2))
        _write(files.system_prompt, system_prompt)
    except OSError as error:
        raise FilesInTheWay(
            f"{directory}: the files for a turn can't be written: {error.strerror}."
        ) from error
    return files


def _described(servers: Mapping[str, McpServer]) -> dict[str, object]:
    """The agent's own servers, as claude reads them."""
    return {
        name: {"command": one.command, "args": list(one.args), "env": dict(one.env)}
        for name, one in servers.items()
    }


def _write(path: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=".turn-", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(text.encode())
            os.fchmod(descriptor, 0o644)
        os.replace(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def turn_command(
    executable: Executable,
    capabilities: Capabilities,
    *,
    layout: Layout,
    name: str,
    role: str,
    model: str,
    prompt: str,
    fresh: bool,
    files: TurnFiles,
    environment: Mapping[str, str],
    temporary: str,
    inside: Callable[[Path], str],
    config: AgentConfig,
) -> Command:
    """The command of one turn; with :data:`COMPACT` as its prompt, of a compaction.

    :param prompt: what the turn begins with; not blank.
    :param fresh: start a new session in place of going on with the last.
    :param environment: keys, proxies and what the operator set. It wins over what
        is set here, but for where the agent's files are.
    :param temporary: a directory of the agent's own, as seen inside.
    :param inside: how a path of the host is called inside the container.
    :param config: the agent's own configuration.
    """
    ours = [f"mcp__{MCP_SERVER}__{tool}" for tool in HIVE_TOOLS[role]]
    only = capabilities.only
    arguments = (
        "--print",
        *(() if fresh else ("--continue",)),
        *("--output-format", "stream-json", "--verbose"),
        *("--model", model),
        *("--settings", inside(files.settings)),
        *("--system-prompt-file", inside(files.system_prompt)),
        # Else a session keeps the system prompt that it was begun with.
        *only("--system-prompt-snapshot", "off"),
        # The agent can write to its working directory: no settings, hooks or
        # instructions are taken from there.
        *only("--setting-sources", ""),
        *only("--restricted"),
        *only("--permission-prompts", "none"),
        *("--mcp-config", inside(files.mcp_config), "--strict-mcp-config"),
        *("--tools", ",".join(config.tools.built_in)),
        *("--allowedTools", ",".join((*_rules(config), *ours))),
    )
    return Command(
        argv=(*executable.command(inside), *arguments),
        environment=turn_environment(
            layout, name, config, environment, temporary, inside
        ),
        directory=inside(layout.notes(name)),
        stdin=prompt.encode("utf-8", "replace"),
    )


def turn_environment(
    layout: Layout,
    name: str,
    config: AgentConfig,
    environment: Mapping[str, str],
    temporary: str,
    inside: Callable[[Path], str],
) -> dict[str, str]:
    """The environment of an agent's claude; see :func:`turn_command`."""
    places = {
        "HOME": inside(layout.home(name)),
        "CLAUDE_CONFIG_DIR": inside(layout.claude(name)),
        "TMPDIR": temporary,
        "CLAUDE_CODE_TMPDIR": temporary,
    }
    return {
        **_SYSTEM,
        **config.environment,
        **_QUIET,
        **_TUNING,
        **environment,
        **places,
    }


def auth_commands(
    executable: tuple[str, ...], environment: Mapping[str, str]
) -> tuple[Command, Command]:
    """The commands that log an agent's claude in, and that say whether it is.

    They run where the agent has put nothing that tells claude what to do.

    :param executable: how it is called inside.
    :param environment: that of its turns. A key in it would stand in for a login: there
        must be none (:func:`login_variable`).
    """
    return (
        Command((*executable, "auth", "login"), environment, "/", keep_stdin=True),
        Command((*executable, "auth", "status"), environment, "/"),
    )


def _rules(config: AgentConfig) -> list[str]:
    """What claude may do without asking, as its permission rules; it can ask nobody."""
    tools = config.tools
    rules = [tool for tool in tools.built_in if tool != "Bash"]
    rules += [f"mcp__{server}" for server in config.mcp_servers]
    if "Bash" not in tools.built_in:
        return rules
    if tools.bash is None:
        return [*rules, "Bash"]
    return [*rules, *(f"Bash({pattern})" for pattern in tools.bash)]


def help_command(executable: tuple[str, ...]) -> Command:
    """The command whose output :meth:`Capabilities.from_help` reads.

    :param executable: how it is called inside.
    """
    return Command(
        argv=(*executable, "--help"),
        environment={**_SYSTEM, **_QUIET, "HOME": "/tmp"},  # noqa: S108  # nothing is written there
        directory="/",
    )


def auth_present(claude_dir: Path, environment: Mapping[str, str]) -> bool:
    """Whether there is something that could be a valid login.

    :param claude_dir: the agent's ``.claude`` on the host.
    :param environment: what its claude gets.
    """
    return _in_environment(environment) or _credentials(claude_dir) is not None


def auth_is_newer(
    claude_dir: Path, environment: Mapping[str, str], moment: float
) -> bool:
    """Whether a login that was refused at ``moment`` may be another one by now.

    One in the environment may be: nobody says when that was set.

    :param moment: POSIX time.
    """
    if _in_environment(environment):
        return True
    credentials = _credentials(claude_dir)
    return credentials is not None and credentials.st_mtime > moment


def login_variable(environment: Mapping[str, str]) -> str | None:
    """The variable, if there is one, that is a login by itself."""
    return next((name for name in _LOGINS if environment.get(name)), None)


def login_stamp(claude_dir: Path) -> tuple[int, int] | None:
    """Something that is another after a login was written; ``None``: there is none."""
    found = _credentials(claude_dir)
    return None if found is None else (found.st_ino, found.st_mtime_ns)


def _in_environment(environment: Mapping[str, str]) -> bool:
    return login_variable(environment) is not None


def _credentials(claude_dir: Path) -> os.stat_result | None:
    """The login file, if it is one. The agent can write there: no link is followed."""
    try:
        found = os.lstat(claude_dir / ".credentials.json")
    except OSError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None
