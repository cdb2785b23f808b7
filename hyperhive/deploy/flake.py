"""The flake that joins an agent's own NixOS module with the hive's flake. Pure."""

import os
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

from hyperhive.deploy.nix_text import (
    NixExpression,
    nix_attribute,
    nix_path,
    nix_string,
)

#: The file that an agent's repo begins with, and that its system is made from.
ENTRY = "agent.nix"
#: The folder of the agent's files, beside the flake: a ``flake.nix`` among them is
#: theirs and is never evaluated as one.
AGENT_FOLDER = "agent"
#: By an agent's role, which of the hive's configurations it extends.
BASES: Mapping[str, str] = {"agent": "agent-base", "manager": "manager"}


def _escaped(value: object) -> str:
    """What stands for an inserted value: a string literal, unless it is Nix already."""
    if isinstance(value, NixExpression):
        return value
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return nix_string(value)


_templates = Environment(
    loader=PackageLoader("hyperhive.deploy"),
    undefined=StrictUndefined,
    autoescape=False,  # noqa: S701  # this is Nix, and escaped as such by finalize
    finalize=_escaped,
    auto_reload=False,
    keep_trailing_newline=True,
)
_templates.filters["attribute"] = nix_attribute
_templates.filters["path"] = nix_path


def agent_flake(name: str, role: str, hive: str, platform: str) -> str:
    """The text of ``flake.nix``, which gives ``nixosConfigurations.<name>``.

    :param role: ``agent`` or ``manager``.
    :param hive: the URL of the hive's own flake.
    :param platform: what the system is built for (:func:`host_platform`).
    :raises NotNix: if one of the texts can't be written in Nix.
    """
    return _templates.get_template("flake.nix.j2").render(
        description=f"The system of the agent {name}",
        name=name,
        base=BASES[role],
        hive=hive,
        platform=platform,
        entry=f"{AGENT_FOLDER}/{ENTRY}",
    )


def agent_nix(name: str) -> str:
    """The module that a new agent's repo begins with.

    :param name: one that :mod:`hyperhive.names` has checked: it is put into a comment.
    """
    return _templates.get_template("agent.nix.j2").render(name=NixExpression(name))


def attribute_path(name: str) -> str:
    """Where in its flake the agent's built system is, as ``nix build`` takes it."""
    return f'nixosConfigurations."{name}".config.system.build.toplevel'


def host_platform() -> str:
    """This host as Nix names it, such as ``x86_64-linux``."""
    return f"{os.uname().machine}-linux"
