"""Check the pinned dependencies against the published advisories, where these can be reached.

    python .ci/audit.py [REQUIREMENTS]

Exit code 1 where a release that mends an advisory exists: raise the pin. An advisory without such a release is
listed and passes, and so does a machine that reaches no advisory feed: it says so, because "nothing found" and
"nothing looked up" must not read the same (pip-audit itself says the first of both).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def advisories(requirements: Path) -> list[dict[str, Any]] | None:
    """Return what pip-audit knows of each pinned dependency, ``None`` where its feed does not answer.

    Args:
        requirements: File with one ``name==version`` a line.
    """
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--requirement", str(requirements)),
            *("--no-deps", "--disable-pip", "--progress-spinner", "off", "--format", "json"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return None
    return found


def report(found: list[dict[str, Any]] | None) -> tuple[list[str], bool]:
    """Return what to print, and whether something can be mended.

    Args:
        found: What :func:`advisories` returned.
    """
    looked_up = [one for one in found or [] if "skip_reason" not in one]
    if found is None or not looked_up:
        return ["no advisory feed can be reached from here: the dependencies were NOT checked"], False
    lines, mendable = [], False
    for one in looked_up:
        for advisory in one.get("vulns", []):
            mended_in = advisory.get("fix_versions", [])
            mendable = mendable or bool(mended_in)
            what = f"mended in {', '.join(mended_in)}" if mended_in else "no release mends it yet"
            lines.append(f"{one['name']} {one['version']}: {advisory['id']}, {what}")
    skipped = len(found) - len(looked_up)
    lines.append(
        f"{len(looked_up)} dependencies checked, {len(lines)} advisories"
        + (f"; {skipped} are not in the feed" if skipped else "")
    )
    return lines, mendable


def main() -> int:
    """Run the check; return the exit code."""
    requirements = Path(sys.argv[1] if len(sys.argv) > 1 else "constraints.txt")
    lines, mendable = report(advisories(requirements))
    print("\n".join(lines))
    return int(mendable)


if __name__ == "__main__":
    sys.exit(main())
