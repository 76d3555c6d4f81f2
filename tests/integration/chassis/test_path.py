"""The whole path of a message through the example service: in, effect, out."""

from example_service.messages import COUNTERS
from support.service_fixture import Stand, commands, in_order_once


async def test_every_command_has_its_effect_and_its_answer_once_and_in_order(stand: Stand) -> None:
    async with stand.running():
        await stand.publish(commands(20, 50))
        await stand.until_entries(1000)
        await stand.until_sent()
    in_order_once(await stand.entries(), 20, 50)
    assert await stand.value("SELECT count(*) FROM inbox") >= 1000
    assert len(await stand.read_all(COUNTERS)) == 1000
