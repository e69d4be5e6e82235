"""Render pages from the templates in this folder: all values are escaped, and nothing is loaded from elsewhere.

A page is one file. Its Content-Security-Policy allows no request, and no script but the one of this package, which
sorts tables and filters samples; without scripts everything is there to be read.
"""

import base64
import functools
import hashlib
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from oilwater_jax.errors import plain
from oilwater_jax.reporting import charts

SCRIPT = "script.js"


def shown(value: Any) -> Any:
    """A value as a page can hold it: no control characters, nothing that turns the direction of writing."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\n".join(map(plain, value.split("\n")))


@functools.cache
def environment() -> Environment:
    """The templates. A name that a template uses and is not given raises."""
    found = Environment(
        loader=PackageLoader("oilwater_jax.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = found.get_template(SCRIPT).render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    found.globals |= {"script_digest": digest, "marks": charts.MARKS}
    return found


def render(template: str, **values: Any) -> str:
    """The text of a page."""
    return environment().get_template(template).render(**values) + "\n"
