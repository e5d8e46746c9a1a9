"""What reporting guidelines ask for that a program can know, filled in; and what is left to the authors.

Topics are those that CLAIM 2024 (Tejani et al., Radiology: Artificial Intelligence 2024) and TRIPOD+AI (Collins et al.,
BMJ 2024) share, in our words and without their item numbers: the official forms are to be filled in beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from muscle.metrics import THRESHOLD
from muscle.report.tables import Cell, Results, Table, word

TITLE = "What CLAIM 2024 and TRIPOD+AI ask for, as far as the run knows"
CAPTION = (
    "Topics of both guidelines in our words, without their item numbers; it does not stand in for the official forms. "
    "What the run does not record is left to the authors, and says so."
)
AUTHORS = "for the authors"

# Topics that no program can fill in.
LEFT = (
    ("Title and abstract", "that the study uses AI, its design, its main result with interval"),
    ("Aim", "the clinical question, the intended use and user, what is already known"),
    ("Ethics and consent", "approval or waiver, and de-identification at the source"),
    ("Registration and protocol", "where they are, or that there are none"),
    ("Setting and dates", "sites, scanners, years, how cases were chosen"),
    ("Reference standard", "who annotated, with what qualification, how often, how they agreed"),
    ("Participants", "age, sex, disease spectrum of each part; a flow diagram"),
    ("Sample size", "why it is enough for the claim"),
    ("Failure analysis", "which cases go wrong, and why"),
    ("Limitations and clinical meaning", "what these numbers do not show"),
    ("Funding and interests", "who paid, and their role"),
)


def table(results: Results) -> Table:
    """One row a topic: what the run says of it, and what the authors must add."""
    rows = []
    for topic, say, add in KNOWN:
        said = "; ".join(filter(None, say(results)))
        rows.append((word(topic), Cell(said) if said else Cell("not recorded"), word(add)))
    rows += [(word(topic), word(AUTHORS), word(add)) for topic, add in LEFT]
    return Table(("Topic", "What the run says", "Left to the authors"), tuple(rows), words=3)


def _sources(r: Results) -> list[str]:
    return [
        f"{s['name']}: {_count(s, 'total')} films ({s.get('kind') or 'adapter not recorded'})"
        for s in r["sources"]
    ]


def _licences(r: Results) -> list[str]:
    return [f"{s['name']}: {s.get('licence') or 'not recorded'}" for s in r["sources"]]


def _parts(r: Results) -> list[str]:
    return [
        f"{s['name']}: {', '.join(f'{part} {_count(s, part)}' for part in ('train', 'valid', 'test'))}"
        for s in r["sources"]
    ]


def _persons(r: Results) -> list[str]:
    """Films and persons of each task's test part, as the scores counted them."""
    found = {}
    for cell in _scored(r):
        counted = [m for m in cell["metrics"].values() if m.get("clusters")]
        if counted:
            most = max(counted, key=lambda m: m["n"])
            found[cell["task"]] = f"{cell['task']}: {most['n']} test cases of {most['clusters']} persons"
    bare = [
        f"{s['name']}: {n} films name nobody, each counts as a person"
        for s in r["sources"]
        if (n := _count(s, "unnamed"))
    ]
    return [*found.values(), *bare]


def _excluded(r: Results) -> list[str]:
    lost = [
        f"{s['name']}: {n} unreadable or unfit files set aside"
        for s in r["sources"]
        if (n := _count(s, "quarantined"))
    ]
    left = r["provenance"].get("films excluded")
    return lost + ([f"{left} films left out by request"] if left else []) or [
        "no file was set aside" if r["sources"] else ""
    ]


def _leaks(r: Results) -> list[str]:
    facts = r["provenance"]
    found = [str(v) for k, v in facts.items() if k == "leaks allowed" or k.startswith("leak of ")]
    found = found or [
        "no leak is noted; a run that finds a test case in training (bytes, pixels, named person) is refused"
    ]
    return found + [str(v) for k, v in facts.items() if k.startswith("leak check")]


def _preprocessing(r: Results) -> list[str]:
    return ["decoding, size and normalization in the .yaml files beside the results"] if _scored(r) else []


def _models(r: Results) -> list[str]:
    backbones = _unlike(c.get("backbone") for c in _scored(r))
    starts = _unlike(c["title"] for c in _scored(r))
    return [
        f"backbones {', '.join(backbones)}" if backbones else "",
        f"starts: {', '.join(starts)}" if starts else "",
    ]


def _training(r: Results) -> list[str]:
    stages = _unlike(s["name"] for s in r["stages"])
    keys = len(_unlike(c.get("key") for c in r["cells"]))
    return [
        f"stages before fine-tuning: {', '.join(stages)}" if stages else "",
        f"fine-tuned models: {keys}; key, epoch and rate of each in the table of models" if keys else "",
    ]


def _chosen(r: Results) -> list[str]:
    tuned = any(c.get("valid") is not None for c in r["cells"])
    fitted = any(e["probe"] == "linear" for e in r["probes"])
    return [
        "epoch and backbone rate by the validation part alone, the test part scored once" if tuned else "",
        "penalty of the linear probe by the validation part alone; k-NN has nothing to choose"
        if fitted
        else "",
    ]


def _seeds(r: Results) -> list[str]:
    seeds = _unlike(str(c["seed"]) for c in r["cells"])
    once = "; pre-training once" if r["stages"] else ""
    return [f"fine-tuning seeds {', '.join(seeds)}{once}"] if seeds else []


def _intervals(r: Results) -> list[str]:
    return _unlike(c.get("intervals") for c in _scored(r))


def _threshold(r: Results) -> list[str]:
    if not any(c["kind"] == "labels" for c in r["cells"]):
        return []
    return [f"positive from probability {r['provenance'].get('threshold', THRESHOLD)} on"]


def _machine(r: Results) -> list[str]:
    facts, versions = r["provenance"], r["provenance"].get("versions") or {}
    said = [f"{name} {version}" for name, version in versions.items()]
    return [
        ", ".join(said),
        str(facts.get("machine") or ""),
        f"device {facts['device']}" if facts.get("device") else "",
    ]


def _subgroups(r: Results) -> list[str]:
    """By what there are scores, and the worst groups."""
    by = sorted({group["column"] for cell in r["cells"] for group in cell.get("subgroups", ())})
    worst = {f"{name} {value}" for cell in r["cells"] for name, value in cell.get("worst", {}).items()}
    return [
        f"scores by {', '.join(by)}" if by else "",
        f"worst in some cell: {', '.join(sorted(worst))}" if worst else "",
    ]


def _external(r: Results) -> list[str]:
    cells = [cell for cell in r["cells"] if cell.get("external")]
    sources = ", ".join(s["name"] for s in r["sources"] if cells or s.get("external"))
    return [f"of films that no stage has seen: {sources}" if sources else ""]


def _code(r: Results) -> list[str]:
    facts = r["provenance"]
    commit = str(facts.get("commit") or "")
    changed = " (the source differed from it)" if commit.endswith("+changes") else ""
    return [
        f"commit {commit.removesuffix('+changes')}{changed}" if commit else "",
        f"command: {facts['command']}" if facts.get("command") else "",
        f"data sha256 {facts['data_sha256']}" if facts.get("data_sha256") else "",
    ]


def _scored(r: Results) -> list[Results]:
    """Fine-tuned models and probes of frozen features."""
    return [*r["cells"], *r["probes"]]


def _unlike(values: Iterable[Any]) -> list[str]:
    return [str(v) for v in dict.fromkeys(values) if v]


def _count(source: Results, part: str) -> int:
    value = source.get(part)
    return len(value) if isinstance(value, list) else int(value or 0)


KNOWN: tuple[tuple[str, Callable[[Results], list[str]], str], ...] = (
    ("Data sources", _sources, "how and when the films were acquired"),
    ("Licences of the data", _licences, "whether this use is allowed"),
    ("Partition into parts", _parts, "the rule of the split, from the data file; whether sites are disjoint"),
    ("Independence of cases", _persons, "whether the person keys are true where they come from file names"),
    ("Exclusions", _excluded, "exclusions before the films came here"),
    ("Leakage between parts", _leaks, "leaks that no comparison of films can find"),
    ("Preprocessing", _preprocessing,
     "why these"),
    ("Model", _models, "why this architecture; source of weights that were not trained here"),
    ("Training", _training, "hyper-parameters tried before this run"),
    ("Selection of the final model", _chosen, ""),
    ("Seeds and repetition", _seeds, ""),
    ("Performance with uncertainty", _intervals, "which score was the primary one, named before the run"),
    ("Fairness", _subgroups, "what was done about differences; groups that the data do not name"),
    ("External validation", _external, "data of other sites, or that there is none"),
    ("Operating point", _threshold, "whether it suits the intended use"),
    ("Software and machine", _machine, ""),
    ("Code and data to repeat it", _code, "where code, weights and data can be had"),
)  # fmt: skip
