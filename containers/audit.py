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
LOCKS = ("data", "data-spark", "trainer", "registry", "trainer-gpu", "torch-cpu", "build", "tools")


def accepted(file: Path) -> dict[str, str]:
    """Vulnerabilities that are accepted, by their id, each with its reason."""
    entries = {}
    for line in filter(None, (line.split("#")[0].strip() for line in file.read_text().splitlines())):
        name, _, reason = line.partition(" ")
        if not reason.strip():
            raise ValueError(f"{file}: {name}: give the reason for which it is accepted")
        entries[name] = reason.strip()
    return entries


def unaccepted(packages: list[dict[str, Any]], known: dict[str, str]) -> list[str]:
    """A line for each vulnerability that is not accepted; packages as pip-audit describes them."""
    return [
        f"{package['name']} {package['version']}: {item['id']}; fixed in: "
        f"{', '.join(item.get('fix_versions', ())) or 'none yet'}"
        for package in packages
        for item in package.get("vulns", ())
        if not {item["id"], *item.get("aliases", ())} & known.keys()
    ]


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
    """Audit every lock; returns the exit status."""
    OUT.mkdir(parents=True, exist_ok=True)
    known, status = accepted(HERE / "accepted.txt"), 0
    for name in LOCKS:
        lock = HERE / "locks" / f"{name}.txt"
        write_bill(lock, OUT / f"{name}.cdx.json")
        packages = look_up(lock)
        if packages is None or all("skip_reason" in package for package in packages):
            print(f"{name}: not audited: the vulnerability database does not answer from here")
            continue
        told = unaccepted(packages, known)
        for line in told:
            print(f"{name}: {line}")
        status = 1 if told else status
        skipped = sum("skip_reason" in package for package in packages)
        print(f"{name}: {len(packages) - skipped} packages audited, {skipped} not in the database")
    print(f"bills of materials: {OUT}")
    return status


if __name__ == "__main__":
    sys.exit(main())
