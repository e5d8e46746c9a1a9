"""Parts: the conformance suite over every part there is, and one test for each way in which data gets lost silently.

Oracles: PyYAML and plain pydantic, which show the loss that our parts must not have; json and hashlib for the key.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import pkgutil
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal

import pydantic
import pytest

import muscle
from muscle import parts
from muscle.errors import UsageError
from muscle.parts import Part, known, load_plugin, member, override
from muscle.testing import check_part, example, family
from muscle.yaml_text import from_yaml

# --- a small house of its own ---------------------------------------------------------------------------------


class Pet(Part):
    """Root of a family whose home is one module: it need only be importable."""

    home: ClassVar[str] = "muscle.errors"


class Cat(Pet):
    kind: ClassVar[str] = "cat"
    lives: int = 9


class Dog(Pet):
    kind: ClassVar[str] = "dog"
    name: str = "Rex"
    tail: float = 0.3
    friends: tuple[Pet, ...] = ()


class Bed(Part):
    width: float = 1.4
    made: bool = False


class House(Part):
    owner: str = "us"
    first: Pet = Cat()
    pets: tuple[Pet, ...] = (Dog(friends=(Cat(lives=3),)), Cat())
    by_room: dict[str, Pet] = {"hall": Dog(name="Bello")}
    bed: Bed = Bed()
    guest: Bed | None = None
    heating: Literal["gas", "wood"] = "wood"
    size: tuple[int, int] = (160, 256)
    note: str | None = None


def _value(**fields: Any) -> House:
    return House(**fields)


# --- the suite over everything --------------------------------------------------------------------------------


def _modules() -> list[str]:
    found = pkgutil.walk_packages(muscle.__path__, "muscle.")
    return sorted(m.name for m in found if m.name.rpartition(".")[2] not in ("__main__", "cli"))


def _classes(module: ModuleType) -> list[type[Part]]:
    """The parts that a module defines; bases of families, which have no kind of their own, only lend fields."""
    mine = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, Part) and c is not Part]
    return [
        c for c in mine if c.__module__ == module.__name__ and (family(c) is None or "kind" in c.__dict__)
    ]


def _cases() -> list[Any]:
    cases: list[Any] = []
    for name in _modules():
        try:
            module = importlib.import_module(name)
        except Exception:  # shows as this module's own failure below, not as a failure to collect
            cases.append(pytest.param(name, None, id=name))
            continue
        cases += [pytest.param(name, c, id=f"{name}.{c.__name__}") for c in _classes(module)]
    return cases


def _families() -> list[type[Part]]:
    roots: list[type[Part]] = []
    todo = [Part]
    while todo:
        for sub in todo.pop().__subclasses__():
            todo.append(sub)
            if "home" in sub.__dict__ and sub.__module__.startswith("muscle."):
                roots.append(sub)
    return roots


@pytest.mark.parametrize(("module", "cls"), _cases())
def test_every_part_conforms(module: str, cls: type[Part] | None) -> None:
    importlib.import_module(module)
    assert cls is not None
    check_part(example(cls))


@pytest.mark.parametrize("root", _families(), ids=lambda root: root.__name__)
def test_the_folder_is_the_registry(root: type[Part]) -> None:
    assert known(root), f"{root.home} has no member"
    for kind in known(root):
        assert member(root, kind).kind == kind


def test_the_families_were_found() -> None:
    assert {"Task", "Backbone"} <= {root.__name__ for root in _families()}


def test_a_house_conforms() -> None:
    check_part(_value())


# --- polymorphic fields ---------------------------------------------------------------------------------------


def test_polymorphic_fields_keep_their_kind_and_all_their_fields() -> None:
    """Plain pydantic dumps the same tuple to empty mappings, which is the loss."""

    class PlainPet(pydantic.BaseModel):
        pass

    class PlainDog(PlainPet):
        name: str = "Rex"

    class PlainHouse(pydantic.BaseModel):
        pets: tuple[PlainPet, ...]

    assert PlainHouse(pets=(PlainDog(),)).model_dump() == {"pets": ({},)}

    dumped = _value().dump()
    cat = {"kind": "cat", "lives": 3}
    assert dumped["pets"] == [
        {"kind": "dog", "name": "Rex", "tail": 0.3, "friends": [cat]},
        {"kind": "cat", "lives": 9},
    ]
    assert dumped["by_room"] == {"hall": {"kind": "dog", "name": "Bello", "tail": 0.3, "friends": []}}
    assert House.parse(dumped) == _value()
    assert type(House.parse(dumped).pets[0]) is Dog


def test_a_kind_alone_stands_for_its_defaults() -> None:
    assert House.parse({"first": "dog"}).first == Dog()


def test_the_order_of_a_list_is_kept_and_counts() -> None:
    one, other = _value(pets=(Cat(), Dog())), _value(pets=(Dog(), Cat()))
    back = House.parse(from_yaml(one.yaml()))
    assert [p.kind for p in back.pets] == ["cat", "dog"]
    assert one.key() != other.key()


def test_the_order_of_the_fields_is_kept_in_yaml_and_does_not_count_in_the_key() -> None:
    fields = [line.split(":")[0] for line in _value().yaml().splitlines() if line[0] not in " -"]
    assert fields == list(House.model_fields)
    shuffled = dict(reversed(_value().dump().items()))
    assert House.parse(shuffled).key() == _value().key()


# --- mistakes are answered ------------------------------------------------------------------------------------


def test_with_refuses_a_misspelt_field() -> None:
    """``model_copy(update=...)`` takes it, which is the loss."""
    assert "lifes" in vars(Cat().model_copy(update={"lifes": 7}))
    with pytest.raises(UsageError, match=r"cat: lifes: unknown field; did you mean lives\? known: lives$"):
        Cat().with_(lifes=7)


def test_with_validates_what_it_is_given() -> None:
    with pytest.raises(UsageError, match="lives"):
        Cat().with_(lives="7")
    with pytest.raises(UsageError, match="lives"):
        Cat().with_(lives=7.5)


def test_with_leaves_the_original_and_keeps_the_parts_inside() -> None:
    house = _value()
    changed = house.with_(owner="them")
    assert (house.owner, changed.owner) == ("us", "them")
    assert changed.pets is house.pets or changed.pets == house.pets


def test_all_mistakes_at_once_each_with_what_is_allowed() -> None:
    wrong = {
        "onwer": "x",
        "bed": {"width": "wide"},
        "first": {"kind": "cow"},
        "heating": "coal",
        "pets": [{"lives": 1}],
    }
    with pytest.raises(UsageError) as caught:
        House.parse(wrong)
    message = str(caught.value)
    for said in ("onwer: unknown field; did you mean owner? known: owner", "bed.width: given 'wide'",
                 "unknown kind 'cow'; known: cat, dog",
                 "heating: given 'coal'", "'gas' or 'wood'", "'kind' is missing; allowed: cat, dog"):  # fmt: skip
        assert said in message
    assert "\n" not in message
    assert caught.value.exit_code == 2


def test_a_misspelt_field_deep_inside_is_answered_with_the_fields_of_that_part() -> None:
    with pytest.raises(
        UsageError, match=r"guest\.wdith: unknown field; did you mean width\? known: width, made"
    ):
        House.parse({"guest": {"wdith": 2.0}})
    with pytest.raises(UsageError, match=r"pets.*lifes: unknown field; did you mean lives\? known: lives"):
        House.parse({"pets": [{"kind": "cat", "lifes": 1}]})


@pytest.mark.parametrize("kind", ["os.path", "muscle.tasks.moco:MoCo", "../evil", "a/b", ""])
def test_a_path_to_code_is_refused(kind: str) -> None:
    with pytest.raises(
        UsageError, match=r"not a name; code of your own is named on the command line: --plugin"
    ):
        House.parse({"first": {"kind": kind}})


def test_a_member_of_another_family_does_not_fit() -> None:
    with pytest.raises(UsageError, match="first"):
        House.parse({"first": Bed()})


@pytest.mark.parametrize("wrong", [{"lives": "5"}, {"lives": 5.0}, {"lives": True}, {"lives": None}])
def test_types_are_strict(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="cat: lives"):
        Cat.parse(wrong)


@pytest.mark.parametrize("text", ["1", "yes", "'false'"])
def test_a_yes_or_no_is_true_or_false(text: str) -> None:
    with pytest.raises(UsageError, match="made"):
        Bed.parse(from_yaml(f"made: {text}"))


def test_a_whole_number_is_a_float_with_the_same_key() -> None:
    assert Bed.parse(from_yaml("width: 2")).key() == Bed(width=2.0).key()
    assert Bed.parse(from_yaml("width: 2")).yaml() == Bed(width=2.0).yaml()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_are_finite(number: float) -> None:
    with pytest.raises(UsageError, match="width"):
        Bed().with_(width=number)


def test_a_part_cannot_be_changed_in_place() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Cat().lives = 3  # type: ignore[misc]


# --- to YAML and back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "n", "On", "NO"])
def test_fields_that_yaml_1_1_takes_for_truth_values_stay_words(word: str) -> None:
    dog = Dog(name=word)
    assert Dog.parse({k: v for k, v in from_yaml(dog.yaml()).items() if k != "kind"}) == dog


@pytest.mark.parametrize(
    "number", [1e-4, 0.1, 1 / 3, 5e-324, 1.7976931348623157e308, 1e22, 0.03, -0.0, 100000.0, 1e16]
)
def test_floats_come_back_to_the_last_bit(number: float) -> None:
    back = Bed.parse(from_yaml(Bed(width=number).yaml()))
    assert back.width.hex() == number.hex()
    assert back.yaml() == Bed(width=number).yaml()


# --- keys -----------------------------------------------------------------------------------------------------


def test_the_key_is_the_digest_of_every_leaf() -> None:
    """Of a part of the package no file counts; of one defined elsewhere, as here, the file that defines it."""
    from muscle.data.splits import AllTrain

    here = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    for part, kind, fields, file in ((Cat(), "cat", {"lives": 9}, here), (AllTrain(), "all_train", {}, None)):
        tree = {"kind": kind, "revision": 1, "fields": fields, "plugin": file}
        text = json.dumps(tree, sort_keys=True, separators=(",", ":"))
        assert part.key() == hashlib.sha256(text.encode()).hexdigest()


def test_a_revision_deep_inside_changes_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _value().key()
    monkeypatch.setattr(Bed, "revision", 2)
    assert _value().key() != before


def test_the_key_is_the_same_in_another_process() -> None:
    code = "from muscle.parts import digest; print(digest({'b': [1, 0.1], 'a': 'ä'}))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert out[-1] == parts.digest({"a": "ä", "b": [1, 0.1]})


def test_equal_digits_of_other_types_are_other_keys() -> None:
    assert len({parts.digest(v) for v in (1, 1.0, "1", True, [1], None)}) == 6


# --- overrides ------------------------------------------------------------------------------------------------


def test_overrides_reach_every_depth() -> None:
    changed = override(
        _value(), ["pets.0.friends.0.lives=5", "by_room.hall.name=no", "bed.width=2", "guest={width: 1.0}"]
    )
    assert isinstance(changed.pets[0], Dog)
    assert changed.pets[0].friends == (Cat(lives=5),)
    assert changed.by_room["hall"] == Dog(name="no")
    assert changed.bed.width == 2.0
    assert changed.guest == Bed(width=1.0)
    assert override(_value(), []) == _value()


def test_an_override_can_put_another_kind() -> None:
    assert override(_value(), ["first={kind: dog, name: Fiffi}"]).first == Dog(name="Fiffi")
    assert override(_value(), ["first=dog"]).first == Dog()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bed.wdith=2", "no 'wdith'; did you mean width? known: width, made"),
        ("pets.2.lives=1", "no '2'; known: 0, 1"),
        ("pets.-1.lives=1", "no '-1'; known: 0, 1"),
        ("owner.name=x", "no 'name'; known: none, this is a leaf"),
        ("bed", "allowed: path.to.field=value"),
        ("=3", "allowed: path.to.field=value"),
        ("bed.width=wide", "bed.width: given 'wide'"),
        ("bed.width=.nan", "allowed: finite numbers"),
        ("first.kind=cow", "unknown kind 'cow'; known: cat, dog"),
        ("size=[1]", "size"),
        ("size=64x64", "size: given '64x64'; wanted a list in brackets, such as [64, 64]"),
        ("size=[64]", "size: given [64], which is too short; wanted one more, such as [64, 64]"),
    ],
)
def test_a_wrong_override_lists_the_names(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        override(_value(), [text])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# --- plug-ins -------------------------------------------------------------------------------------------------

PLUGIN = """
from typing import ClassVar
from muscle.tasks import Task

class Shiny(Task):
    kind: ClassVar[str] = "KIND"
    glow: float = 0.5
"""


def _plugin(folder: Path, kind: str, extra: str = "") -> Path:
    file = folder / "my_task.py"
    file.write_text(PLUGIN.replace("KIND", kind) + extra)
    return file


def test_a_plugin_adds_a_kind_that_conforms(tmp_path: Path) -> None:
    from muscle.tasks import Task

    assert "shiny_one" not in known(Task)
    load_plugin(_plugin(tmp_path, "shiny_one"))
    assert "shiny_one" in known(Task)
    part = member(Task, "shiny_one")()
    assert part.dump()["glow"] == 0.5
    check_part(part)


def test_the_file_of_a_plugin_enters_the_key(tmp_path: Path) -> None:
    """The same fields in a file with other code are another key; in a fresh process each."""
    code = textwrap.dedent("""
        import sys
        from muscle.parts import load_plugin, member
        from muscle.tasks import Task
        load_plugin(sys.argv[1])
        print(member(Task, "shiny_two")().key())
    """)

    def key(file: Path) -> str:
        call = [sys.executable, "-c", code, str(file)]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()

    first = key(_plugin(tmp_path, "shiny_two"))
    assert key(_plugin(tmp_path, "shiny_two")) == first
    assert key(_plugin(tmp_path, "shiny_two", "# one more line\n")) != first


def test_the_file_of_a_script_enters_the_key(tmp_path: Path) -> None:
    """A part defined in the script that is run, without ``--plugin``: other code is another key."""

    def key(extra: str) -> str:
        file = _plugin(tmp_path, "shiny_three", f"print(Shiny().key())\n{extra}")
        call = [sys.executable, str(file)]
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()

    first = key("")
    assert len(first) == 64
    assert key("") == first
    assert key("# one more line\n") != first


def test_a_plugin_that_cannot_be_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--plugin .*gone\.py: no such file; give a Python file"):
        load_plugin(tmp_path / "gone.py")
    (tmp_path / "bad.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(UsageError, match=r"--plugin .*bad\.py: ModuleNotFoundError: No module named"):
        load_plugin(tmp_path / "bad.py")
    (tmp_path / "words.txt").write_text("not Python")
    with pytest.raises(UsageError, match=r"--plugin .*words\.txt: not a Python file"):
        load_plugin(tmp_path / "words.txt")


# --- the suite itself must go red -----------------------------------------------------------------------------


class Forgetful(Part):
    """Leaves one field out of its key."""

    seen: int = 1
    unseen: int = 1

    def key(self) -> str:
        return parts.digest(self.seen)


class Lossy(Part):
    """Leaves one field out of its YAML."""

    kept: int = 1
    lost: int = 1

    def dump(self) -> dict[str, Any]:
        return {"kept": self.kept}


class Loose(Part):
    """Takes what it does not know, and strings for numbers."""

    model_config = pydantic.ConfigDict(frozen=True, strict=False, extra="ignore")
    number: int = 1


class LooseFields(Part):
    model_config = pydantic.ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)
    number: int = 1


class Nameless(Pet):
    """A member of a family without a kind."""


@pytest.mark.parametrize(
    ("part", "said"),
    [
        (Forgetful(), "unseen=2 does not change the key"),
        (Lossy(lost=2), "YAML reads back as another value"),
        (Loose(), "number='1' is taken"),
        (LooseFields(), "a misspelt field at the top is taken"),
        (Nameless(), "must set `kind`"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Part) else "",
)
def test_the_suite_finds_a_bad_part(part: Part, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_part(part)


def test_the_suite_finds_a_kind_that_is_not_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from muscle.tasks import Task

    class Other(Task):
        kind: ClassVar[str] = "not_its_file"

    monkeypatch.setattr(Other, "__module__", "muscle.tasks.its_file")
    with pytest.raises(AssertionError, match=r"defined in its_file\.py; it must be not_its_file\.py"):
        check_part(Other())


class Silent(Bed):
    """A part inside that says nothing of its fields."""

    def key(self) -> str:
        return "always the same"


def _unmade(bed: Bed) -> Bed:
    if bed.made:
        raise ValueError("a shop's beds are not made")
    return bed


class Shop(Part):
    bed: Bed = Bed()
    _bed = pydantic.field_validator("bed")(_unmade)


class SilentShop(Part):
    bed: Silent = Silent()
    _bed = pydantic.field_validator("bed")(_unmade)


def test_a_field_that_the_part_around_it_restricts_still_counts_by_itself() -> None:
    check_part(Shop())
    with pytest.raises(AssertionError, match="made=True does not change the key"):
        check_part(SilentShop())


def test_a_constant_is_not_a_field() -> None:
    class Constant(Part):
        always: Literal["x"] = "x"

    with pytest.raises(AssertionError, match="no other valid value was found for always"):
        check_part(Constant())


def test_example_fills_required_fields() -> None:
    class Needy(Part):
        name: str
        size: tuple[int, int]
        pet: Pet
        mode: Literal["b", "a"]
        bed: Bed
        spare: float = 0.5

    part = example(Needy)
    assert part == Needy(name="x", size=(1, 1), pet=Cat(), mode="b", bed=Bed())
    check_part(part)
