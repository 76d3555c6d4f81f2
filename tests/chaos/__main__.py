"""`python -m chaos [--profile short|full] [--seed N] [--only KIND …] [--plan]`: exits with 1 when a rule is broken."""

import argparse
import asyncio
import logging
import random
import sys
from dataclasses import replace

from chaos.controls import CONTROLS
from chaos.faults import Kind
from chaos.run import PROFILES, Profile, faults_of, run

KNOWN = {**PROFILES, **CONTROLS}


def main(arguments: argparse.Namespace) -> int:
    profile = changed(KNOWN[arguments.profile], arguments)
    kinds = frozenset(map(Kind, arguments.only)) if arguments.only else None
    seed = arguments.seed if arguments.seed is not None else random.randrange(1, 2**31)
    print(f"seed {seed} (again: python -m chaos --profile {profile.name} --seed {seed})", flush=True)
    if arguments.plan:
        for fault in faults_of(profile, seed, kinds):
            print(fault)
        return 0
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("chaos").setLevel(logging.INFO)
    report, folder = asyncio.run(run(profile, seed, kinds=kinds, report_line=lambda text: print(text, flush=True)))
    print(report.text())
    if report.held:
        return 0
    print(f"\nthe logs are kept in {folder}", file=sys.stderr)
    return 1


def changed(profile: Profile, arguments: argparse.Namespace) -> Profile:
    """The profile with what the command line says instead."""
    amounts = {**profile.amounts, **({Kind.KILL: arguments.kills} if arguments.kills is not None else {})}
    seconds = arguments.minutes * 60 if arguments.minutes is not None else profile.seconds
    return replace(profile, tasks=arguments.tasks or profile.tasks, seconds=seconds, amounts=amounts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--profile", choices=sorted(KNOWN), default="full")
    parser.add_argument("--seed", type=int, help="drawn and printed when not given")
    parser.add_argument("--tasks", type=int)
    parser.add_argument("--minutes", type=float, help="of load and faults")
    parser.add_argument("--kills", type=int)
    parser.add_argument("--only", nargs="+", choices=[kind.value for kind in Kind], help="these faults of the plan")
    parser.add_argument("--plan", action="store_true", help="print the plan of faults and end")
    sys.exit(main(parser.parse_args()))
