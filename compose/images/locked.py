"""`python locked.py LOCK NAMES`: print the entries of LOCK, with hashes, for the packages named in NAMES."""

import re
import sys
from pathlib import Path


def main() -> int:
    lock, names = (Path(argument).read_text(encoding="utf-8") for argument in sys.argv[1:3])
    found: dict[str, str] = {}
    for entry in re.findall(r"^\S.*(?:\n[ \t]+.*)*\n", lock, re.MULTILINE):
        name = re.sub(r"[-_.]+", "-", re.split(r"[=\[; ]", entry, maxsplit=1)[0]).lower()
        found[name] = found.get(name, "") + entry  # a package may have an entry for each version of Python
    missing = [name for name in names.split() if name not in found]
    if missing:
        print(f"not in the lock: {', '.join(missing)}; run `make generate`", file=sys.stderr)
        return 1
    print("".join(found[name] for name in names.split()), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
