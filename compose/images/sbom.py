"""`python sbom.py`: the packages of this environment as a CycloneDX 1.5 document; `--check` names licences to look at.

Exits 1 with `--check` when a package has another licence than those that are allowed with Apache-2.0 programs.
"""

import json
import re
import sys
from importlib.metadata import Distribution, distributions

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


def document(packages: dict[str, Distribution]) -> dict[str, object]:
    """The CycloneDX document."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "components": [
            {
                "type": "library",
                "name": name,
                "version": package.version,
                "purl": f"pkg:pypi/{name}@{package.version}",
                "licenses": [{"license": {"name": licence(package) or "unknown"}}],
            }
            for name, package in sorted(packages.items())
        ],
    }


def problems(packages: dict[str, Distribution]) -> list[str]:
    """A line for each package whose licence is not known to be allowed."""
    found = {name: licence(package) for name, package in sorted(packages.items())}
    return [
        f"{name}: licence {text or 'unknown'}"
        for name, text in found.items()
        if DENIED.search(text) or not ALLOWED.search(text)
    ]


def installed() -> dict[str, Distribution]:
    return {re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower(): one for one in distributions()}


def main() -> int:
    packages = installed()
    if sys.argv[1:] == ["--check"]:
        lines = problems(packages)
        print("\n".join(lines))
        return 1 if lines else 0
    print(json.dumps(document(packages), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
