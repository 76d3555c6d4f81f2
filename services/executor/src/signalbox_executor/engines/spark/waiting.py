"""Why a driver has no worker yet, from the master's list. Pure."""

from collections.abc import Iterable

from signalbox_executor.engines.spark.answers import Driver, WorkerEntry


def explain(driver: Driver, workers: Iterable[WorkerEntry]) -> str:
    """A sentence for a driver that waits."""
    alive = [worker for worker in workers if worker.state == "ALIVE"]
    wants = f"{driver.cores} cores and {driver.memory} MiB"
    if not alive:
        return f"no worker is alive: the driver wants {wants}"
    cores, memory = max(worker.cores for worker in alive), max(worker.memory for worker in alive)
    if not any(worker.cores >= driver.cores and worker.memory >= driver.memory for worker in alive):
        return (
            f"no worker can ever run it: the driver wants {wants}, and the largest of {len(alive)} workers has "
            f"{cores} cores and {memory} MiB"
        )
    free = max(alive, key=lambda worker: (worker.memoryfree, worker.coresfree))
    return (
        f"no worker is free: the driver wants {wants}, and the freest of {len(alive)} workers has {free.coresfree} "
        f"cores and {free.memoryfree} MiB free"
    )
