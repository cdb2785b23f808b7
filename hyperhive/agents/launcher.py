"""Prepare what a turn of claude needs, and start it inside the agent's container."""

from collections.abc import Mapping
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import Interface, implementer

from hyperhive.agents.claude import (
    Capabilities,
    TurnFiles,
    auth_commands,
    auth_is_newer,
    auth_present,
    login_stamp,
    login_variable,
    turn_command,
    turn_environment,
    write_turn_files,
)
from hyperhive.agents.claude_login import LoginPlan
from hyperhive.agents.config import AgentConfig, configuration
from hyperhive.agents.executable import Executable, environment
from hyperhive.agents.login_interfaces import LoginRefused
from hyperhive.agents.probe import probe
from hyperhive.agents.prompts import system_prompt
from hyperhive.containers.interfaces import (
    Bind,
    ContainerSpec,
    IContainerDriver,
    IContainerProcess,
    IProcessObserver,
)
from hyperhive.deferreds import deferred
from hyperhive.errors import PublicError
from hyperhive.names import MANAGER, container_name
from hyperhive.settings import Settings
from hyperhive.store.agents import AgentRow

#: Of how many versions of claude the flags are remembered.
MAX_VERSIONS = 64


class NoFolder(PublicError):
    """A folder of an agent's could not be made; the text says which, and why."""


class ILauncher(Interface):
    """What a turn and the swarm need to know of claude and of its surroundings."""

    def prepare(name: str) -> None:
        """Make the agent's folders. Safe to do again.

        :raises NoFolder:
        """

    def spec(row: AgentRow) -> ContainerSpec:
        """What the agent's container is to be.

        :raises ConfigError: if its configuration can't be read any more.
        """

    def launch(
        row: AgentRow, model: str, prompt: str, observer: IProcessObserver
    ) -> Deferred[IContainerProcess]:
        """Start claude with a prompt; fires when it is started.

        :raises PublicError: if it can't be.
        """

    def logged_in(name: str) -> bool:
        """Whether there is something that could be a valid login."""

    def login_is_newer(name: str, moment: float) -> bool:
        """Whether a login that was refused at ``moment`` may be another one by now."""

    def login_remedy(name: str) -> str:
        """What the operator does to give the agent a login."""

    def login_plan(row: AgentRow) -> LoginPlan:
        """How the agent's claude is logged in, where its turns run.

        :raises PublicError: if it needs no login, or would not use it.
        """


@implementer(ILauncher)
class Launcher:
    """Knows where an agent's things are on the host and inside its container.

    :param environ: the daemon's environment, of which claude gets a fixed few.
    :param entry: the file that an agent's configuration begins with.
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: Settings,
        driver: IContainerDriver,
        executable: Executable,
        environ: Mapping[str, str],
        entry: str,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._layout = settings.layout
        self._driver = driver
        self._executable = executable
        self._environment = environment(settings, environ)
        self._entry = entry
        self._capabilities: dict[object, Capabilities] = {}

    def prepare(self, name: str) -> None:
        """See :class:`ILauncher`."""
        layout = self._layout
        for folder in (
            layout.agent(name),
            layout.claude(name),
            layout.home(name),
            layout.notes(name),
            layout.socket_dir(name),
            *((layout.proposed, layout.applied) if name == MANAGER else ()),
        ):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise NoFolder(
                    f"{name} can't have the folder {folder}: {error.strerror}."
                ) from error

    def spec(self, row: AgentRow) -> ContainerSpec:
        """See :class:`ILauncher`."""
        layout, name = self._layout, row.name
        return ContainerSpec(
            container_name(name),
            (
                Bind(layout.home(name), "/root", writable=True),
                Bind(layout.claude(name), "/root/.claude", writable=True),
                Bind(layout.notes(name), "/state", writable=True),
                Bind(layout.socket_dir(name), "/run/hive"),
                *(self._repos() if name == MANAGER else ()),
                *self._executable.binds,
            ),
            None if row.system is None else Path(row.system),
            configuration(row).limits.container,
        )

    def _repos(self) -> tuple[Bind, ...]:
        """What the manager proposes from, and what it was that was deployed."""
        return (
            Bind(self._layout.proposed, "/agents", writable=True),
            Bind(self._layout.applied, "/applied"),
        )

    @deferred
    async def launch(
        self, row: AgentRow, model: str, prompt: str, observer: IProcessObserver
    ) -> IContainerProcess:
        """See :class:`ILauncher`."""
        config = configuration(row)
        spec = self.spec(row)
        capabilities = await self._probed(spec)

        def inside(path: Path) -> str:
            return self._driver.path_inside(spec, path)

        command = turn_command(
            self._executable,
            capabilities,
            layout=self._layout,
            name=row.name,
            role=row.role,
            model=model,
            prompt=prompt,
            fresh=row.fresh_session,
            files=self._files(row, spec, config),
            environment=self._environment,
            temporary=self._temporary(row.name, spec),
            inside=inside,
            config=config,
        )
        return self._driver.run(spec.name, command, observer)

    def logged_in(self, name: str) -> bool:
        """See :class:`ILauncher`. The scripted agent needs none."""
        return self._executable.demo or auth_present(
            self._layout.claude(name), self._environment
        )

    def login_is_newer(self, name: str, moment: float) -> bool:
        """See :class:`ILauncher`."""
        return self._executable.demo or auth_is_newer(
            self._layout.claude(name), self._environment, moment
        )

    def login_remedy(self, name: str) -> str:
        """See :class:`ILauncher`."""
        return (
            f"Log its claude in on the dashboard, or on the host with: "
            f"hive-c0re login {name}"
        )

    def login_plan(self, row: AgentRow) -> LoginPlan:
        """See :class:`ILauncher`."""
        if self._executable.demo:
            raise LoginRefused("The scripted agent needs no login.")
        variable = login_variable(self._environment)
        if variable is not None:
            raise LoginRefused(
                f"The hive's environment has {variable}, which all agents use, and no "
                "login of their own. Take it out there, and restart the hive."
            )
        spec, layout, name = self.spec(row), self._layout, row.name

        def inside(path: Path) -> str:
            return self._driver.path_inside(spec, path)

        surroundings = turn_environment(
            layout,
            name,
            configuration(row),
            self._environment,
            self._temporary(name, spec),
            inside,
        )
        login, status = auth_commands(self._executable.command(inside), surroundings)
        return LoginPlan(
            spec.name, login, status, lambda: login_stamp(layout.claude(name))
        )

    def _files(
        self, row: AgentRow, spec: ContainerSpec, config: AgentConfig
    ) -> TurnFiles:
        def inside(path: Path) -> str:
            return self._driver.path_inside(spec, path)

        words = system_prompt(
            row.role,
            row.name,
            inside(self._layout.notes(row.name)),
            self._settings.recv_wait,
            *(
                (inside(self._layout.proposed), inside(self._layout.applied))
                if row.role == "manager"
                else ("", "")
            ),
            self._entry,
        )
        folder = self._layout.socket_dir(row.name)
        return write_turn_files(
            folder,
            words,
            inside(self._layout.mcp_socket(row.name)),
            config.mcp_servers,
        )

    def _temporary(self, name: str, spec: ContainerSpec) -> str:
        """A container has a /tmp of its own; without one, agents must not share it."""
        home = self._layout.home(name)
        if self._driver.path_inside(spec, home) != str(home):
            return "/tmp"  # noqa: S108  # inside
        folder = home / "tmp"
        folder.mkdir(mode=0o700, exist_ok=True)
        return str(folder)

    async def _probed(self, spec: ContainerSpec) -> Capabilities:
        """Claude's flags, asked of it once for each version of it."""
        version = self._version(spec)
        if version not in self._capabilities:
            command = self._executable.command(
                lambda path: self._driver.path_inside(spec, path)
            )
            found = await probe(self._clock, self._driver, spec.name, command)
            if len(self._capabilities) >= MAX_VERSIONS:
                self._capabilities.clear()
            self._capabilities[version] = found
        return self._capabilities[version]

    def _version(self, spec: ContainerSpec) -> object:
        """What stays the same as long as claude does."""
        source = self._executable.version_source
        if source is None:
            return spec.system
        status = source.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size
