"""Finds the driver of a run key at the master: by the command that started it, which its worker shows.

The master's list says nothing of an application's name or properties; the first line of a driver's `stderr` holds them
all. A driver that no worker has yet cannot be distinguished from others.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from signalbox_contracts.definitions.spark_work import RUN_KEY
from signalbox_executor.engines.port import EngineThrottled, EngineUnavailable
from signalbox_executor.engines.spark.answers import Cluster, Driver, WorkerEntry
from signalbox_executor.engines.spark.master import Master

MAX_READ: Final = 100
"""Commands that one search reads, the newest drivers first."""
MAX_KNOWN: Final = 20_000
CLOCKS_APART: Final = timedelta(minutes=10)
"""How far the master's clock may be behind ours."""
_KEY: Final = re.compile(f'"-D{re.escape(RUN_KEY)}=([^"]{{1,100}})"')


class DriverLookup:
    """Drivers of one master by run key. A command that was read once is remembered: it never changes."""

    def __init__(self, master: Master) -> None:
        self._master = master
        self._keys: dict[str, str] = {}

    async def find(self, run_key: str, cluster: Cluster, sent_at: datetime) -> str | None:
        """The driver that was started for this key; None where there is none, or none that shows its command yet."""
        workers = cluster.worker_entries()
        drivers = sorted(cluster.drivers().values(), key=lambda driver: driver.starttime, reverse=True)
        after, read = sent_at - CLOCKS_APART, 0
        for driver in drivers:
            if driver.started_at is not None and driver.started_at < after:
                break
            key = self._keys.get(driver.id)
            if key is None and read < MAX_READ:
                read += 1
                key = await self._read(driver, workers)
            if key == run_key:
                return driver.id
        return None

    async def _read(self, driver: Driver, workers: Mapping[str, WorkerEntry]) -> str | None:
        worker = workers.get(driver.worker or "")
        if worker is None or not worker.webuiaddress:
            return None
        try:
            line = await self._master.launch_line(worker.webuiaddress, driver.id)
        except (EngineUnavailable, EngineThrottled):  # this worker does not answer: the others do
            return None
        if not line:
            return None
        found = _KEY.search(line)
        if len(self._keys) >= MAX_KNOWN:
            self._keys.clear()
        self._keys[driver.id] = found[1] if found else ""
        return self._keys[driver.id]
