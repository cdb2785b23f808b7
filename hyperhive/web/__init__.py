"""The dashboard and the agents' pages: authenticate, decode, call one method, encode.

:class:`WebService` is the whole surface; :class:`WebContext` is what it is given.
"""

from hyperhive.web.context import Facts, WebContext
from hyperhive.web.notices import Notices
from hyperhive.web.service import WebService

__all__ = ["Facts", "Notices", "WebContext", "WebService"]
