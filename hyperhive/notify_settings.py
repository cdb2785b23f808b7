"""What can be set about notifications: the table ``[notify]`` of ``hive.toml``.

These settings are no flags: half of them are secrets, which a process list would show.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import field, frozen

#: What can be told, and is unless ``kinds`` says otherwise.
KINDS = ("approval", "question", "login", "dead", "crash")
#: How long a decision link is good (seconds).
LINK_TTL = 3600.0
#: The shortest key that signs what is posted to a webhook (characters).
MIN_SECRET = 16
#: The longest file that a secret is read from (bytes).
MAX_SECRET_FILE = 4096

_TOPIC = re.compile(r"[-_A-Za-z0-9]{1,64}")
_HOST = re.compile(r"[A-Za-z0-9.:_\[\]-]+")


class WrongSetting(Exception):
    """A wrong key: which one, and a sentence's end that says what is allowed.

    What was found is never told: it may be a secret.
    """

    def __init__(self, path: tuple[str, ...], problem: str) -> None:
        super().__init__(f"{'.'.join(path)} {problem}")
        self.path = path


@frozen
class NtfyTarget:
    """Where ntfy is, and the topic that phones subscribe to.

    :param token: an access token, for topics that are protected.
    """

    url: str = field(repr=False)
    topic: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@frozen
class WebhookTarget:
    """Whom to post to, and the key that signs it."""

    url: str = field(repr=False)
    secret: str = field(repr=False)


@frozen
class NotifySettings:
    """What is told of outside the house, and to whom. Without a target: nothing.

    :param kinds: which of :data:`KINDS`.
    :param mute: tell nothing for now.
    :param public_url: how a phone reaches the dashboard, with a slash at its end.
    :param links: add one-time links to decide by.
    :param link_ttl: how long such a link is good (seconds).
    """

    kinds: frozenset[str] = frozenset(KINDS)
    mute: bool = False
    public_url: str | None = None
    links: bool = False
    link_ttl: float = LINK_TTL
    ntfy: NtfyTarget | None = None
    webhook: WebhookTarget | None = None

    @property
    def public_name(self) -> str | None:
        """The host name in :attr:`public_url`."""
        return urlsplit(self.public_url or "").hostname

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets that are set."""
        both = (("ntfy", self.ntfy), ("webhook", self.webhook))
        return tuple(name for name, target in both if target is not None)


_Path = tuple[str, ...]
_Reader = Callable[[_Path, Any], Any]


def read_notify(table: Any) -> NotifySettings:
    """Make the settings of what a TOML file says under ``notify``.

    :raises WrongSetting: for the first wrong key.
    """
    values = _members(("notify",), table, _KEYS)
    if values.get("links") and not values.get("public_url"):
        raise WrongSetting(
            ("notify", "links"),
            "needs notify.public-url, the address at which a phone reaches the dashboard",
        )
    return NotifySettings(**values)


def _members(path: _Path, table: Any, readers: Mapping[str, _Reader]) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise WrongSetting(path, "must be a table")
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in readers:
            allowed = ", ".join(sorted(readers))
            raise WrongSetting((*path, key), f"is not a setting; allowed are {allowed}")
        values[key.replace("-", "_")] = readers[key]((*path, key), value)
    return values


def _flag(path: _Path, value: Any) -> bool:
    if not isinstance(value, bool):
        raise WrongSetting(path, "must be true or false")
    return value


def _kinds(path: _Path, value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not all(one in KINDS for one in value):
        raise WrongSetting(path, f"must be a list of {', '.join(KINDS)}")
    return frozenset(value)


def _seconds(path: _Path, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 60 <= value <= 86400:
        raise WrongSetting(path, "must be a number of seconds from 60 to 86400")
    return float(value)


def _secret(path: _Path, value: Any) -> str:
    """A text, or what is in the file of a table ``{ file = "…" }``."""
    if isinstance(value, dict) and set(value) == {"file"}:
        value = _from_file((*path, "file"), value["file"])
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise WrongSetting(path, "must be a text of one line, or { file = PATH }")
    return value.strip()


def _from_file(path: _Path, name: Any) -> str:
    if not isinstance(name, str) or not name or "\0" in name:
        raise WrongSetting(path, "must be the path of a file")
    try:
        with Path(name).expanduser().open("rb") as file:
            content = file.read(MAX_SECRET_FILE + 1)
        text = content.decode()
    except OSError as error:
        raise WrongSetting(path, f"can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WrongSetting(path, "names a file that is no text") from None
    if len(content) > MAX_SECRET_FILE:
        raise WrongSetting(path, f"names a file of over {MAX_SECRET_FILE} bytes")
    return text.strip()


def _url(path: _Path, value: Any) -> str:
    text = _secret(path, value)
    if not _is_web(text):
        raise WrongSetting(path, "must be an address such as https://ntfy.sh")
    return text


def _origin(path: _Path, value: Any) -> str:
    allowed = "must be an address without a path, such as https://hive.example.org"
    if not isinstance(value, str) or not _is_web(value):
        raise WrongSetting(path, allowed)
    parts = urlsplit(value)
    if "@" in parts.netloc or parts.path not in ("", "/"):
        raise WrongSetting(path, allowed)
    if parts.query or parts.fragment:
        raise WrongSetting(path, allowed)
    return f"{parts.scheme}://{parts.netloc.lower()}/"


def _is_web(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and host is not None
        and _HOST.fullmatch(host) is not None
        and text.isascii()
        and " " not in text
    )


def _topic(path: _Path, value: Any) -> str:
    text = _secret(path, value)
    if not _TOPIC.fullmatch(text):
        raise WrongSetting(path, "must be 1 to 64 letters, digits, '-' and '_'")
    return text


def _key(path: _Path, value: Any) -> str:
    text = _secret(path, value)
    if len(text) < MIN_SECRET:
        raise WrongSetting(path, f"must have at least {MIN_SECRET} characters")
    return text


def _ntfy(path: _Path, value: Any) -> NtfyTarget:
    values = _members(path, value, {"url": _url, "topic": _topic, "token": _secret})
    if "topic" not in values:
        raise WrongSetting(path, "needs a topic")
    return NtfyTarget(**{"url": "https://ntfy.sh", **values})


def _webhook(path: _Path, value: Any) -> WebhookTarget:
    values = _members(path, value, {"url": _url, "secret": _key})
    for name in ("url", "secret"):
        if name not in values:
            raise WrongSetting(path, f"needs a {name}")
    return WebhookTarget(**values)


_KEYS: Mapping[str, _Reader] = {
    "kinds": _kinds,
    "mute": _flag,
    "public-url": _origin,
    "links": _flag,
    "link-ttl": _seconds,
    "ntfy": _ntfy,
    "webhook": _webhook,
}
