"""Every pair of statements that can meet on one row, on two real connections stepped by hand.

The first runs in an open transaction. The second starts: it waits for the first, passes its row by, or has nothing to
do with it. Then the first commits, or is rolled back. Rows changed are counted, and the scene afterwards must be the
one that the same two statements leave when they run one after the other.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from signalbox_chassis.persistence.connection import Connection
from support.executor import Store, make_store, remove_store
from support.statements import SCENES, STATEMENTS, Scene, picture

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAITS_AND_CHANGES, WAITS_FOR_NOTHING, PASSES_BY, CHANGES_AT_ONCE = "1", "0", "s", "+"

# Who commits first is the row, who comes second the column:
#   1  it waits, and then changes the row as the first one left it
#   0  it waits, and then finds the row not its own any more
#   s  it does not wait, and changes nothing: it skips a locked row, or does not see it yet
#   +  it does not wait, and changes what it came for: they do not meet
TABLE = """
nothing     accept claim cancel
accept        0      s     s
claim         +      0     s
cancel        +      s     s

queued      accept claim cancel expire explain say
accept        s      +     +      +      +      +
claim         0      0     1      s      s      s
cancel        0      s     0      s      s      s
expire        0      s     0      s      s      s
explain       0      s     1      s      s      s
say           0      s     1      s      s      s

spread      claim claim-there lower hold
claim         0        0        1     1
claim-there   0        0        1     1
lower         0        0        0     1
hold          0        0        0     0

deserted    claim renew retire take
claim         0     1     1     +
renew         1     1     1     1
retire        0     0     1     0
take          +     1     1     1

claimed     intent give-back sweep cancel let-end take-over
intent        0        0       0     1       1        1
give-back     0        0       0     1       1        0
sweep         0        0       0     1       1        1
cancel        0        0       0     0       0        0
let-end       0        0       0     0       0        0
take-over     0        0       0     1       1        0

submitting  record sends no-answer refused sealed unclear cancel let-end take-over
record        0      0       0        0       0      0       1       1       0
sends         1      1       1        0       1      1       1       1       1
no-answer     1      1       0        1       1      1       1       1       1
refused       0      0       0        0       0      0       0       0       0
sealed        0      0       0        0       0      0       0       0       0
unclear       0      0       0        0       0      0       1       1       0
cancel        1      1       1        1       1      1       0       0       1
let-end       1      1       1        1       1      1       1       0       1
take-over     0      0       0        0       0      0       1       1       0

running     succeeded failed not-found runs cancel let-end stop
succeeded       0       0        0      0     0       0      s
failed          0       0        0      0     1       1      s
not-found       1       1        1      1     1       1      s
runs            1       1        1      1     1       1      s
cancel          1       1        1      1     0       0      s
let-end         1       1        1      1     1       0      s
stop            1       1        1      1     1       1      s

stopping    succeeded failed not-found runs cancel let-end give-up
succeeded       0       0        0      0     0       0       0
failed          0       0        0      0     1       1       0
not-found       1       1        1      1     1       1       0
runs            1       1        1      1     1       1       1
cancel          1       1        1      1     0       0       1
let-end         1       1        1      1     1       0       1
give-up         1       1        1      1     1       1       0

unknown     succeeded failed not-found runs cancel let-end stop adopt again
succeeded       0       0        0      0     0       0      s    0     0
failed          0       0        0      0     1       1      s    0     0
not-found       1       1        1      1     1       1      s    1     1
runs            1       1        1      1     1       1      s    0     0
cancel          1       1        1      1     0       0      s    1     1
let-end         1       1        1      1     1       0      s    1     1
stop            1       1        1      1     1       1      s    1     1
adopt           1       1        1      1     1       1      s    0     0
again           0       0        0      0     1       1      s    0     0

watched     lease own-lease pass
lease         1       0      0
own-lease     0       1      0
pass          1       1      0
"""


@dataclass(frozen=True)
class Meeting:
    """Two statements, who commits first, and what the second one does."""

    scene: str
    first: str
    second: str
    expected: str

    def __str__(self) -> str:
        return f"{self.scene}: {self.first}, {self.second}"


def meetings() -> Iterator[Meeting]:
    for block in TABLE.strip().split("\n\n"):
        head, *lines = (line.split() for line in block.splitlines())
        assert [line[0] for line in lines] == head[1:], "every statement with every other"
        for first, *cells in lines:
            for second, cell in zip(head[1:], cells, strict=True):
                yield Meeting(head[0], first, second, cell)


@dataclass(frozen=True)
class Stage:
    """Connections that are there for all meetings: two that race, one that looks."""

    one: Connection
    two: Connection
    looking: Connection
    second_pid: int
    known: dict[tuple[str, ...], tuple[int, str]] = field(default_factory=dict[tuple[str, ...], tuple[int, str]])
    """What statements leave that run one after the other: looked up, not run again."""

    async def scene(self, name: str) -> Scene:
        async with self.one.transaction():
            return await SCENES[name](self.one)

    async def run(self, name: str, scene: Scene) -> int:
        """By itself, committed."""
        async with self.one.transaction():
            return await STATEMENTS[name](scene, self.one)

    async def blocked(self) -> bool:
        return await self.looking.fetchval("SELECT cardinality(pg_blocking_pids($1)) > 0", self.second_pid)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(postgres_url: str) -> AsyncGenerator[Store]:
    made = await make_store(postgres_url)
    yield made
    await remove_store(made, postgres_url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(place: Store) -> AsyncGenerator[Stage]:
    async with place.connection() as one, place.connection() as two, place.connection() as looking:
        yield Stage(one, two, looking, await two.fetchval("SELECT pg_backend_pid()"))


async def raced(stage: Stage, meeting: Meeting, scene: Scene, *, commits: bool) -> tuple[bool, int]:
    """Whether the second waited for the first, and how many rows it changed."""

    async def second() -> int:
        async with stage.two.transaction():
            return await STATEMENTS[meeting.second](scene, stage.two)

    transaction = stage.one.transaction()
    await transaction.start()
    try:
        await STATEMENTS[meeting.first](scene, stage.one)
        coming = asyncio.create_task(second())
        async with asyncio.timeout(60):
            while not (waited := await stage.blocked()) and not coming.done():
                pass
    except BaseException:
        await transaction.rollback()
        raise
    await (transaction.commit() if commits else transaction.rollback())
    return waited, await coming


async def one_after_the_other(stage: Stage, *names: str) -> tuple[int, str]:
    """What the last of these statements changes in a scene of this name, and the scene afterwards."""
    if names not in stage.known:
        scene, changed = await stage.scene(names[0]), 0
        for name in names[1:]:
            changed = await stage.run(name, scene)
        stage.known[names] = changed, await picture(stage.one)
    return stage.known[names]


@pytest.mark.parametrize("meeting", list(meetings()), ids=str)
async def test_the_second_of_two_does_what_it_would_have_done_after_the_first(stage: Stage, meeting: Meeting) -> None:
    """INVARIANT: guards are read from the row as it is written. Else a statement acts on what is not so any more."""
    scene = await stage.scene(meeting.scene)
    waited, changed = await raced(stage, meeting, scene, commits=True)
    assert _cell(waited=waited, changed=changed) == meeting.expected
    if meeting.expected == PASSES_BY:  # it is a loop's: its next pass comes
        changed = await stage.run(meeting.second, scene)
    in_order = await one_after_the_other(stage, meeting.scene, meeting.first, meeting.second)
    assert (changed, await picture(stage.one)) == in_order


@pytest.mark.parametrize("meeting", list(meetings()), ids=str)
async def test_after_a_rollback_the_second_of_two_does_what_it_does_alone(stage: Stage, meeting: Meeting) -> None:
    """A process that dies inside its transaction leaves nothing, and whoever waited for it goes on."""
    scene = await stage.scene(meeting.scene)
    waited, changed = await raced(stage, meeting, scene, commits=False)
    assert waited == (meeting.expected in (WAITS_AND_CHANGES, WAITS_FOR_NOTHING))
    if meeting.expected == PASSES_BY:
        assert changed == 0
        changed = await stage.run(meeting.second, scene)
    assert (changed, await picture(stage.one)) == await one_after_the_other(stage, meeting.scene, meeting.second)


def _cell(*, waited: bool, changed: int) -> str:
    if waited:
        return WAITS_AND_CHANGES if changed else WAITS_FOR_NOTHING
    return CHANGES_AT_ONCE if changed else PASSES_BY
