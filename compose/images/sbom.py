"""`python sbom.py`: the packages of this environment as a CycloneDX 1.5 document; `--check` names licences to look at.

`--names FILE` takes the packages that are named in the file, a line each, alone. `--console FILE` is the console's
`package-lock.json`, whose packages belong to the document as well.

Exits 1 with `--check` when a package has another licence than those that are allowed with Apache-2.0 programs.
"""

import argparse
import json
import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

ALLOWED = re.compile(
    r"\b(MIT|MIT-0|BSD|0BSD|[23]-Clause|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla Public License|Unlicense|"
    r"Zlib|CC0)\b",
    re.IGNORECASE,
)
DENIED = re.compile(r"(?<!L)\bA?GPL|\bGNU (Affero )?General Public", re.IGNORECASE)


def licence(package: Distribution) -> str:
    """What its metadata has, in the order of how exact that is."""
    classifiers = [line.rpartition(" :: ")[2] for line in _all(package, "Classifier") if line.startswith("License")]
    named = ", ".join(one for one in classifiers if one != "OSI Approved")
    text = "\n".join(_all(package, "License")).strip().splitlines()
    return "".join(_all(package, "License-Expression")) or named or (text[0] if text else "")


def _all(package: Distribution, name: str) -> list[str]:
    return [str(value) for value in package.metadata.get_all(name) or []]


def document(packages: dict[str, Distribution], console: dict[str, tuple[str, str]] | None = None) -> dict[str, object]:
    """The CycloneDX document."""
    found = [("pypi", name, one.version, licence(one)) for name, one in sorted(packages.items())]
    found += [("npm", name, version, text) for name, (version, text) in sorted((console or {}).items())]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "components": [
            {
                "type": "library",
                "name": name,
                "version": version,
                "purl": f"pkg:{kind}/{name.replace('@', '%40')}@{version}",
                "licenses": [{"license": {"name": text or "unknown"}}],
            }
            for kind, name, version, text in found
        ],
    }


def problems(packages: dict[str, Distribution], console: dict[str, tuple[str, str]] | None = None) -> list[str]:
    """A line for each package whose licence is not known to be allowed."""
    found = {name: licence(package) for name, package in sorted(packages.items())}
    found |= {f"npm {name}": text for name, (_, text) in sorted((console or {}).items())}
    return [
        f"{name}: licence {text or 'unknown'}"
        for name, text in found.items()
        if DENIED.search(text) or not ALLOWED.search(text)
    ]


def installed() -> dict[str, Distribution]:
    return {re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one for one in distributions()}


def console_packages(lock: Path) -> dict[str, tuple[str, str]]:
    """Name → version and licence of what the console is built with and of, but for what only its tests need."""
    entries: dict[str, dict[str, Any]] = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    return {
        place.rpartition("node_modules/")[2]: (str(one["version"]), str(one.get("license", "")))
        for place, one in entries.items()
        if place and not one.get("dev")
    }


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--names", type=Path)
    arguments.add_argument("--console", type=Path)
    chosen = arguments.parse_args()
    packages = installed()
    if chosen.names:
        packages = {name: packages[name] for name in chosen.names.read_text(encoding="utf-8").split()}
    console = console_packages(chosen.console) if chosen.console else {}
    if chosen.check:
        lines = problems(packages, console)
        for line in lines:
            print(line)
        return 1 if lines else 0
    print(json.dumps(document(packages, console), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
