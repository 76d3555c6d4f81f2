"""What a run came to: printed, and kept as text and JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chaos.judge import MAX_SHOWN


@dataclass
class Report:
    """Counts of one run, and the verdict on each invariant."""

    seed: int
    profile: str
    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict[str, int])
    """What happened, in words → how often."""
    not_run: dict[str, int] = field(default_factory=dict[str, int])
    findings: Mapping[str, Sequence[str]] = field(default_factory=dict[str, list[str]])
    open_work: dict[str, int] = field(default_factory=dict[str, int])
    """What was still under way when waiting for it was over; empty where nothing was."""

    @property
    def held(self) -> bool:
        return bool(self.findings) and not any(self.findings.values())

    def text(self) -> str:
        lines = [f"chaos: seed {self.seed}, profile {self.profile}, {self.seconds:.0f} s", ""]
        width = max(map(len, [*self.counts, *self.findings, *self.not_run]), default=0)
        lines += [f"  {name:{width}}  {count:>7,}" for name, count in self.counts.items()]
        lines += [f"  {name:{width}}  {count:>7,} not run" for name, count in self.not_run.items()]
        lines.append("")
        for name, found in self.findings.items():
            lines.append(f"  {name:{width}}  {'held' if not found else f'{len(found)} findings'}")
            lines += [f"      {one}" for one in found[:MAX_SHOWN]]
            lines += [f"      … and {len(found) - MAX_SHOWN} more"] if len(found) > MAX_SHOWN else []
        if self.open_work:
            lines += [
                "",
                f"  still under way: {', '.join(f'{name} {count}' for name, count in self.open_work.items())}",
            ]
        return "\n".join(lines)

    def keep(self, folder: Path) -> Path:
        """Write both; the text's file."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{self.profile}-{self.seed}"
        (folder / f"{name}.json").write_text(json.dumps({**asdict(self), "held": self.held}, indent=2))
        file = folder / f"{name}.txt"
        file.write_text(self.text() + "\n")
        return file
