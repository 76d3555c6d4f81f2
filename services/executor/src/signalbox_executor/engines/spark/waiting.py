"""Why a driver has no worker yet, or an application no executors, from the master's list. Pure."""

from collections.abc import Iterable

from signalbox_executor.engines.spark.answers import Application, Driver, WorkerEntry


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


def explain_executors(application: Application, workers: Iterable[WorkerEntry]) -> str:
    """A sentence for an application that runs and has no executors."""
    alive = [worker for worker in workers if worker.state == "ALIVE"]
    if not alive:
        return "no executors: no worker is alive"
    wants = f"each wants {application.memoryperexecutor} MiB"
    memory = max(worker.memory for worker in alive)
    if memory < application.memoryperexecutor:
        return (
            f"no worker can ever run its executors: {wants}, and the largest of {len(alive)} workers has {memory} MiB"
        )
    free = max(alive, key=lambda worker: (worker.memoryfree, worker.coresfree))
    return (
        f"no executors yet: {wants}, and the freest of {len(alive)} workers has {free.coresfree} cores and "
        f"{free.memoryfree} MiB free"
    )
