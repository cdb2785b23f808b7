"""Build nothing: the configuration is a TOML file, and the host's system is the agent's."""

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from hyperhive.agents.config import AgentConfig, ConfigError, default_toml
from hyperhive.deferreds import deferred
from hyperhive.deploy.interfaces import Built, EvalError, IBuilder
from hyperhive.deploy.trees import SourceTree
from hyperhive.names import check_agent_name

#: The file that an agent's repo begins with.
ENTRY = "agent.toml"


@implementer(IBuilder)
class TomlBuilder:
    """Reads ``agent.toml``, for containers that run on the host's own system.

    :param limits: whether containers keep the limits that are set for them.
    """

    entry = ENTRY

    def __init__(self, limits: bool = False) -> None:
        self._limits = limits

    def template(self, name: str) -> Mapping[str, bytes]:
        """See :class:`IBuilder`."""
        return {ENTRY: default_toml(check_agent_name(name)).encode()}

    @deferred
    async def build(
        self,
        name: str,
        role: str,
        tree: SourceTree,
        log: Callable[[str], None],
    ) -> Built:
        """See :class:`IBuilder`. Other files of the repo mean nothing here."""
        if ENTRY not in tree.contents:
            raise EvalError(f"There is no file {ENTRY}.", ENTRY)
        try:
            config = AgentConfig.from_toml(tree.contents[ENTRY].decode())
        except UnicodeDecodeError:
            raise EvalError(f"{ENTRY} is not text in UTF-8.", ENTRY) from None
        except ConfigError as error:
            raise EvalError(str(error), ENTRY, error.line) from None
        unkept = () if self._limits else config.limits.set_for_containers
        if unkept:
            log(
                f"{', '.join(unkept)}: not enforced, for this hive's containers have no "
                "such limits; the other limits hold."
            )
        return Built(None, config.to_json())

    def release(self, name: str) -> Deferred[None]:
        """See :class:`IBuilder`. There is nothing to keep."""
        return succeed(None)
