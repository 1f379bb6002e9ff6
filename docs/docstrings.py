"""Docstrings say ``name : what it is``; the reader of numpy's style expects a type behind the colon."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

SECTION = re.compile(r"^(Parameters|Attributes|Returns|Raises)\n-+\n(?:.*\n?)*?(?=^\w[\w ]*\n-+\n|\Z)", re.M)
ENTRY = re.compile(r"^(\S[^:\n]*?) : (.*)$", re.M)


class Described(Extension):
    """Put what is said of a name on a line of its own; its type comes from the signature."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring:
            obj.docstring.value = SECTION.sub(
                lambda section: ENTRY.sub(r"\1\n    \2", section.group()), obj.docstring.value
            )
