"""Deployments in memory, for tests of what asks for them: no repos, no builds."""

from typing import Any

from zope.interface import implementer

from hyperhive.agents.jobs import NoSuchJob, NotNow
from hyperhive.deferreds import deferred
from hyperhive.deploy.interfaces import (
    Deployed,
    IDeploys,
    NoSuchDeployment,
    NotAgain,
)


@implementer(IDeploys)
class FakeDeploys:
    """An :class:`~hyperhive.deploy.interfaces.IDeploys` that a test can look into.

    :ivar calls: what was asked to be done, in order: the method and its arguments.
    :ivar deployed: by an agent's name, its history, newest first.
    :ivar rows: the jobs, newest first, as surfaces show them.
    :ivar logs: by a job's id, its lines.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.deployed: dict[str, list[Deployed]] = {}
        self.rows: list[dict[str, Any]] = []
        self.logs: dict[int, tuple[str, ...]] = {}

    @deferred
    async def rebuild(self, name: str, by: str) -> None:
        """See IDeploys."""
        self.calls.append(("rebuild", name, by))

    @deferred
    async def update_all(self, by: str) -> int:
        """See IDeploys."""
        self.calls.append(("update_all", by))
        return len(self.deployed)

    @deferred
    async def rollback(self, name: str, id: int, by: str) -> None:
        """See IDeploys."""
        if id not in [one.id for one in self.deployed.get(name, [])]:
            raise NoSuchDeployment(f"{name} has no deployment {id}; there are: none.")
        self.calls.append(("rollback", name, id, by))

    @deferred
    async def run_again(self, id: int) -> None:
        """See IDeploys."""
        if self._row(id)["state"] == "done":
            raise NotAgain(f"Job {id} is done.")
        self.calls.append(("run_again", id))

    @deferred
    async def deployments(self, name: str) -> list[Deployed]:
        """See IDeploys."""
        return self.deployed.get(name, [])

    @deferred
    async def jobs(self, limit: int = 50) -> list[dict[str, Any]]:
        """See IDeploys."""
        return self.rows[:limit]

    def lines(self, job: int) -> tuple[str, ...]:
        """See IDeploys."""
        if job not in self.logs:
            raise NoSuchJob(f"There is no log of job {job}.")
        return self.logs[job]

    def cancel(self, job: int) -> None:
        """See IDeploys."""
        if not self._row(job).get("cancellable"):
            raise NotNow(f"Job {job} can't be cancelled now.")
        self.calls.append(("cancel", job))

    def _row(self, id: int) -> dict[str, Any]:
        for row in self.rows:
            if row["id"] == id:
                return row
        raise NoSuchJob(f"No job {id} is under way.")
