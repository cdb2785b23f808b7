"""An agent's own configuration: what may be set, how it is read, and what is wrong with it.

``agent.toml`` and the ``agent.json`` of a built NixOS system have the same names. Whoever
proposes a configuration is not trusted: nothing in it changes which program runs as
claude, whose login it has, or what the hive itself has set.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
from attrs import field, frozen

from hyperhive.containers.interfaces import Limits
from hyperhive.errors import BadRequest
from hyperhive.names import (
    EVERYONE,
    MANAGER_MAILBOX,
    OPERATOR,
    InvalidName,
    check_new_agent_name,
)
from hyperhive.settings import check_model
from hyperhive.store.agents import AgentRow
from hyperhive.toml_lines import line_of

#: Claude's own tools that an agent can have, and has if nothing else is said. Searching
#: the web and subagents are left out: the first costs extra, the second hides what an
#: agent does.
BUILT_IN_TOOLS = ("Bash", "Read", "Write", "Edit", "Glob", "Grep")
#: How many problems of one file are told.
MAX_PROBLEMS = 10
#: The longest file that is read (characters).
MAX_FILE = 256 * 1024
#: How many entries a list or a table may have, and how long a text in it may be.
MAX_ENTRIES = 100
MAX_TEXT = 4000
#: The longest time that can be set (seconds).
MAX_SECONDS = 7 * 86400.0

#: What would change which program runs, what it loads, or whose login and API it has.
_FIXED = re.compile(
    r"HOME|PATH|TMPDIR|ENV|BASH_ENV|SHELLOPTS|BASHOPTS|IFS|LD_.*|NODE_.*|GCONV_PATH|"
    r"CLAUDE_.*|ANTHROPIC_.*|AWS_.*|GOOGLE_.*|DISABLE_.*|MCP_.*|"
    r"(?:HTTP|HTTPS|ALL|NO)_PROXY|SSL_CERT_.*",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_SERVER = re.compile(r"[a-z][a-z0-9_-]{0,31}")
#: Claude's rules are separated by spaces and commas, and end at a parenthesis.
_PATTERN = re.compile(r"[^(),\x00-\x1f\x7f]{1,200}")
_MEMORY = re.compile(r"([1-9][0-9]{0,8})([KMG])")
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3}


class ConfigError(BadRequest):
    """A configuration that can't be used: each problem with its file, line and key.

    :ivar line: of the first problem, from 1, where it is known.
    """

    def __init__(self, problems: list[str], line: int | None) -> None:
        super().__init__("\n".join(problems))
        self.line = line


@frozen
class McpServer:
    """An MCP server of the agent's own, on the standard streams of a program."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(factory=dict)


@frozen
class Tools:
    """Which of claude's own tools the agent has.

    :param bash: which commands its Bash may run, as patterns of claude's permission
        rules (``git *``); ``None``: any.
    """

    built_in: tuple[str, ...] = BUILT_IN_TOOLS
    bash: tuple[str, ...] | None = None


@frozen
class AgentLimits:
    """What the agent may use; ``None`` is the hive's own setting, or no limit.

    :param memory: such as ``512M`` or ``2G``.
    :param cpu: processors.
    :param tasks: processes and threads.
    :param turn_timeout: seconds, likewise ``silence_timeout``.
    """

    memory: str | None = None
    cpu: float | None = None
    tasks: int | None = None
    turn_timeout: float | None = None
    silence_timeout: float | None = None

    @property
    def set_for_containers(self) -> tuple[str, ...]:
        """The names of those that a container has to keep."""
        given = {"memory": self.memory, "cpu": self.cpu, "tasks": self.tasks}
        return tuple(name for name, value in given.items() if value is not None)

    @property
    def container(self) -> Limits:
        """What a container is limited to."""
        match = _MEMORY.fullmatch(self.memory or "")
        memory = None if match is None else int(match[1]) * _UNITS[match[2]]
        return Limits(memory, self.cpu, self.tasks)


@frozen
class AgentConfig:
    """All that can be set for one agent.

    :param model: of its turns, unless the operator has chosen another.
    :param recipients: to whom it may write; ``None``: everybody.
    """

    model: str | None = None
    recipients: tuple[str, ...] | None = None
    tools: Tools = field(factory=Tools)
    mcp_servers: Mapping[str, McpServer] = field(factory=dict)
    environment: Mapping[str, str] = field(factory=dict)
    limits: AgentLimits = field(factory=AgentLimits)

    @classmethod
    def from_toml(cls, text: str, file: str = "agent.toml") -> "AgentConfig":
        """Read a file that somebody has written.

        :raises ConfigError: with all that is wrong with it, up to ten problems.
        """
        if len(text) > MAX_FILE:
            raise ConfigError(
                [f"{file}: it has {len(text)} characters, at most {MAX_FILE}."], None
            )
        try:
            table = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            match = re.search(r"at line (\d+)", str(error))
            line = int(match[1]) if match else len(text.splitlines()) or 1
            raise ConfigError([f"{file}, line {line}: {error}."], line) from None
        return _read(table, lambda path: line_of(text, path), file)

    @classmethod
    def from_json(cls, text: str, file: str = "agent.json") -> "AgentConfig":
        """Read what was built, or stored.

        :raises ConfigError: with all that is wrong with it.
        """
        try:
            table = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError([f"{file}: it is not JSON: {error}."], None) from None
        return _read(table, lambda path: None, file)

    def to_json(self) -> str:
        """As :meth:`from_json` reads it. What is not set is left out."""
        return json.dumps(
            attrs.asdict(self, filter=lambda _, value: value is not None),
            ensure_ascii=False,
            sort_keys=True,
        )


def configuration(row: AgentRow) -> AgentConfig:
    """What an agent runs with; without a deployment, the defaults.

    :raises ConfigError: if another hyperhive has written what this one can't read.
        It is never taken for the defaults, which may allow more.
    """
    if row.config is None:
        return AgentConfig()
    return AgentConfig.from_json(row.config, f"the configuration of {row.name}")


def default_toml(name: str) -> str:
    """What a new agent's repo begins with: every key, explained, and none of them set."""
    return f"""\
# The configuration of {name}. Everything here is optional.

# The model of its turns. The hive's own setting, if not set.
# model = "haiku"

# To whom it may write. Everybody, if not set.
# recipients = ["manager", "operator"]

[tools]
# Which of claude's own tools it has.
# built_in = ["Bash", "Read", "Write", "Edit", "Glob", "Grep"]
# Which commands its Bash may run, as patterns. Any, if not set.
# bash = ["git *", "ls *"]

# An MCP server of its own: a program that talks MCP on its standard streams.
# [mcp_servers.example]
# command = "example-server"
# args = ["--stdio"]
# env = {{ EXAMPLE = "1" }}

[environment]
# What its shell finds in its environment. No secrets: this is kept for ever.
# EDITOR = "true"

[limits]
# All that runs in its container together.
# memory = "2G"
# cpu = 1.5
# tasks = 200
# A turn that takes longer, or in which claude says nothing for so long, is ended (seconds).
# turn_timeout = 3600
# silence_timeout = 600
"""


_Path = tuple[str, ...]
_Lines = Callable[[_Path], int | None]


class _Reader:
    """Gathers the problems of one file."""

    def __init__(self, lines: _Lines, file: str) -> None:
        self._lines = lines
        self._file = file
        self.problems: list[tuple[int | None, str]] = []

    def wrong(self, path: _Path, found: Any, allowed: str) -> None:
        """Note a problem."""
        line = self._lines(path)
        where = self._file if line is None else f"{self._file}, line {line}"
        shown = json.dumps(found, ensure_ascii=False, default=str)
        shown = shown if len(shown) <= 60 else f"{shown[:59]}…"
        self.problems.append(
            (line, f"{where}: {'.'.join(path)} is {shown}; it must be {allowed}.")
        )

    def unknown(self, path: _Path, known: Iterator[str]) -> None:
        """Note a key that there is not."""
        line = self._lines(path)
        where = self._file if line is None else f"{self._file}, line {line}"
        self.problems.append(
            (
                line,
                f"{where}: {'.'.join(path)[:80]} is not a key; there are "
                f"{', '.join(sorted(known))}.",
            )
        )

    def table(self, path: _Path, value: Any) -> dict[str, Any]:
        """A table, or an empty one in its place."""
        if isinstance(value, dict) and len(value) <= MAX_ENTRIES:
            return value
        self.wrong(path, value, f"a table of at most {MAX_ENTRIES} entries")
        return {}

    def members(
        self, path: _Path, value: Any, readers: Mapping[str, "_Read"]
    ) -> dict[str, Any]:
        """What is set in a table of known keys."""
        read: dict[str, Any] = {}
        for key, one in self.table(path, value).items():
            if key not in readers:
                self.unknown((*path, key), iter(readers))
            elif (result := readers[key](self, (*path, key), one)) is not None:
                read[key] = result
        return read


_Read = Callable[[_Reader, _Path, Any], Any]


def _read(table: Any, lines: _Lines, file: str) -> AgentConfig:
    reader = _Reader(lines, file)
    members = reader.members((), table, _TOP)
    if reader.problems:
        told = [text for _, text in reader.problems[:MAX_PROBLEMS]]
        more = len(reader.problems) - len(told)
        if more:
            told.append(f"… and {more} more.")
        raise ConfigError(told, reader.problems[0][0])
    return AgentConfig(**members)


def _checked(check: Callable[[Any], bool], allowed: str) -> _Read:
    """A value that is taken as it is."""

    def read(reader: _Reader, path: _Path, value: Any) -> Any:
        if check(value):
            return value
        reader.wrong(path, value, allowed)
        return None

    return read


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT and "\0" not in value


def _each(read: _Read) -> _Read:
    """A list, each entry of which is read so."""

    def whole(reader: _Reader, path: _Path, value: Any) -> Any:
        if not isinstance(value, list) or len(value) > MAX_ENTRIES:
            reader.wrong(path, value, f"a list of at most {MAX_ENTRIES} entries")
            return None
        return tuple(read(reader, path, one) for one in value)

    return whole


def _model(reader: _Reader, path: _Path, value: Any) -> Any:
    try:
        return check_model(value)
    except ValueError:
        reader.wrong(path, value, "a model's name or alias, such as haiku")
        return None


def _recipient(value: Any) -> bool:
    if value in (MANAGER_MAILBOX, OPERATOR):
        return True
    try:
        return value != EVERYONE and bool(check_new_agent_name(str(value)))
    except InvalidName:
        return False


def _environment(reader: _Reader, path: _Path, value: Any) -> Any:
    for key, one in reader.table(path, value).items():
        if not _VARIABLE.fullmatch(key):
            reader.wrong((*path, key), key, "named by letters, digits and _")
        elif _FIXED.fullmatch(key):
            reader.wrong((*path, key), one, "left to the hive, which sets it itself")
        elif not _text(one):
            reader.wrong((*path, key), one, f"a text of at most {MAX_TEXT} characters")
    return value


def _servers(reader: _Reader, path: _Path, value: Any) -> Any:
    servers = {}
    for name, one in reader.table(path, value).items():
        place = (*path, name)
        if not _SERVER.fullmatch(name) or name == "hyperhive":
            reader.wrong(
                place, name, "named by a-z, 0-9, _ and -, and not called hyperhive"
            )
            continue
        members = reader.members(place, one, _SERVER_KEYS)
        if "command" in members:
            servers[name] = McpServer(**members)
        elif isinstance(one, dict) and "command" not in one:
            reader.wrong((*place, "command"), None, "the program that is run")
    return servers


def _number(low: float, high: float, what: str) -> _Read:
    return _checked(
        lambda value: (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and low <= value <= high
        ),
        f"{what} from {low:g} to {high:g}",
    )


def _whole(low: int, high: int) -> _Read:
    return _checked(
        lambda value: type(value) is int and low <= value <= high,
        f"a whole number from {low} to {high}",
    )


_plain = _checked(_text, f"a text of at most {MAX_TEXT} characters")
_command = _checked(
    lambda value: _text(value) and bool(value.strip()), "the program that is run"
)
_seconds = _number(1, MAX_SECONDS, "a number of seconds")
_SERVER_KEYS: Mapping[str, _Read] = {
    "command": _command,
    "args": _each(_plain),
    "env": _environment,
}
_TOOL_KEYS: Mapping[str, _Read] = {
    "built_in": _each(
        _checked(
            lambda value: value in BUILT_IN_TOOLS,
            f"one of {', '.join(BUILT_IN_TOOLS)}",
        )
    ),
    "bash": _each(
        _checked(
            lambda value: (
                isinstance(value, str)
                and _PATTERN.fullmatch(value) is not None
                and value == value.strip()
            ),
            "a pattern such as 'git *', without parentheses, commas and outer spaces",
        )
    ),
}
_LIMIT_KEYS: Mapping[str, _Read] = {
    "memory": _checked(
        lambda value: isinstance(value, str) and _MEMORY.fullmatch(value) is not None,
        "an amount such as 512M or 2G",
    ),
    "cpu": _number(0.01, 1024, "a number of processors"),
    "tasks": _whole(1, 4_000_000),
    "turn_timeout": _seconds,
    "silence_timeout": _seconds,
}
_TOP: Mapping[str, _Read] = {
    "model": _model,
    "recipients": _each(
        _checked(_recipient, "an agent's name, 'manager' or 'operator'")
    ),
    "tools": lambda reader, path, value: Tools(
        **reader.members(path, value, _TOOL_KEYS)
    ),
    "mcp_servers": _servers,
    "environment": _environment,
    "limits": lambda reader, path, value: AgentLimits(
        **reader.members(path, value, _LIMIT_KEYS)
    ),
}
