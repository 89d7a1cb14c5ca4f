"""Look up each image's locked packages in a vulnerability database, and write its bill of materials.

``make audit``. Exit status 1 if a package has a known vulnerability that containers/accepted.txt does not name; 0 if
none has, or if the database could not be asked, which is said.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT = HERE.parent / "build" / "sbom"
IMAGES = ("data", "trainer", "registry")


def accepted() -> dict[str, str]:
    """Vulnerabilities that are accepted, by their id, each with its reason."""
    file = HERE / "accepted.txt"
    lines = [line.split("#")[0].strip() for line in file.read_text().splitlines()] if file.is_file() else []
    entries = {}
    for line in filter(None, lines):
        name, _, reason = line.partition(" ")
        if not reason.strip():
            raise ValueError(f"{file}: {name}: give the reason for which it is accepted")
        entries[name] = reason.strip()
    return entries


def look_up(lock: Path) -> list[dict[str, Any]] | None:
    """What pip-audit says of each package of a lock; None where the database does not answer."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--requirement",
        str(lock),
        "--disable-pip",
        "--require-hashes",
    ]
    done = subprocess.run(
        [*command, "--format", "json", "--progress-spinner", "off"], capture_output=True, text=True
    )
    try:
        found: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return None
    return found


def write_bill(lock: Path, out: Path) -> None:
    """Write the bill of materials of a lock as CycloneDX JSON."""
    command = [
        sys.executable,
        "-m",
        "cyclonedx_py",
        "requirements",
        str(lock),
        "--of",
        "JSON",
        "-o",
        str(out),
    ]
    subprocess.run(command, check=True, capture_output=True)


def main() -> int:
    """Audit every image; returns the exit status."""
    OUT.mkdir(parents=True, exist_ok=True)
    known, status = accepted(), 0
    for image in IMAGES:
        lock = HERE / "locks" / f"{image}.txt"
        write_bill(lock, OUT / f"{image}.cdx.json")
        packages = look_up(lock)
        if packages is None or all("skip_reason" in package for package in packages):
            print(f"recap-{image}: not audited: the vulnerability database does not answer from here")
            continue
        skipped = [package["name"] for package in packages if "skip_reason" in package]
        for package in packages:
            for item in package.get("vulns", ()):
                names = {item["id"], *item.get("aliases", ())}
                if names & known.keys():
                    continue
                fixed = ", ".join(item.get("fix_versions", ())) or "none yet"
                print(
                    f"recap-{image}: {package['name']} {package['version']}: {item['id']}; fixed in: {fixed}"
                )
                status = 1
        print(
            f"recap-{image}: {len(packages) - len(skipped)} packages audited, {len(skipped)} not in the database"
        )
    print(f"bills of materials: {OUT}")
    return status


if __name__ == "__main__":
    sys.exit(main())
