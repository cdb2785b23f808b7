"""The pages' HTML, rendered by jinja2 from this package's folder ``templates``."""

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hyperhive.bus import encode


class Templates:
    """Renders pages; everything that is put into one is escaped.

    :param asset: answers the URL of a static file.
    """

    def __init__(self, asset: Callable[[str], str]) -> None:
        self._environment = Environment(
            loader=PackageLoader("hyperhive.web"),
            autoescape=True,
            auto_reload=False,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["asset"] = asset
        self._environment.filters["json"] = lambda value: encode(value).decode()

    def render(self, name: str, **values: Any) -> bytes:
        """Render the template ``name`` to UTF-8."""
        return self._environment.get_template(name).render(values).encode()
