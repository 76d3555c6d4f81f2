"""Publishes the states of engines."""

from dataclasses import dataclass

from signalbox_chassis.persistence.clock import transaction_time
from signalbox_chassis.persistence.database import Database
from signalbox_contracts.messages.states import EngineStated
from signalbox_executor import facts
from signalbox_executor.lifecycle import is_worth_publishing
from signalbox_executor.store import states


@dataclass
class EngineStates:
    """States engines that changed."""

    database: Database

    async def publish_changed(self) -> None:
        """Publish the engines that changed; a pass a second is at most one fact a second of each."""
        async with self.database.unit_of_work() as work:
            now = await transaction_time(work.connection)
            records = await states.engine_records(work.connection)
            changed = [record for record, published in records if is_worth_publishing(record, published)]
            for record in changed:
                work.publish(
                    EngineStated.of(
                        record, subject=f"engine:{record.engine_id}", source=facts.SOURCE, time=now,
                        aggregateversion=record.version,
                    )
                )  # fmt: skip
            if changed:
                await states.save_published(work.connection, changed)
