"""The conformance suite: what every part must hold, run over the shipped ones and open to a user's own.

from muscle.testing import check_part
def test_my_task():
    check_part(MyTask(data="pool"))
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from muscle.errors import UsageError
from muscle.parts import Part, known, member
from muscle.yaml_text import from_yaml

P = TypeVar("P", bound=Part)
Place = tuple[str | int, ...]

_MISSPELT = "misspelt_field"


def check_part(part: Part) -> None:
    """Puts one part through everything that a recipe, a key and a YAML file rely on.

    * value -> YAML -> value -> YAML gives an equal value, the same key and the same bytes;
    * every leaf, however deep, enters the key;
    * a misspelt field is answered with the known ones, at every depth;
    * a number of the wrong type, and one that is not finite, is refused;
    * ``kind`` is the name of the file where the family's home is a package.

    Args:
        part: a value with its required fields given.

    Raises:
        AssertionError: the first of these that does not hold, with the field.
    """
    _check_name(type(part))
    _check_round_trip(part)
    for path, value, annotation in _leaves(part, ()):
        _check_counts(part, path, value, annotation)
        _check_strict(part, path, value)
    for path, inner in _parts(part, ()):
        _check_misspelt(part, path, inner)
        _check_kind_counts(part, path, inner)


def example(cls: type[P]) -> P:
    """A value of a part class: its defaults, and for required fields the simplest value of their type.

    Raises:
        UsageError: the class has a required field for which no simple value is valid.
    """
    return cls.parse(_required(cls))


def family(cls: type[Part]) -> type[Part] | None:
    """The root of the family that a part class belongs to: the one that names its ``home``; None without one."""
    return next((c for c in cls.__mro__ if issubclass(c, Part) and "home" in c.__dict__), None)


# --- the checks -----------------------------------------------------------------------------------------------


def _check_name(cls: type[Part]) -> None:
    root = family(cls)
    if root is None:
        return
    assert cls.kind and "kind" in cls.__dict__, (
        f"{cls.__name__} is of the family {root.__name__}: it must set `kind`"
    )
    assert cls.kind in known(root), f"{cls.__name__}: kind {cls.kind!r} is not among {', '.join(known(root))}"
    module = cls.__module__
    if module.startswith(f"{root.home}."):
        stem = module.removeprefix(f"{root.home}.")
        assert stem == cls.kind, (
            f"{cls.__name__}: kind {cls.kind!r} is defined in {stem}.py; it must be {cls.kind}.py"
        )


def _check_round_trip(part: Part) -> None:
    text = part.yaml()
    back = _read(part, from_yaml(text))
    assert back == part, f"{_name(part)}: YAML reads back as another value:\n{text}\n{back!r}"
    assert back.yaml() == text, (
        f"{_name(part)}: reading and writing the YAML changes it:\n{text}\n{back.yaml()}"
    )
    assert back.key() == part.key(), f"{_name(part)}: the key is another one after YAML"


def _check_counts(part: Part, path: Place, value: Any, annotation: Any) -> None:
    for other in _others(value, annotation):
        try:
            changed = _read(part, _assigned(part.dump(), path, other))
        except UsageError:
            continue  # out of range, or at odds with another field
        if changed.dump() == part.dump():
            continue
        assert changed.key() != part.key(), (
            f"{_name(part)}: {_dotted(path)}={other!r} does not change the key"
        )
        return
    inner, below = _inner(part, path)
    # Where the part around it allows one value only, what matters is whether the field counts by itself.
    if inner is not part:
        _check_counts(inner, below, value, annotation)
        return
    raise AssertionError(
        f"{_name(part)}: no other valid value was found for {_dotted(path)} (given {value!r}); a leaf that can have "
        "one value only is a constant, not a field; or give check_part a value from which this one can be changed alone"
    )


def _check_kind_counts(part: Part, path: Place, inner: Part) -> None:
    """Another member of the same family in the same field is another key."""
    root = family(type(inner))
    if root is None or not path:
        return
    for kind in known(root):
        if kind == inner.kind:
            continue
        try:
            other = {"kind": kind, **_required(member(root, kind))}
            changed = _read(part, _assigned(part.dump(), path, other))
        except UsageError:
            continue  # does not fit in here
        assert changed.key() != part.key(), (
            f"{_name(part)}: {_dotted(path)}.kind={kind} does not change the key"
        )


def _check_strict(part: Part, path: Place, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    for wrong in (str(value), float("nan"), float("inf")):
        try:
            _read(part, _assigned(part.dump(), path, wrong))
        except UsageError:
            continue
        raise AssertionError(
            f"{_name(part)}: {_dotted(path)}={wrong!r} is taken; allowed: finite numbers, not strings"
        )


def _check_misspelt(part: Part, path: Place, inner: Part) -> None:
    try:
        _read(part, _assigned(part.dump(), (*path, _MISSPELT), 1))
    except UsageError as error:
        message = str(error)
        assert _MISSPELT in message, f"{_name(part)}: the error does not name the misspelt field: {message}"
        for name in type(inner).model_fields:
            assert name in message, f"{_name(part)}: the error does not list the field {name!r}: {message}"
        assert "\n" not in message, f"{_name(part)}: the error is longer than one line: {message}"
        return
    raise AssertionError(
        f"{_name(part)}: a misspelt field at {_dotted(path) or 'the top'} is taken without a word"
    )


def _read(part: Part, data: dict[str, Any]) -> Part:
    """Plain data as the part that it says it is, as a recipe's field would read it."""
    fields = dict(data)
    kind = fields.pop("kind", "")
    if kind != part.kind:
        raise UsageError(f"kind {kind!r}; allowed: {part.kind!r}")
    return type(part).parse(fields)


# --- walking --------------------------------------------------------------------------------------------------


def _leaves(value: Any, path: Place, annotation: Any = None) -> Iterator[tuple[Place, Any, Any]]:
    """Everything in a part that is not itself a container with something in it: (path, value, type)."""
    if isinstance(value, Part):
        for name, field in type(value).model_fields.items():
            yield from _leaves(getattr(value, name), (*path, name), field.annotation)
    elif isinstance(value, tuple) and value:
        inner = [
            a for option in _options(annotation) if get_origin(option) is tuple for a in get_args(option)
        ]
        for i, element in enumerate(value):
            yield from _leaves(element, (*path, i), Union[tuple(inner)] if inner else Any)  # noqa: UP007
    elif isinstance(value, dict) and value:
        inner = [get_args(option)[1] for option in _options(annotation) if get_origin(option) is dict]
        for key, element in value.items():
            yield from _leaves(element, (*path, str(key)), Union[tuple(inner)] if inner else Any)  # noqa: UP007
    else:
        yield path, value, annotation


def _parts(value: Any, path: Place) -> Iterator[tuple[Place, Part]]:
    """The part itself and every part inside it."""
    if isinstance(value, Part):
        yield path, value
        for name in type(value).model_fields:
            yield from _parts(getattr(value, name), (*path, name))
    elif isinstance(value, tuple):
        for i, element in enumerate(value):
            yield from _parts(element, (*path, i))
    elif isinstance(value, dict):
        for key, element in value.items():
            yield from _parts(element, (*path, str(key)))


def _inner(part: Part, path: Place) -> tuple[Part, Place]:
    """The innermost part that holds a place, and the place in it."""
    return next(
        (inner, path[len(at) :]) for at, inner in reversed([*_parts(part, ())]) if path[: len(at)] == at
    )


def _options(annotation: Any) -> list[Any]:
    """The members of a union, or the type alone; what ``Annotated`` adds is left to the validation."""
    if get_origin(annotation) is Annotated:
        return _options(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [o for member in get_args(annotation) for o in _options(member)]
    return [annotation]


def _others(value: Any, annotation: Any) -> Iterator[Any]:
    """Plain values to put in a leaf's place, likely ones first; not all of them are valid there."""
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, value - 1, value * 2, value // 2, 1, 2)
        case float():
            yield from (value * 0.5, value * 1.5, value + 0.25, value - 0.25, value + 1, 0.25, 0.5)
        case str():
            yield from (
                o
                for option in _options(annotation)
                if get_origin(option) is Literal
                for o in get_args(option)
            )
            yield from (value + "x", value + "-2", "(x)")  # the last for patterns that want a group
    yield from _simplest(annotation)
    if type(None) in _options(annotation):
        yield None


def _simplest(annotation: Any) -> Iterator[Any]:
    """Plain values of a type, most likely valid first."""
    for option in _options(annotation):
        origin, inner = get_origin(option), get_args(option)
        if origin is Literal:
            yield from inner
        elif origin is tuple and inner and inner[-1] is Ellipsis:
            yield from ([v] for v in _simplest(inner[0]))
            yield from ([v, w] for v in _simplest(inner[0]) for w in _simplest(inner[0]))
            yield from ([v] * length for v in _simplest(inner[0]) for length in range(3, 9))
        elif origin is tuple:
            yield from ([*values] for values in zip(*(tuple(_simplest(i)) for i in inner), strict=False))
        elif origin is dict:
            yield from ({"x": v} for v in _simplest(inner[1]))
        elif isinstance(option, type) and issubclass(option, Part):
            if family(option) is option:
                yield from ({"kind": kind, **_required(member(option, kind))} for kind in known(option))
            else:
                yield _required(option)
        elif option in _SIMPLE:
            yield from _SIMPLE[option]


def _required(cls: type[Part]) -> dict[str, Any]:
    """The first simple value for each field without a default."""
    return {n: next(_simplest(f.annotation), None) for n, f in cls.model_fields.items() if f.is_required()}


_SIMPLE: dict[Any, tuple[Any, ...]] = {
    bool: (True, False),
    int: (1, 2, 16, 64),
    float: (0.5, 0.25, 1.0, 2.0),
    str: ("x", "y"),
}


def _assigned(data: Any, path: Place, value: Any) -> Any:
    """A copy of plain data with one place changed."""
    if not path:
        return value
    step = path[0]
    if isinstance(data, list):
        return [_assigned(v, path[1:], value) if i == step else v for i, v in enumerate(data)]
    return data | {step: _assigned(data.get(step), path[1:], value)}


def _dotted(path: Place) -> str:
    return ".".join(str(step) for step in path)


def _name(part: Part) -> str:
    return part.kind or type(part).__name__
