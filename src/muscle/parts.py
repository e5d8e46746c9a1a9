"""Parts: values that are their own configuration.

A part is a frozen, strict pydantic model. It goes to YAML and back without loss, is changed only through
``with_`` (which validates again), and hashes to a key in which every leaf counts. A *family* is a set of parts
that can stand in one field; which one stands there is said by ``kind``. The family's root names its ``home``: a
package, in which ``kind: moco`` means the file ``moco.py``, or a module that defines them all.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import pkgutil
import sys
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from muscle.errors import UsageError, among
from muscle.yaml_text import TOO_DEEP, from_yaml, to_yaml

P = TypeVar("P", bound="Part")

_PLUGINS: dict[str, str] = {}  # module name of a loaded plug-in -> SHA-256 of its file


class Part(BaseModel):
    """A value that configures and builds something.

    Subclasses declare fields only; a concrete member of a family also declares ``kind``. ``revision`` is raised
    when the same fields come to mean other numbers, so that old checkpoints are no longer found.

    Raises:
        UsageError: from ``parse``, ``with_`` and ``override``, naming every wrong field and the known ones.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    home: ClassVar[str]
    kind: ClassVar[str] = ""
    revision: ClassVar[int] = 1

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if "home" not in cls.__dict__:
            return handler(source)
        return core_schema.no_info_plain_validator_function(cls._member)

    @classmethod
    def _member(cls, value: Any) -> Part:
        """A value of this family from a part, or from a mapping with ``kind``."""
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            value = {"kind": value}
        if not isinstance(value, dict):
            raise ValueError(
                f"given {value!r}; allowed: a mapping with 'kind', one of {', '.join(known(cls))}"
            )
        fields = dict(value)
        kind = fields.pop("kind", None)
        if not isinstance(kind, str):
            raise ValueError(f"'kind' is missing; allowed: {', '.join(known(cls))}")
        found = member(cls, kind)
        try:
            return found.model_validate(fields)
        except ValidationError as error:
            raise ValueError(_explain(found, error)) from None

    @classmethod
    def parse(cls, data: Any) -> Self:
        """A part from plain data (lists count as tuples).

        Raises:
            UsageError: every mistake at once, each with the known fields or kinds.
        """
        try:
            return cls.model_validate(_tuples(data))
        except ValidationError as error:
            raise UsageError(_explain(cls, error)) from None
        except RecursionError:
            raise UsageError(f"{cls.kind or cls.__name__}: {TOO_DEEP}") from None

    def with_(self, **changes: Any) -> Self:
        """A copy with some fields changed; validated again, so a misspelt field is an error."""
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).parse(fields | changes)

    def dump(self) -> dict[str, Any]:
        """Plain data: mappings, lists, strings, numbers, None; ``kind`` first where there is one."""
        head = {"kind": self.kind} if self.kind else {}
        return head | {name: _plain(getattr(self, name)) for name in type(self).model_fields}

    def key(self) -> str:
        """SHA-256 over every leaf and every revision inside: equal keys mean equal results."""
        return digest(_keyed(self))

    def yaml(self) -> str:
        """This part as YAML 1.2; reading it back and writing it again gives the same bytes."""
        return to_yaml(self.dump())


def digest(value: Any) -> str:
    """SHA-256 (hex) of plain data in canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.dump()
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, Path):
        return value.as_posix()
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"a part may not hold {type(value).__name__}: {value!r}")


def _keyed(value: Any) -> Any:
    if isinstance(value, Part):
        fields = {name: _keyed(getattr(value, name)) for name in type(value).model_fields}
        return {"kind": value.kind or type(value).__name__, "revision": value.revision, "fields": fields,
                "plugin": _PLUGINS.get(type(value).__module__) or _code(type(value).__module__)}  # fmt: skip
    if isinstance(value, tuple):
        return [_keyed(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _keyed(v) for k, v in value.items()}
    return _plain(value)


@cache
def _code(module: str) -> str | None:
    """SHA-256 of the file of a module outside this package; None inside it, where ``revision`` says what changed."""
    if module.partition(".")[0] == __package__:
        return None
    file = getattr(sys.modules.get(module), "__file__", None)  # None: typed in, as in a notebook
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None


def _tuples(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(_tuples(v) for v in value)
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return value


def _explain(cls: type[Part], error: ValidationError) -> str:
    lines = []
    for e in error.errors():
        where = ".".join(str(p) for p in e["loc"] if not str(p).startswith("function-"))
        context = e.get("ctx", {}).get("error")
        if e["type"] == "extra_forbidden":
            owner = _owner(cls, e["loc"])
            lines.append(f"{where}: unknown field; {among(str(e['loc'][-1]), owner.model_fields)}")
        elif e["type"] == "missing" and isinstance(e["loc"][-1], int):  # of a list of so many
            shown = where.rpartition(".")[0]
            lines.append(
                f"{shown}: given {list(e['input'])}, which is too short; wanted one more, such as [64, 64]"
            )
        elif e["type"] == "missing":
            lines.append(f"{where}: missing; it must be given")
        elif e["type"] == "tuple_type":
            lines.append(f"{where}: given {e['input']!r}; wanted a list in brackets, such as [64, 64]")
        elif isinstance(context, Exception):
            lines.append(f"{where}: {context}" if where else str(context))
        else:
            lines.append(f"{where}: given {e['input']!r}; {e['msg'][0].lower()}{e['msg'][1:]}")
    return f"{cls.kind or cls.__name__}: " + "; ".join(lines)


def _owner(cls: type[Part], location: tuple[int | str, ...]) -> type[Part]:
    """The part class that an unknown field was given to, as far as the types of the fields lead."""
    for step in location[:-1]:
        info = cls.model_fields.get(str(step))
        types = (info.annotation, *get_args(info.annotation)) if info is not None else ()
        cls = next((t for t in types if isinstance(t, type) and issubclass(t, Part)), cls)
    return cls


# --- families -------------------------------------------------------------------------------------------------


def _members(root: type[Part]) -> dict[str, type[Part]]:
    """The members of a family that have been imported, by kind."""
    found: dict[str, type[Part]] = {}
    for sub in root.__subclasses__():
        if sub.kind and "kind" in sub.__dict__:
            found[sub.kind] = sub
        found |= _members(sub)
    return found


def known(root: type[Part]) -> tuple[str, ...]:
    """The kinds of a family: its files, or the members of its one module, and those of plug-ins."""
    home = importlib.import_module(root.home)
    files = [m.name for m in pkgutil.iter_modules(home.__path__)] if hasattr(home, "__path__") else []
    return tuple(sorted({name for name in files if not name.startswith("_")} | set(_members(root))))


def member(root: type[Part], kind: str) -> type[Part]:
    """The class behind a kind.

    Raises:
        ValueError: the kind is unknown, or is a path to code that was not named with ``--plugin``.
    """
    if not kind.replace("_", "").replace("-", "").isalnum():
        raise ValueError(
            f"kind {kind!r} is not a name; code of your own is named on the command line: --plugin FILE.py"
        )
    if kind not in _members(root):
        if kind not in known(root):
            raise ValueError(f"unknown kind {kind!r}; {among(kind, known(root))}")
        importlib.import_module(f"{root.home}.{kind}")
    return _members(root)[kind]


def load_plugin(path: str | Path) -> None:
    """Runs one Python file of the user's own, so that the parts it defines can be named by their kind.

    Raises:
        UsageError: the file is missing or cannot be run.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"--plugin {file}: no such file; give a Python file that defines parts")
    sha = hashlib.sha256(file.read_bytes()).hexdigest()
    name = f"muscle_plugin_{file.stem}_{sha[:8]}"
    if name in _PLUGINS:
        return
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"--plugin {file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"--plugin {file}: {type(error).__name__}: {error}") from error
    _PLUGINS[name] = sha


def override(part: P, assignments: list[str] | tuple[str, ...]) -> P:
    """A part with leaves changed by ``stages.1.schedule.rounds=5`` assignments (values are YAML).

    Raises:
        UsageError: not of the form ``path=value``, or a path that does not exist, with the names that do.
    """
    data = part.dump()
    data.pop("kind", None)
    for text in assignments:
        path, sign, value = text.partition("=")
        if not sign or not path:
            raise UsageError(f"override {text!r}: allowed: path.to.field=value")
        _assign(data, path, from_yaml(value, text))
    return type(part).parse(data)


def has_leaf(part: Part, assignment: str) -> bool:
    """Whether a part has a place for ``path=value``."""
    data = part.dump()
    data.pop("kind", None)
    try:
        _assign(data, assignment.partition("=")[0], None)
    except UsageError:
        return False
    return True


def _assign(data: Any, path: str, value: Any) -> None:
    steps = path.split(".")
    for depth, step in enumerate(steps):
        inside = range(len(data)) if isinstance(data, list) else data if isinstance(data, dict) else ()
        names = [str(name) for name in inside]
        if step not in names:
            allowed = among("" if isinstance(data, list) else step, names or ["none, this is a leaf"])
            raise UsageError(f"override {path!r}: no {step!r}; {allowed}")
        place: Any = int(step) if isinstance(data, list) else step
        if depth == len(steps) - 1:
            data[place] = value
        else:
            data = data[place]
