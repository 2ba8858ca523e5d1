"""Extension of griffe that shows the roles of Sphinx in docstrings, such as ``:meth:`predict```, as code."""

import re
from typing import Any

import griffe


class Roles(griffe.Extension):
    """Replace each role in a docstring by its text."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object that griffe has read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r":(?:meth|class|func|data|attr|mod):`~?([^`]*)`", r"`\1`", obj.docstring.value
            )
