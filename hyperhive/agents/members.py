"""Who is in the swarm at run time: each agent's row joined with its loop."""

from collections.abc import Callable, Iterator

from hyperhive.agents.agent import Agent
from hyperhive.agents.interfaces import AgentStatus
from hyperhive.agents.registry import Registry
from hyperhive.names import container_name


class Members:
    """Every agent by its name, the manager first, then by name.

    :param make: makes what runs an agent, by its name.
    """

    def __init__(self, registry: Registry, make: Callable[[str], Agent]) -> None:
        self.registry = registry
        self._make = make
        self._agents: dict[str, Agent] = {}
        for name in registry.names():
            self.joined(name)

    def __contains__(self, name: object) -> bool:
        return name in self._agents

    def holds(self, agent: Agent) -> bool:
        """Whether it is still this one that is called so."""
        return self._agents.get(agent.name) is agent

    def __iter__(self) -> Iterator[Agent]:
        return iter([self._agents[name] for name in self.names()])

    def names(self) -> tuple[str, ...]:
        """Their names, in order."""
        return self.registry.names()

    def get(self, name: str) -> Agent:
        """One of them; ``manager`` is taken for its agent's name.

        :raises InvalidName: if no agent can be called so.
        :raises NoSuchAgent: listing who exists.
        """
        return self._agents[self.registry.row(name).name]

    def of_container(self, container: str) -> Agent | None:
        """The one whose container is called so."""
        for agent in self._agents.values():
            if container_name(agent.name) == container:
                return agent
        return None

    def status(self, name: str) -> AgentStatus | None:
        """What is shown of one, or ``None`` if it is gone."""
        return self._agents[name].status() if name in self._agents else None

    def joined(self, name: str) -> Agent:
        """One whose row was written."""
        agent = self._agents[name] = self._make(name)
        return agent

    def left(self, agent: Agent) -> None:
        """One whose row was deleted."""
        agent.loop.close()
        del self._agents[agent.name]
        self.registry.forget(agent.name)
