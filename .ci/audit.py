"""Asks a public service, through pip-audit, which locked versions have known vulnerabilities.

Exit code 0: none is known; 1: there are; 3: it could not be asked, about all of them or about some. pip-audit itself
ends with 0 where the service knows nothing of a package, and with 1 where there is no network, as for a vulnerability.
"""

from __future__ import annotations

import json
import subprocess
import sys

CLEAN, FOUND, NOT_ASKED = 0, 1, 3
PATIENCE = 180  # seconds a lock; a service that hangs is asked a hundred times, 15 s each


def verdict(answer: str) -> tuple[int, list[str]]:
    """Exit code and lines for a person, of what `pip-audit --format json` printed: nothing where nobody answered."""
    packages = json.loads(answer)["dependencies"] if answer else []
    found = [
        f"{p['name']} {p['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'no version'}"
        for p in packages
        for hole in p.get("vulns", [])
    ]
    unknown = [p["name"] for p in packages if "skip_reason" in p]
    if found:
        return FOUND, found
    if not packages:
        return NOT_ASKED, ["NOT AUDITED: no service of known vulnerabilities answers"]
    if unknown:
        return NOT_ASKED, [
            f"NOT AUDITED: the service knows nothing of {len(unknown)} of {len(packages)} packages"
        ]
    return CLEAN, [f"no known vulnerability in {len(packages)} packages"]


def main(locks: list[str]) -> int:
    """Audits one lock after the other: two may hold two versions of a package, which pip-audit refuses in one call."""
    codes = set()
    for lock in locks:
        audit = [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes"]
        audit += ["--progress-spinner", "off", "-r", lock]
        # First without asking anybody: what fails here is no matter of the network.
        subprocess.run([*audit, "--dry-run"], check=True, capture_output=True)
        try:
            answer = subprocess.check_output(
                [*audit, "--format", "json"], stderr=subprocess.DEVNULL, timeout=PATIENCE
            )
        except subprocess.CalledProcessError as failed:  # by a vulnerability, or for want of a network
            answer = failed.output
        except subprocess.TimeoutExpired:
            answer = b""
        code, lines = verdict(answer.decode())
        codes.add(code)
        for line in lines:
            print(f"{lock}: {line}", flush=True)
    return FOUND if FOUND in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
