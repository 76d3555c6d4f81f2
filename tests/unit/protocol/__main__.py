"""Prints variants, one line each; with part of a name, those and their shortest traces; as a table for the page."""

import argparse
import sys
import time

from .search import Verdict, check
from .trace import narrate
from .variants import VARIANTS, Variant, named


def table_row(variant: Variant, verdict: Verdict) -> str:
    text = f"**{verdict.breach}**" if verdict.breach else "safe and live"
    return f"| {variant.name} | {verdict.states:,} | {text} |"


def line(variant: Variant, verdict: Verdict, took: float) -> str:
    mark = " " if verdict.breach == variant.expected else "✗"
    text = verdict.breach or "safe and live"
    return f"{mark} {named(variant)} | {verdict.states:,} states, {took:.1f} s | {text}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m unit.protocol", description=__doc__)
    parser.add_argument("name", nargs="*", help="part of a variant's chapter and name")
    parser.add_argument(
        "--markdown", action="store_true", help="print the table of docs/architecture/protocol-model.md"
    )
    arguments = parser.parse_args()
    wanted = " ".join(arguments.name)
    unexpected, chapter = 0, ""
    for variant in VARIANTS:
        if wanted not in named(variant):
            continue
        began = time.perf_counter()
        verdict = check(variant.model)
        unexpected += verdict.breach != variant.expected
        if arguments.markdown:
            if variant.chapter != chapter:
                chapter = variant.chapter
                print(f"| **{chapter}** | | |")
            print(table_row(variant, verdict), flush=True)
            continue
        print(line(variant, verdict, time.perf_counter() - began), flush=True)
        if wanted:
            print(*narrate(variant.model, verdict), sep="\n")
    print(f"{unexpected} not as expected" if unexpected else "all as expected", file=sys.stderr)
    return unexpected > 0


if __name__ == "__main__":
    sys.exit(main())
