"""Why bwrap can't do its work on a host, what to do about it, and what is weaker than it could be."""

import os
from pathlib import Path

from hyperhive.containers.interfaces import Denied
from hyperhive.containers.sandbox import Features

#: The options without which a bwrap is too old (0.5 has them all).
NEEDED = (
    "--args",
    "--clearenv",
    "--file",
    "--json-status-fd",
    "--perms",
    "--remount-ro",
    "--unshare-cgroup-try",
)

_SETTINGS = (
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor keeps programs from making user namespaces. Allow it to bwrap with a "
        "profile in /etc/apparmor.d, or to all programs with: "
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
    ),
    (
        "kernel/unprivileged_userns_clone",
        "0",
        "The kernel lets only root make user namespaces. Allow it with: "
        "sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "user/max_user_namespaces",
        "0",
        "The kernel allows no user namespaces. Allow some with: "
        "sysctl user.max_user_namespaces=10000",
    ),
)

_NESTED = (
    "The hive itself runs in a container, which forbids it. Run the hive on the host, or "
    "let the container make user namespaces and mounts (Docker: --security-opt "
    "seccomp=unconfined --security-opt apparmor=unconfined --security-opt "
    "systempaths=unconfined)"
)


def refusal(said: str, host: Path = Path("/")) -> Denied:
    """What to tell the operator about a bwrap that failed.

    :param said: bwrap's own text.
    """
    return Denied(
        f"Agents can't be isolated: bwrap says {said[:500]!r}. {_remedy(host)}. Without "
        "isolation the hive runs only when it is told to: --containers process"
    )


def _remedy(host: Path) -> str:
    for name, refused, remedy in _SETTINGS:
        if os.geteuid() == 0 and name.startswith("kernel/"):
            continue  # these bind only others
        try:
            value = (host / "proc/sys" / name).read_text("ascii").strip()
        except OSError:
            continue
        if value == refused:
            return remedy
    if any((host / name).exists() for name in (".dockerenv", "run/.containerenv")):
        return _NESTED
    return "See whether this kernel allows user namespaces: unshare --user true"


def weaknesses(features: Features, limits: bool) -> tuple[str, ...]:
    """A sentence for each thing in which this isolation is weaker than it could be.

    :param limits: whether limits are kept.
    """
    sentences = [
        "Agents share the host's network: they reach what listens on its loopback "
        "addresses and abstract sockets.",
        "An agent's disk space is not limited."
        if limits
        else "An agent's memory, processors, processes and disk space are not limited; all "
        "but the last could be, if the hive ran as a service of systemd's with "
        "Delegate=yes.",
        "System calls are not filtered: a hole in the kernel is within an agent's reach.",
    ]
    if os.geteuid() == 0:
        sentences.append(
            "The hive runs as root, so agents are the host's uid 0, without any "
            "capability: what only root may read under /usr they can read. A user of its "
            "own for the hive is one more barrier."
        )
    if not features.disable_userns:
        sentences.append(
            "Agents can make user namespaces of their own, which brings more of the "
            "kernel within their reach; bubblewrap 0.8 can forbid it on most hosts."
        )
    if not features.size:
        sentences.append(
            "An agent can fill half of the memory with files in /tmp; bubblewrap 0.8 can "
            "bound it."
        )
    return tuple(sentences)
