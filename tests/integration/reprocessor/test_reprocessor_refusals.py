"""Jobs that cannot run are refused with the field and the reason, and nothing is counted."""

import os
from pathlib import Path
from typing import Any

from support.reprocessing import Reprocessors, write_events

REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"local_path": "/etc"}, "local_path: /etc is not in a folder the operator allows"),
    ({"local_path": "{events}/nowhere"}, "there is no such folder"),
    ({"local_path": "{events}/empty"}, "there is no file *.ndjson or *.ndjson.gz below"),
    ({"local_path": "{events}/link"}, "is not in a folder the operator allows"),
    ({"local_path": "{events}/../.."}, "is not in a folder the operator allows"),
    ({"files": ["other.ndjson"]}, "files: not below"),
    ({"start_file": "other.ndjson"}, "start_file: other.ndjson is not among the files"),
    ({"connection_ids": []}, "connection_ids: needed: no repository of streams is configured"),
)


async def test_a_job_without_files_is_refused_with_the_field(reprocessors: Reprocessors) -> None:
    write_events(reprocessors.events, 1, 1)
    (reprocessors.events / "empty").mkdir()
    (reprocessors.events / "link").symlink_to("/etc")
    for config, reason in REFUSED:
        given = {
            name: value.replace("{events}", str(reprocessors.events)) if isinstance(value, str) else value
            for name, value in config.items()
        }
        assert reason in await reprocessors.refused(**given)


async def test_a_name_that_is_no_text_refuses_its_job_and_no_other(reprocessors: Reprocessors) -> None:
    write_events(reprocessors.events / "good", 1, 3)
    strange = reprocessors.events / "strange"
    strange.mkdir()
    Path(os.fsdecode(os.fsencode(strange) + b"/\xff\xfe.ndjson")).write_bytes(b"{}\n")
    assert "not UTF-8" in await reprocessors.refused(local_path=str(strange))
    job = await reprocessors.planned(local_path=str(reprocessors.events / "good"))
    assert await reprocessors.run_workers(job) == [0]
