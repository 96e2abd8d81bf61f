"""From a tree to frozen dataclasses, with everything wrong said at once.

A shape is a frozen dataclass whose fields are declared with `key`, `section` and `rest`; a field's
name with dashes is its key in the file, its default is what null or absence means, and the docstring
below it is what an editor shows. Reading goes on after a mistake, with the default in its place, so
that every problem is found; the caller must not use the result when there were any.

Why not msgspec, which reads every JSON document: it stops at the first fault, and says what is
wrong where an operator needs to hear what to write. pydantic finds them all, but takes a quarter of
a second to import and to build these few models: the time that `eco run` has to get etcd started.
"""

from __future__ import annotations

from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from eco.config.kinds import Wrong
from eco.config.tree import Plain, below, shown
from eco.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from dataclasses import Field

    from eco.config.kinds import Kind

T = TypeVar("T")


def key(kind: Kind[T], default: T, *, also: str = "") -> T:
    """A key of this kind. `also` is a second name under which it is accepted."""
    return field(default=default, metadata={"kind": kind, "also": also})


def table(kind: Kind[T]) -> T:
    """A key whose value is a mapping of this kind, empty by default."""
    return field(default_factory=dict, metadata={"kind": kind})  # type: ignore[return-value]  # a table's T is a mapping


def section(shape: type[T]) -> T:
    """A mapping with keys of its own."""
    return field(default_factory=shape, metadata={"shape": shape})


def rest() -> Mapping[str, Plain]:
    """Every key that the shape does not name, unread: a plug-in's own."""
    return field(default_factory=dict, metadata={"rest": True})


def name(of: Field[Any]) -> str:
    """The key that a field stands under in the file."""
    return of.name.replace("_", "-")


def keys(shape: type[Any], at: str) -> Iterator[tuple[str, Field[Any]]]:
    """The path and field of every key below a shape, sections included, in the order of the file."""
    for each in _named(shape):
        yield below(at, name(each)), each
        if "shape" in each.metadata:
            yield from keys(each.metadata["shape"], below(at, name(each)))


class Reader:
    """Reads one file, whose outermost shape is `root`, and collects its `problems`.

    `retired` says of keys that older files have, by path, what to do about them.
    """

    def __init__(self, root: type[Any], retired: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self._root = root
        self._retired = retired

    def read(self, shape: type[T], tree: Plain, at: str) -> T:
        """The mapping at path `at` as a `shape`."""
        if tree is None:
            return shape()
        if not isinstance(tree, dict):
            self.problems.append(Problem(at, shown(tree), "is not a mapping; write its keys below it, indented"))
            return shape()
        values: dict[str, Any] = {}
        unread = dict(tree)
        for each in _named(shape):
            for written in (name(each), each.metadata.get("also")):
                if written is not None and (value := unread.pop(written, None)) is not None:
                    self._take(each, value, below(at, written), values)
        if spare := _spare(shape):
            values[spare.name] = unread
        else:
            self.problems += [Problem(below(at, key), "", self._advice(key, at, shape)) for key in unread]
        return shape(**values)

    def _take(self, of: Field[Any], value: Plain, at: str, values: dict[str, Any]) -> None:
        if of.name in values:
            self.problems.append(
                Problem(at, shown(value), f"is another name of {name(of)}, which is given, too; keep one")
            )
        elif "shape" in of.metadata:
            values[of.name] = self.read(of.metadata["shape"], value, at)
        else:
            try:
                values[of.name] = of.metadata["kind"].read(value, at)
            except Wrong as wrong:
                self.problems += wrong.problems

    def _advice(self, written: str, at: str, shape: type[Any]) -> str:
        """What a key that is not known here was meant to be."""
        if reason := self._retired.get(below(at, written)):
            return reason
        homes = [path for path, _ in keys(self._root, "") if path.endswith(f".{written}")]
        if homes:
            return f"is not known here; it stands at {' or '.join(homes)}"
        from difflib import get_close_matches  # noqa: PLC0415 — only wrong files pay for it

        close = get_close_matches(written.replace("_", "-"), [name(each) for each in _named(shape)], n=1)
        return f"is not known; did you mean {close[0]}?" if close else "is not known; remove it"


def _named(shape: type[Any]) -> Iterator[Field[Any]]:
    return (each for each in fields(shape) if "rest" not in each.metadata)


def _spare(shape: type[Any]) -> Field[Any] | None:
    return next((each for each in fields(shape) if "rest" in each.metadata), None)
