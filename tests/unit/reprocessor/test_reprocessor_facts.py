"""What the reprocessor publishes fits into messages, whatever names and errors its files have."""

import uuid
from datetime import UTC, datetime
from typing import Any, cast

from signalbox_chassis.persistence.database import UnitOfWork
from signalbox_contracts.messages.reprocessing import ReprocessingStatus, ReprocessingWorkerRecord
from signalbox_reprocessor.facts import publish_state

NOW = datetime(2026, 3, 28, tzinfo=UTC)
NAME = "событие/" * 250


def test_the_state_of_a_job_whose_files_have_long_names_is_published() -> None:
    """Else the job is shown as running for ever."""
    place = {"path": NAME[:2000], "line": 1, "byte": 0}
    values: dict[str, Any] = {
        "job_id": uuid.uuid4(), "status": "failed", "error": "1000 files failed",
        "workers": [
            ReprocessingWorkerRecord(
                worker_index=index, status=ReprocessingStatus.FAILED, updated_at=NOW, error=NAME[:2000],
                current_file=NAME[:2000],
            )
            for index in range(50)
        ],
        "failures": [{**place, "error": NAME[:2000]}] * 20,
        "bad_lines": [{**place, "reason": "not JSON", "sample": "\x01" * 512}] * 20,
    }  # fmt: skip
    work = UnitOfWork(cast("Any", None), "schema", [])
    publish_state(work, values, 3, NOW)
    assert len(work.messages) == 1
