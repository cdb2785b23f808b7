"""What the rest of the hive knows of builds: one interface, its value, its errors."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from hyperhive.deploy.trees import SourceTree
from hyperhive.errors import Conflict, NotFound, PublicError
from hyperhive.times import rfc3339

#: Which commits a proposal can be compared with.
AGAINST = ("running", "approved", "queued")


class BuildFailed(PublicError):
    """An agent's configuration could not be built; the text says why, at most 4 KiB.

    The text goes to whoever proposed the configuration, and to the operator.
    """


class EvalError(BuildFailed):
    """The configuration itself is wrong. Trying again changes nothing.

    :ivar file: where, as a path in the agent's repo, as far as it is known.
    :ivar line: counted from 1.
    """

    def __init__(
        self, text: str, file: str | None = None, line: int | None = None
    ) -> None:
        super().__init__(text)
        self.file = file
        self.line = line


class FetchError(BuildFailed):
    """Something could not be downloaded. It may work later."""


class BuildError(BuildFailed):
    """A package of the system did not build; the text has the end of its log."""


class NoSpace(BuildFailed):
    """A disk is full."""


class BuildTimedOut(BuildFailed):
    """The build took longer than its limit and was ended."""


class BuilderMissing(BuildFailed):
    """What builds is not installed; the text says what to install."""


@frozen
class Built:
    """What an agent is to run with.

    :param system: the built system, for containers that have one of their own.
    :param config: the agent's configuration as JSON
        (:class:`hyperhive.agents.config.AgentConfig`).
    """

    system: Path | None
    config: str


class NotAgain(Conflict):
    """This job can't be run again."""


class NoSuchDeployment(NotFound):
    """Nothing was deployed under this id; the text lists what was."""


@frozen
class Deployed:
    """One entry of an agent's history.

    :param id: of the approval; the tag is ``deployed/<id>``.
    :param at: POSIX time.
    :param current: whether it is what runs.
    """

    id: int
    sha: str
    at: float
    current: bool

    def as_wire(self) -> dict[str, Any]:
        """As surfaces show it."""
        return {
            "id": self.id,
            "sha": self.sha,
            "at": rfc3339(self.at),
            "current": self.current,
        }


class IDeploys(Interface):
    """What an operator asks of deployments, beyond approvals.

    What changes an agent fires when it is done, and may raise what building,
    stopping or starting raises.
    """

    def rebuild(name: str, by: str) -> Deferred[None]:
        """Build again what an agent runs, and run that."""

    def update_all(by: str) -> Deferred[int]:
        """Rebuild every agent that another hyperhive has built; fires with how many."""

    def rollback(name: str, id: int, by: str) -> Deferred[None]:
        """Go back to what was deployed under ``id``. It is a deployment of its own.

        :raises NoSuchDeployment:
        """

    def run_again(id: int) -> Deferred[None]:
        """Run a job again that failed or was interrupted.

        :raises NotAgain: if it is under way, was done, or is no deployment.
        """

    def deployments(name: str) -> Deferred[list[Deployed]]:
        """What was deployed for an agent, newest first."""

    def jobs(limit: int = 50) -> Deferred[list[dict[str, Any]]]:
        """The newest jobs of the queue, newest first, as surfaces show them."""

    def lines(job: int) -> tuple[str, ...]:
        """The log of a job that is under way, or ended a short time ago.

        :raises NoSuchJob:
        """

    def cancel(job: int) -> None:
        """Cancel a job that waits, or builds.

        :raises NoSuchJob:
        :raises NotNow: if it changes something that must not be left half done.
        """


class IBuilder(Interface):
    """Knows how the files of an agent's repo become what the agent runs with."""

    entry: str = Attribute("the file that must be there, such as ``agent.toml``")

    def template(name: str) -> Mapping[str, bytes]:
        """The files, by path, that a new agent's repo begins with. They build."""

    def build(
        name: str,
        role: str,
        tree: SourceTree,
        log: Callable[[str], None],
    ) -> Deferred[Built]:
        """Build an agent's configuration. What runs is not touched by it.

        To cancel the Deferred ends the build; it then fires when nothing of the
        build is left. A built system stays on disk until :meth:`release`, or
        until the agent's next one is built. One build at a time for an agent.

        :param role: ``agent`` or ``manager``.
        :param tree: all files of the repo.
        :param log: called with each line that the build says, bounded in length
            and in number.
        :raises BuildFailed: one of its kinds.
        """

    def release(name: str) -> Deferred[None]:
        """The agent's built system is held by what runs it, or is not wanted any more.

        Nothing was built, or it is released already: success.
        """
