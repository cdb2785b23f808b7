"""Static files from memory, under a path that changes with their content.

A browser may keep such a file for ever, and what a file's time says (1970 in a
Nix store) does not matter. Modules import one another by relative paths, so one
digest over all of them stands in the path of each. They are compressed once, at the
start.
"""

import gzip
import hashlib
import mimetypes
from http import HTTPStatus
from importlib.resources import files

from attrs import frozen
from twisted.web.http import CACHED
from twisted.web.resource import Resource
from twisted.web.server import Request

from hyperhive.web.answers import answer_error, sized
from hyperhive.web.encoding import SHORTEST, takes_gzip

_TEXTS = {
    "text/css",
    "text/javascript",
    "application/javascript",
    "image/svg+xml",
}


@frozen
class _Asset:
    kind: str
    body: bytes
    packed: bytes | None
    """The body in gzip; ``None`` if it would not get shorter."""


class Assets(Resource):
    """Serves what lies in a package's folder ``static``, read once.

    :param package: the package's name.
    """

    isLeaf = True

    def __init__(self, package: str) -> None:
        super().__init__()
        self._assets = {
            file.name: _asset(file.name, file.read_bytes())
            for file in files(package).joinpath("static").iterdir()
            if file.is_file() and not file.name.startswith(".")
        }
        digest = hashlib.sha256()
        for name, asset in sorted(self._assets.items()):
            digest.update(f"{name}\0{len(asset.body)}\0".encode() + asset.body)
        self.digest = digest.hexdigest()[:16]

    def url(self, name: str) -> str:
        """The path of a file.

        :raises KeyError: if there is no such file.
        """
        self._assets[name]
        return f"/static/{self.digest}/{name}"

    def render(self, request: Request) -> bytes:
        """Answer one file; what it was in another version is not here."""
        path = [part.decode("utf-8", "replace") for part in request.postpath or ()]
        asset = None
        if len(path) == 2 and path[0] == self.digest:
            asset = self._assets.get(path[1])
        if asset is None:
            return answer_error(
                request, HTTPStatus.NOT_FOUND, "There is no such file in this version."
            )
        request.setHeader("content-type", asset.kind)
        request.setHeader("cache-control", "public, max-age=31536000, immutable")
        request.setHeader("vary", "accept-encoding")
        packed = asset.packed if takes_gzip(request) else None
        if packed is not None:
            request.setHeader("content-encoding", "gzip")
        # One tag for each spelling: a cache must not take one for the other.
        tag = f'"{self.digest}{"" if packed is None else "-gzip"}"'
        if request.setETag(tag.encode()) is CACHED:
            return b""
        return sized(request, asset.body if packed is None else packed)


def _asset(name: str, body: bytes) -> _Asset:
    packed = gzip.compress(body, mtime=0) if len(body) >= SHORTEST else body
    return _Asset(_kind(name), body, packed if len(packed) < len(body) else None)


def _kind(name: str) -> str:
    kind, _ = mimetypes.guess_type(name)
    kind = kind or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind in _TEXTS else kind
