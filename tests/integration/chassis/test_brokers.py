"""Several brokers: the setting names them all, and one that does not answer keeps nobody from the others."""

from support.service_fixture import Stand, commands


async def test_a_service_reaches_kafka_by_the_second_broker_when_the_first_does_not_answer(stand: Stand) -> None:
    await stand.publish(commands(1, 3))
    stand.bootstrap = f"127.0.0.1:1,{stand.bootstrap}"
    async with stand.running():
        await stand.until_entries(3)
        await stand.until_sent()
