"""Build nothing: the configuration is a TOML file, and the host's system is the agent's."""

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from hyperhive.agents.config import AgentConfig, ConfigError, default_toml
from hyperhive.deferreds import deferred
from hyperhive.deploy.interfaces import Built, EvalError, IBuilder
from hyperhive.names import check_agent_name

#: The file that an agent's repo begins with.
ENTRY = "agent.toml"
#: Limits that containers without a system of their own don't have.
UNENFORCED = ("memory", "cpu", "tasks")


@implementer(IBuilder)
class TomlBuilder:
    """Reads ``agent.toml``, for containers that run on the host's own system."""

    entry = ENTRY

    def template(self, name: str) -> Mapping[str, bytes]:
        """See :class:`IBuilder`."""
        return {ENTRY: default_toml(check_agent_name(name)).encode()}

    @deferred
    async def build(
        self,
        name: str,
        role: str,
        files: Mapping[str, bytes],
        log: Callable[[str], None],
    ) -> Built:
        """See :class:`IBuilder`. Other files of the repo mean nothing here."""
        if ENTRY not in files:
            raise EvalError(f"There is no file {ENTRY}.", ENTRY)
        try:
            config = AgentConfig.from_toml(files[ENTRY].decode())
        except UnicodeDecodeError:
            raise EvalError(f"{ENTRY} is not text in UTF-8.", ENTRY) from None
        except ConfigError as error:
            raise EvalError(str(error), ENTRY, error.line) from None
        set_ones = [
            one for one in UNENFORCED if getattr(config.limits, one) is not None
        ]
        if set_ones:
            log(
                f"{', '.join(set_ones)}: not enforced. Only containers of NixOS have "
                "limits; the other limits hold."
            )
        return Built(None, config.to_json())

    def release(self, name: str) -> Deferred[None]:
        """See :class:`IBuilder`. There is nothing to keep."""
        return succeed(None)
