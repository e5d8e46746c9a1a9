"""The look at a report in a browser. Oracles: pages with one fault each, written by hand; a report of our own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import pytest
from runs import labels, mask, write_results

from muscle.report.page import report

SPEC = importlib.util.spec_from_file_location(
    "screenshots", Path(__file__).parents[1] / "benchmarks" / "screenshots.py"
)
assert SPEC is not None and SPEC.loader is not None
look = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(look)

PROGRAM = look.browser_program()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason=f"no browser: none of {', '.join(look.BROWSERS)} is on the PATH"
)
FAULTS = {
    "sideways": '<div style="width: 3000px">x</div>',
    "cut": '<figure id="lost" style="overflow: hidden"><div style="width: 3000px">x</div></figure>',
    "console": "<script>console.error('fell over')</script>",
    "load": '<img alt="gone" src="data:image/png;base64,AAAA">',
    "none": '<figure><div class="scroll" style="overflow-x: auto"><div style="width: 3000px">x</div></div></figure>',
}


def test_a_report_is_whole_at_every_width_and_on_paper(tmp_path: Path) -> None:
    write_results(tmp_path, (labels, mask))
    assert look.screenshots(report(tmp_path), tmp_path / "shots", PROGRAM) == []
    sizes = {
        file.name: cv2.imread(str(file)).shape[1]  # type: ignore[union-attr]
        for file in sorted((tmp_path / "shots").glob("*.png"))
    }
    assert sizes == {"1280-dark.png": 1280, "1280-light.png": 1280, "390-dark.png": 390, "390-light.png": 390}
    light, dark = (cv2.imread(str(tmp_path / "shots" / f"390-{s}.png")) for s in ("light", "dark"))
    assert light is not None and dark is not None and light.mean() > 200 > 80 > dark.mean()
    assert (tmp_path / "shots" / "report.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("fault", "said"),
    [("sideways", "scrolls sideways: 3"), ("cut", "cut: lost"), ("load", "did not load: gone"), ("none", "")],
)
def test_each_fault_is_named(tmp_path: Path, fault: str, said: str) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><meta name=viewport content='width=device-width'><body>{FAULTS[fault]}")
    with look.opened(page, PROGRAM) as browser:
        found = "; ".join(browser.layout(printed=False))
    assert found.startswith(said) and bool(found) == bool(said)


def test_what_the_console_says_is_a_fault(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><body>{FAULTS['console']}")
    with look.opened(page, PROGRAM) as browser:
        browser.layout(printed=False)
        assert "fell over" in " ".join(browser.told)
