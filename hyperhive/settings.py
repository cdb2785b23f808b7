"""What can be set: one frozen value from flags, ``hive.toml`` and defaults.

Flags win over the file. Each setting has one name: ``state_dir`` here,
``state-dir`` in the file, ``--state-dir`` as a flag.
"""

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from hyperhive import names
from hyperhive.notify_settings import NotifySettings, WrongSetting, read_notify
from hyperhive.toml_lines import line_of


class SettingsError(Exception):
    """A wrong setting: one line that names it, where it was set, and what is allowed."""


@frozen
class PortRange:
    """Ports ``first`` to ``last``, both included; ``0`` as text is no range at all."""

    first: int
    last: int


@frozen
class Layout:
    """Where things are on disk; the only place that builds these paths.

    Names are checked by :mod:`hyperhive.names` before they come here.
    """

    state_dir: Path
    run_dir: Path

    @property
    def broker_db(self) -> Path:
        """Messages, agents, turns."""
        return self.state_dir / "broker.sqlite"

    @property
    def events_db(self) -> Path:
        """What the agents' streams said."""
        return self.state_dir / "events.sqlite"

    @property
    def operator_token(self) -> Path:
        """The operator's token, mode 0600."""
        return self.state_dir / "operator-token"

    @property
    def operator_sessions(self) -> Path:
        """The operator's logged-in browsers, as hashes, mode 0600."""
        return self.state_dir / "operator-sessions"

    @property
    def link_key(self) -> Path:
        """The key that signs decision links, mode 0600."""
        return self.state_dir / "link-key"

    @property
    def host_socket(self) -> Path:
        """The admin protocol's socket."""
        return self.run_dir / "host.sock"

    @property
    def daemon_json(self) -> Path:
        """How a script finds the hive."""
        return self.run_dir / "daemon.json"

    @property
    def containers(self) -> Path:
        """What drivers without a state of their own remember until the next boot."""
        return self.run_dir / "containers"

    @property
    def agents(self) -> Path:
        """One folder an agent, also of those that were destroyed and kept."""
        return self.state_dir / "agents"

    def agent(self, name: str) -> Path:
        """Everything durable of one agent."""
        return self.agents / name

    def claude(self, name: str) -> Path:
        """One login and one session store an agent: ``/root/.claude`` inside."""
        return self.agent(name) / "claude"

    def home(self, name: str) -> Path:
        """``/root`` inside."""
        return self.agent(name) / "home"

    def notes(self, name: str) -> Path:
        """The agent's own notes: ``/state`` inside."""
        return self.agent(name) / "state"

    def port(self, name: str) -> Path:
        """The port of the agent's page, once chosen."""
        return self.agent(name) / "port"

    @property
    def proposed(self) -> Path:
        """Every proposed repo; ``/agents`` in the manager's container, who may write it."""
        return self.state_dir / "proposed"

    def proposed_repo(self, name: str) -> Path:
        """The work tree in which the manager writes an agent's configuration."""
        return self.proposed / name

    @property
    def applied(self) -> Path:
        """Every applied repo; only the daemon writes it, the manager reads ``/applied``."""
        return self.state_dir / "applied"

    def applied_repo(self, name: str) -> Path:
        """The bare repo of what was proposed, approved and deployed for an agent."""
        return self.applied / f"{name}.git"

    @property
    def builds(self) -> Path:
        """What is being built, and what keeps nix from collecting what was."""
        return self.state_dir / "builds"

    def socket_dir(self, name: str) -> Path:
        """``/run/hive`` inside: the MCP socket and what a turn is given to read."""
        if name == names.MANAGER:
            return self.run_dir / "manager"
        return self.run_dir / "agents" / name

    def mcp_socket(self, name: str) -> Path:
        """The agent's MCP socket."""
        return self.socket_dir(name) / "mcp.sock"

    def mcp_listener(self, name: str) -> Path:
        """Where that socket is bound: out of the agent's reach, who may write its folder."""
        return self.run_dir / "mcp" / f"{name}.sock"


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise ValueError("text that is not empty")
    return value


def _path(value: Any) -> Path:
    return Path(_text(value)).expanduser().absolute()


def _number(low: int, high: int) -> Callable[[Any], int]:
    def number(value: Any) -> int:
        allowed = f"a whole number from {low} to {high}"
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(allowed)
        try:
            result = int(value)
        except ValueError:
            raise ValueError(allowed) from None
        if not low <= result <= high:
            raise ValueError(allowed)
        return result

    return number


def _seconds(value: Any) -> float:
    allowed = "a number of seconds above 0, at most 604800"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(allowed)
    try:
        result = float(value)
    except ValueError:
        raise ValueError(allowed) from None
    if not 0 < result <= 604800:
        raise ValueError(allowed)
    return result


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _one_of(*choices: str) -> Callable[[Any], str]:
    def choice(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return str(value)

    return choice


def _ports(value: Any) -> PortRange | None:
    allowed = "a range of ports such as 8100-8999, or 0 for no agent pages of their own"
    if value in (0, "0"):
        return None
    match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", str(value))
    if match is None:
        raise ValueError(allowed)
    first, last = int(match[1]), int(match[2])
    if not 1 <= first <= last <= 65535:
        raise ValueError(allowed)
    return PortRange(first, last)


def _interface(value: Any) -> str:
    text = _text(value)
    if not re.fullmatch(r"[0-9A-Fa-f.:]+", text):
        raise ValueError("an IP address such as 127.0.0.1")
    return text


#: What a model's name or alias looks like, as a regular expression for the whole of it.
MODEL_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._:/@\[\]-]{0,99}"


def _model(value: Any) -> str:
    try:
        return check_model(value)
    except ValueError:
        raise ValueError("a model name such as haiku") from None


def check_model(value: object) -> str:
    """Answer a model's name or alias if it can be one.

    :raises ValueError: otherwise. It becomes an argument of claude, so that it
        must not look like a flag.
    """
    if not isinstance(value, str) or not re.fullmatch(MODEL_PATTERN, value):
        raise ValueError("a model is named by letters, digits and . _ : / @ - [ ]")
    return value


def _default_state_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/hyperhive")
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "hyperhive"


def default_run_dir() -> Path:
    """``/run/hyperhive``, or under ``$XDG_RUNTIME_DIR`` when not root."""
    if os.geteuid() == 0:
        return Path("/run/hyperhive")
    base = os.environ.get("XDG_RUNTIME_DIR")
    return (Path(base) if base else Path(f"/tmp/hyperhive-{os.geteuid()}")) / (  # noqa: S108  # made 0700 and checked by the daemon
        "hyperhive"
    )


def _default_max_turns() -> int:
    """What memory bears: a running claude takes some 250 MB, and 1 GiB stays free."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fits = (pages - 1024**3) // (300 * 1024**2)
    return max(1, min(fits, 4 * (os.cpu_count() or 1)))


def _setting(
    convert: Callable[[Any], Any], help: str, meta: str | None = None, **default: Any
) -> Any:
    return field(
        metadata={"convert": convert, "help": help, "meta": meta},
        kw_only=True,
        **default,
    )


@frozen
class Settings:
    """Every setting. Durations are seconds."""

    state_dir: Path = _setting(
        _path,
        "what must survive: messages, logins, notes",
        "DIR",
        factory=_default_state_dir,
    )
    run_dir: Path = _setting(
        _path, "sockets and daemon.json", "DIR", factory=default_run_dir
    )
    dashboard: str = _setting(
        _text,
        "where the dashboard listens, as a Twisted endpoint",
        "ENDPOINT",
        default="tcp:7000:interface=127.0.0.1",
    )
    agent_interface: str = _setting(
        _interface,
        "the address that agents' pages listen on",
        "ADDRESS",
        default="127.0.0.1",
    )
    manager_port: int = _setting(
        _number(0, 65535),
        "the port of the manager's page; 0 picks a free one",
        "PORT",
        default=8000,
    )
    agent_ports: PortRange | None = _setting(
        _ports,
        "the ports of agents' pages; 0 turns these listeners and the manager's off",
        "FIRST-LAST",
        default=PortRange(8100, 8999),
    )
    containers: str = _setting(
        _one_of("auto", "nixos", "bubblewrap", "process"),
        "how agents are kept apart: auto, nixos, bubblewrap or process",
        "DRIVER",
        default="auto",
    )
    claude: str = _setting(
        _text, "claude's executable, a path or a name on PATH", "PATH", default="claude"
    )
    model: str = _setting(
        _model,
        "the model of agents that have none of their own",
        "NAME",
        default="haiku",
    )
    max_turns: int = _setting(
        _number(1, 1000),
        "how many turns run at once (default: as memory allows)",
        "N",
        factory=_default_max_turns,
    )
    approval_ttl: float | None = _setting(
        _seconds,
        "an approval that nobody decides for so long is denied (default: never)",
        "SECONDS",
        default=None,
    )
    hive_flake: str = _setting(
        _text,
        "the flake of hyperhive, which agents' systems extend (on NixOS)",
        "URL",
        default="flake:hyperhive",
    )
    keep_turns: int = _setting(
        _number(1, 36500),
        "for how many days the figures of turns are kept",
        "DAYS",
        default=90,
    )
    demo: bool = _setting(
        _flag, "run the scripted agent instead of claude", default=False
    )
    recv_wait: float = _setting(
        _seconds, "the longest wait of an agent's recv", "SECONDS", default=60.0
    )
    silence_timeout: float = _setting(
        _seconds,
        "a claude that prints nothing for so long is ended",
        "SECONDS",
        default=900.0,
    )
    turn_timeout: float = _setting(
        _seconds, "a turn that takes longer is ended", "SECONDS", default=21600.0
    )
    drain_timeout: float = _setting(
        _seconds, "how long a stop lets a turn go on", "SECONDS", default=600.0
    )
    shutdown_timeout: float = _setting(
        _seconds, "how long the daemon's end lets turns go on", "SECONDS", default=30.0
    )
    claude_env: Mapping[str, str] = field(factory=dict, kw_only=True, repr=False)
    """What claude's environment gets, from the table ``[claude.env]``: keys, proxies."""
    notify: NotifySettings = field(factory=NotifySettings, kw_only=True)
    """What is told of outside the house, from the table ``[notify]``."""

    @property
    def layout(self) -> Layout:
        """Where things are on disk."""
        return Layout(self.state_dir, self.run_dir)


def flag_fields() -> tuple["attrs.Attribute[Any]", ...]:
    """The settings that are flags too, in the order of the help."""
    return tuple(one for one in attrs.fields(Settings) if "convert" in one.metadata)


def spelled(name: str) -> str:
    """A setting's name as the file and the flags spell it."""
    return name.replace("_", "-")


def load_settings(flags: Mapping[str, Any], file: Path | None = None) -> Settings:
    """Join flags, file and defaults.

    :param flags: values by setting name, only those that were given.
    :param file: ``hive.toml``, if one was named.
    :raises SettingsError: one line.
    """
    values: dict[str, Any] = {}
    if file is not None:
        values = _from_file(file)
    fields = {one.name: one for one in flag_fields()}
    for name, value in flags.items():
        values[name] = _converted(fields[name], value, f"--{spelled(name)}")
    return Settings(**values)


def _converted(one: "attrs.Attribute[Any]", value: Any, where: str) -> Any:
    try:
        return one.metadata["convert"](value)
    except ValueError as error:
        raise SettingsError(
            f"{where}: {str(value)[:80]!r} is not allowed; it must be {error}."
        ) from None


def _from_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text("utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(
            f"--config: {file} can't be read: {error.strerror}."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: is not TOML: {error}.") from None
    fields = {spelled(one.name): one for one in flag_fields()}
    values: dict[str, Any] = {}
    if "notify" in table:
        values["notify"] = _notify(file, text, table.pop("notify"))
    claude = table.get("claude")
    if isinstance(claude, dict):
        del table["claude"]
        if "path" in claude:
            table["claude"] = claude.pop("path")
        values["claude_env"] = _environment(file, claude.pop("env", {}))
        for key in claude:
            raise SettingsError(
                f"{file}: claude.{key} is not a setting; allowed are path and env."
            )
    for key, value in table.items():
        if key not in fields:
            raise SettingsError(
                f"{file}: {key!r} is not a setting; allowed are "
                f"{', '.join(sorted(fields))} and the tables claude.env and notify."
            )
        values[fields[key].name] = _converted(fields[key], value, f"{file}: {key}")
    return values


def _notify(file: Path, text: str, table: Any) -> NotifySettings:
    try:
        return read_notify(table)
    except WrongSetting as wrong:
        line = line_of(text, wrong.path)
        where = str(file) if line is None else f"{file}, line {line}"
        raise SettingsError(f"{where}: {wrong}.") from None


def _environment(file: Path, table: Any) -> dict[str, str]:
    if not isinstance(table, dict):
        raise SettingsError(f"{file}: claude.env must be a table of texts.")
    for key, value in table.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
            raise SettingsError(
                f"{file}: claude.env.{key} is not the name of an environment variable."
            )
        if not isinstance(value, str) or "\0" in value:
            raise SettingsError(f"{file}: claude.env.{key} must be a text.")
    return dict(table)
