"""What a NixOS container's configuration says: its ``.conf`` and its drop-in. Pure but for one write.

The ``.conf`` is an EnvironmentFile of systemd. Its ``EXTRA_NSPAWN_FLAGS`` are expanded
by a shell without quotes, so that only plain paths can be put there.
"""

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

from hyperhive.containers.interfaces import (
    Bind,
    ContainerSpec,
    DriverError,
    InvalidSpec,
    Limits,
)
from hyperhive.containers.specs import check_spec, lies_in

#: The line by which a container is ours: whose it is, and what it is to be.
MARK = "HYPERHIVE"

#: Lines that would give a container a network of its own, and the one that would have
#: something else built than what was deployed.
CLEARED = frozenset(
    {
        "FLAKE",
        "HOST_ADDRESS",
        "HOST_ADDRESS6",
        "HOST_BRIDGE",
        "HOST_PORT",
        "INTERFACES",
        "LOCAL_ADDRESS",
        "LOCAL_ADDRESS6",
        "LOCAL_MAC_ADDRESS",
        "MACVLANS",
        "NETWORK_NAMESPACE_PATH",
        "PRIVATE_NETWORK",
    }
)

#: What every container gets of the host by its unit and is not to have. As the host's
#: uid 0 an agent would be a trusted user of the nix daemon, which is as good as root;
#: and root's nix-env follows what lies in the folders of profiles and roots.
WITHHELD = (
    "--inaccessible=/nix/var/nix/daemon-socket",
    "--tmpfs=/nix/var/nix/profiles:mode=0755,size=16M",
    "--tmpfs=/nix/var/nix/gcroots:mode=0755,size=16M",
)

#: What the start of a container's unit, as the host's root, makes and changes in the
#: root of an agent who is root there, and follows symlinks.
WRITTEN = (
    *("etc", "etc/machine-id", "root", "usr", "usr/bin"),
    *("var", "var/lib", "var/lib/private"),
)

#: Folders that NixOS and systemd make inside; nothing is bound there or below.
SYSTEM = (
    "/nix",
    "/init",
    "/run/current-system",
    "/run/dbus",
    "/run/host",
    "/run/systemd",
)

#: A path that a shell's expansion, nspawn and systemd all leave as it is.
_PLAIN = re.compile(r"/[A-Za-z0-9/._+@=,-]*")
_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


def check(spec: ContainerSpec) -> ContainerSpec:
    """Answer ``spec`` with canonical paths if a NixOS container can be made of it.

    :raises InvalidSpec: with what is wrong.
    """
    spec = check_spec(spec)
    for bind in spec.binds:
        for path in (str(bind.source), bind.destination):
            if not _PLAIN.fullmatch(path):
                raise InvalidSpec(
                    f"{path!r} can't be bound into a NixOS container: use a path of only "
                    "letters, digits and / . _ + @ = , -"
                )
        if any(lies_in(bind.destination, folder) for folder in SYSTEM):
            raise InvalidSpec(
                f"Nothing can be bound to {bind.destination}: it is the system's."
            )
    if spec.system is None:
        raise InvalidSpec(
            f"{spec.name} has no system to run: a NixOS container runs one that was built "
            "from its agent's configuration."
        )
    if not _PLAIN.fullmatch(str(spec.system)) or not os.access(
        spec.system / "init", os.X_OK
    ):
        raise InvalidSpec(f"{spec.system} is not a system that was built.")
    return spec


def render(before: str, spec: ContainerSpec, owner: str) -> str:
    """The text of a ``.conf``.

    :param before: the text that is there; what it says of other things stays.
    :param spec: a checked one.
    :param owner: whose container it is.
    """
    ours = {
        # It comes before the profile, which an agent could change.
        "SYSTEM_PATH": str(spec.system),
        "AUTO_START": "0",
        "COPY_RESOLV_CONF": "1",
        "EXTRA_NSPAWN_FLAGS": f'"{" ".join(_flags(spec))}"',
        MARK: _marked(spec, owner),
    }
    kept = [
        line
        for key, line in _lines(before)
        if key is None or (key not in CLEARED and key not in ours)
    ]
    return "".join(f"{line}\n" for line in (*kept, *map("=".join, ours.items())))


def parse(text: str) -> tuple[str, ContainerSpec] | None:
    """Whose container a ``.conf`` describes, and what it is to be; none if it isn't a hive's."""
    for key, line in _lines(text):
        if key == MARK:
            try:
                return _unmarked(line.removeprefix(f"{MARK}="))
            except (ValueError, KeyError, TypeError):
                return None
    return None


def drop_in(limits: Limits, roots: Path) -> str:
    """The text of the drop-in of a container's unit.

    It keeps the limits. And it keeps the unit from being started, by whomever, while a
    symlink of the agent's would have its start, as root, write to the host.

    :param roots: the folder of the containers' roots.
    """
    check = (
        f'for name in {" ".join(WRITTEN)}; do if [ -L "{roots}/%i/$$name" ]; then '
        'echo "not started: /$$name has become a symlink, which would lead out of the '
        'container" >&2; exit 1; fi; done'
    )
    lines = ["[Service]", f"ExecStartPre=/bin/sh -c '{check}'"]
    if limits.memory is not None:
        lines.append(f"MemoryMax={limits.memory}")
    if limits.cpu is not None:
        lines.append(f"CPUQuota={max(1, round(limits.cpu * 100))}%")
    if limits.tasks is not None:
        lines.append(f"TasksMax={limits.tasks}")
    return "".join(f"{line}\n" for line in lines)


def replace_file(file: Path, text: str) -> None:
    """Write a file of the host's so that it is there with all of its text, or as before.

    :raises DriverError: if it can't be written.
    """
    draft = file.with_name(f".{file.stem}.hyperhive-new")
    try:
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as opened:
            os.fchmod(opened.fileno(), 0o644)
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(draft, file)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise DriverError(f"{file} can't be written: {error.strerror}.") from None


def _flags(spec: ContainerSpec) -> Iterator[str]:
    for bind in spec.binds:
        option = "--bind" if bind.writable else "--bind-ro"
        yield f"{option}={bind.source}:{bind.destination}"
    yield from WITHHELD


def _lines(text: str) -> Iterator[tuple[str | None, str]]:
    """Each line with the variable that it sets; the end of a quoted value that goes on is a line too."""
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        yield (match[1] if match else None), line


def _marked(spec: ContainerSpec, owner: str) -> str:
    """One line without a single quote, in single quotes, which systemd takes literally."""
    text = json.dumps(
        {
            "owner": owner,
            "name": spec.name,
            "system": str(spec.system),
            "binds": [
                {**attrs.asdict(bind), "source": str(bind.source)}
                for bind in spec.binds
            ],
            "limits": attrs.asdict(spec.limits),
        }
    )
    return "'" + text.replace("'", r"\u0027") + "'"


def _unmarked(value: str) -> tuple[str, ContainerSpec]:
    """The reverse of :func:`_marked`.

    :raises ValueError, KeyError, TypeError: if it is not one of ours.
    """
    fields = json.loads(value.strip().removeprefix("'").removesuffix("'"))
    binds = tuple(
        Bind(Path(bind["source"]), bind["destination"], bind["writable"])
        for bind in fields["binds"]
    )
    return fields["owner"], ContainerSpec(
        fields["name"], binds, Path(fields["system"]), Limits(**fields["limits"])
    )
