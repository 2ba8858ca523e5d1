"""Check the pinned packages for known vulnerabilities, with pip-audit and the OSV database (``make audit``)."""

import importlib.metadata
import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

PIN = re.compile(r"([a-z0-9][a-z0-9.-]*)==([0-9][0-9a-z.!+]*)")


def pins(path: Path) -> dict[str, str]:
    """Return the version of each package in a file of ``name==version`` lines.

    Raises:
        ValueError: a line has another form

    """
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        match = PIN.fullmatch(line)
        if match is None:
            raise ValueError(f"{path}: {line!r} is not name==version")
        found[match[1]] = match[2]
    return found


def astray(pinned: dict[str, str]) -> list[str]:
    """Return a message for each installed package that differs from its pin, except for this project."""
    found = []
    # Search only site-packages: Ray, once imported, adds its vendored packages to sys.path.
    for distribution in importlib.metadata.distributions(path=[sysconfig.get_path("purelib")]):
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        version = distribution.version.partition("+")[0]  # torch builds have a local version such as +cpu
        if name not in {"ser-lightning", "setuptools"} and pinned.get(name) != version:
            found.append(f"{name} {version} is installed, {pinned.get(name, 'nothing')} is pinned")
    return sorted(found)


def audit(path: Path, *words: str) -> tuple[list[str], str | None]:
    """Look up each package in the vulnerability database.

    Args:
        path: file of pins
        words: additional options of pip-audit

    Returns:
        The known vulnerabilities, and the reason if the lookup failed, else None.

    """
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(path), "--no-deps", "--disable-pip"]
    options = ["--vulnerability-service", "osv", "--progress-spinner", "off", "--format", "json", "--timeout", "20"]
    done = subprocess.run([*command, *options, *words], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return [], (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]
    skipped = [f"{package['name']}: {package['skip_reason']}" for package in packages if "skip_reason" in package]
    if skipped:
        return [], f"{len(skipped)} packages were not looked up, the first is {skipped[0]}"
    return [
        f"{package['name']} {package['version']}: {hole['id']}, fixed in {hole['fix_versions']}"
        for package in packages
        for hole in package["vulns"]
    ], None


def main(path: Path, *words: str) -> int:
    """Print the findings; return 1 if there are vulnerabilities or packages that differ from their pin."""
    pinned = pins(path)
    stray = astray(pinned)
    for line in stray:
        print(line)
    print(f"{len(pinned)} packages pinned, {len(stray)} installed otherwise")
    holes, reason = audit(path, *words)
    for line in holes:
        print(line)
    if reason is None:
        print(f"audited: {len(holes)} known holes")
    else:
        print(f"NOT audited for known holes: the database could not be asked ({reason})")
    return int(bool(stray or holes))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
