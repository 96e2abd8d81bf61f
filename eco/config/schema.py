"""The configuration as JSON schema, for editors: completion, hover texts, red underlines.

Made from the same shapes that read the file: kinds give the form, the docstring below each field
the description, the field its default.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import MISSING, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from eco.config.model import Whole
from eco.config.reading import name

if TYPE_CHECKING:
    from dataclasses import Field

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, object]:
    """The JSON schema of a whole file."""
    return {"$schema": DIALECT, "title": "eco.yaml", **_object(Whole), "required": ["eco"]}


def _object(shape: type[Any]) -> dict[str, object]:
    texts = docstrings(shape)
    properties: dict[str, object] = {}
    is_open = False
    for each in fields(shape):
        if "rest" in each.metadata:
            is_open = True
            continue
        described = {"description": texts[each.name], **_value(each)}
        properties[name(each)] = described
        if also := each.metadata.get("also"):
            properties[also] = described
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": is_open}


def _value(of: Field[Any]) -> dict[str, object]:
    if "shape" in of.metadata:
        return _object(of.metadata["shape"])
    kind = of.metadata["kind"]
    default = {} if of.default is MISSING else kind.write(of.default)
    return {"default": default, "anyOf": [kind.schema(), {"type": "null"}]}


def docstrings(shape: type[Any]) -> dict[str, str]:
    """The docstring below each field of a dataclass and its bases, on one line."""
    texts: dict[str, str] = {}
    for base in reversed(shape.__mro__[:-1]):
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        statements = body.body if isinstance(body, ast.ClassDef) else []
        for declared, below in pairwise(statements):
            match declared, below:
                case ast.AnnAssign(target=ast.Name(id=field)), ast.Expr(value=ast.Constant(value=str(text))):
                    texts[field] = " ".join(text.split())
                case _:
                    pass
    return texts
