"""A minute of chaos in every test run; `make chaos` is the long one."""

import random

import pytest

from chaos.faults import NETWORK
from chaos.run import SHORT, run


@pytest.mark.timeout(600)
async def test_a_minute_of_kills_freezes_and_restarts_breaks_no_invariant() -> None:
    """Another seed each time: it is printed, and the same faults come again with `python -m chaos --seed`."""
    seed = random.randrange(1, 2**31)
    report, folder = await run(SHORT, seed)
    published = f"{report.text()}\nthe logs are kept in {folder}"
    assert report.held, published
    assert report.counts["items"] >= SHORT.tasks, published  # one that is cancelled before it is sent is never a task
    for kind, count in SHORT.amounts.items():
        assert report.counts.get(f"fault: {kind}") == count or (kind in NETWORK and report.not_run), published
    for seen in ("engine starts", "duplicates dropped at the engines", "samples at the engines", "facts of tasks read"):
        assert report.counts[seen] > 0, published
