"""Looks at a report as readers do: 1280 and 390 pixels, light and dark, and as PDF, in headless Chromium.

    python benchmarks/screenshots.py REPORT.html OUT

Saves OUT/{1280,390}-{light,dark}.png and OUT/report.pdf. Exits 1 where the page scrolls sideways, where a figure or a
table is cut or out of the page, where a picture did not load, or where the browser's console has anything to say.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = (1280, 390)
PAPER = (8.27, 11.69)  # inches: A4
EDGE = 0.5  # inches round the print
TALLEST = 15000  # pixels that Chromium draws in one picture

# What is wrong with the layout, as a list of sentences. Tables may scroll within their own frame, on a screen.
CHECK = """
(async () => {
  const print = %s, wrong = [];
  document.querySelectorAll('details').forEach(d => d.open = true);
  await Promise.all([...document.images].map(i => i.decode().catch(() => wrong.push('did not load: ' + i.alt))));
  const root = document.documentElement, wide = root.clientWidth;
  if (root.scrollWidth > wide) wrong.push(`scrolls sideways: ${root.scrollWidth} of ${wide} pixels`);
  const name = e => (e.closest('figure') || e).id || e.tagName;
  for (const e of document.querySelectorAll('h1, h2, p, dl, figure, figcaption, img, .scroll')) {
    const box = e.getBoundingClientRect();
    const framed = !print && e.parentElement.closest('.scroll');
    if (box.width && !framed && (box.left < -1 || box.right > wide + 1)) wrong.push('out of the page: ' + name(e));
    if (!print && e.matches('.scroll')) continue;
    if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display != 'inline')
      wrong.push(`cut: ${name(e)}, ${e.scrollWidth} of ${e.clientWidth} pixels`);
  }
  for (const e of document.querySelectorAll('.scroll')) {
    if (!print && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX != 'auto')
      wrong.push('cut and not to be scrolled: ' + name(e));
  }
  return [...new Set(wrong)];
})()
"""


class Browser:
    """Headless Chromium, spoken to over a pipe (DevTools protocol), so that no package is needed."""

    def __init__(self, program: str, profile: str) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # The protocol's pipes are descriptors 3 and 4; a shell puts them there whatever numbers they have here.
        line = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        switches = (
            "headless=new",
            "no-sandbox",
            "disable-gpu",
            "disable-dev-shm-usage",
            "hide-scrollbars",
            "no-first-run",
        )
        options = [
            *(f"--{switch}" for switch in switches),
            f"--user-data-dir={profile}",
            "--remote-debugging-pipe",
        ]
        self.process = subprocess.Popen(
            ["bash", "-c", line, program, *options, "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.out, self.back = os.fdopen(ours_out, "wb"), os.fdopen(ours_in, "rb")
        self.told: list[str] = []  # by the console
        self.events: list[str] = []
        self.sent, self.rest = 0, b""
        self.session = ""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        """An order's answer; what the console says meanwhile is kept."""
        self.sent += 1
        order = {"id": self.sent, "method": method, "params": params}
        if self.session:
            order["sessionId"] = self.session
        self.out.write(json.dumps(order).encode() + b"\0")
        self.out.flush()
        number = self.sent
        while True:
            message = self._next()
            if message.get("id") == number:
                if "error" in message:
                    raise SystemExit(f"{method}: {message['error']['message']}")
                result: dict[str, Any] = message["result"]
                return result

    def wait(self, event: str) -> None:
        """Until an event that may have come already."""
        while event not in self.events:
            self._next()

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            some = os.read(self.back.fileno(), 1 << 20)
            if not some:
                raise SystemExit("the browser ended")
            self.rest += some
        one, _, self.rest = self.rest.partition(b"\0")
        message: dict[str, Any] = json.loads(one)
        said = message.get("params", {})
        self.events.append(message.get("method", ""))
        if message.get("method") == "Log.entryAdded":
            self.told.append(said["entry"]["text"])
        elif message.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.told.append(json.dumps(said.get("args") or said.get("exceptionDetails"))[:300])
        return message

    def layout(self, printed: bool) -> list[str]:
        """What is wrong with the page as it stands."""
        text = CHECK % ("true" if printed else "false")
        found = self.send("Runtime.evaluate", expression=text, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise SystemExit(f"the check itself failed: {found['exceptionDetails']}")
        wrong: list[str] = found["result"]["value"]
        return wrong

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.out.close()
        self.back.close()


def browser_program() -> str | None:
    """The first browser on the PATH."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@contextmanager
def opened(page: Path, program: str) -> Iterator[Browser]:
    """A browser that has loaded the page."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(program, profile)
        try:
            browser.send("Page.navigate", url=page.resolve().as_uri())
            browser.wait("Page.loadEventFired")
            yield browser
        finally:
            browser.close()


def screenshots(page: Path, out: Path, program: str) -> list[str]:
    """Pictures and PDF of a page into ``out``; everything that is wrong with it."""
    out.mkdir(parents=True, exist_ok=True)
    wrong = []
    with opened(page, program) as browser:
        for width in WIDTHS:
            for scheme in ("light", "dark"):
                phone = width < 600
                browser.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
                             mobile=phone)  # fmt: skip
                browser.send("Emulation.setEmulatedMedia", media="screen",
                             features=[{"name": "prefers-color-scheme", "value": scheme}])  # fmt: skip
                wrong += [f"{width} {scheme}: {what}" for what in browser.layout(printed=False)]
                size = browser.send("Page.getLayoutMetrics")["cssContentSize"]
                clip = {"x": 0, "y": 0, "width": width, "height": min(size["height"], TALLEST), "scale": 1}
                shot = browser.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
                (out / f"{width}-{scheme}.png").write_bytes(base64.b64decode(shot))
        inner = round(96 * (PAPER[0] - 2 * EDGE))
        browser.send(
            "Emulation.setDeviceMetricsOverride", width=inner, height=900, deviceScaleFactor=1, mobile=False
        )
        browser.send("Emulation.setEmulatedMedia", media="print", features=[])
        wrong += [f"print: {what}" for what in browser.layout(printed=True)]
        margins = {f"margin{side}": EDGE for side in ("Top", "Bottom", "Left", "Right")}
        pdf = browser.send(
            "Page.printToPDF", paperWidth=PAPER[0], paperHeight=PAPER[1], printBackground=True, **margins
        )
        (out / "report.pdf").write_bytes(base64.b64decode(pdf["data"]))
        wrong += [f"console: {said}" for said in browser.told]
    return wrong


def main(page: str, out: str) -> int:
    """1 where anything is wrong."""
    program = browser_program()
    if program is None:
        print(f"no browser: none of {', '.join(BROWSERS)} is on the PATH", file=sys.stderr)
        return 1
    wrong = screenshots(Path(page), Path(out), program)
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{out}: {2 * len(WIDTHS)} pictures and a PDF; {len(wrong) or 'no'} faults")
    return int(bool(wrong))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
