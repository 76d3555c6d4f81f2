"""Generated requests against a real gateway, positive and negative: every answer is one that the document allows.

`make fuzz` runs it for ten minutes, `make fuzz SECONDS=120` for two. CI gives a seed, so that it always sends the same.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import pytest

from support.gateway import JOB, SCRIPTED, running_gateway

SEED: Final = os.environ.get("SIGNALBOX_FUZZ_SEED")
SECONDS: Final = int(os.environ.get("SIGNALBOX_FUZZ_SECONDS", "120"))
CHECKS: Final = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "ignored_auth",
)  # fmt: skip
CONFIG: Final = Path(__file__).with_name("schemathesis.toml")
COMMAND: Final = Path(sys.executable).with_name("schemathesis")


@pytest.mark.fuzz
@pytest.mark.timeout(SECONDS + 240)
async def test_no_generated_request_gets_an_answer_that_is_not_documented(
    postgres_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    async with running_gateway(postgres_url, kafka_bootstrap, blob_url=tmp_path.as_uri()) as api:
        await api.ask("POST", "/engines", SCRIPTED)
        await api.ask("POST", "/jobs", JOB)
        run = await asyncio.create_subprocess_exec(
            str(COMMAND), "--config-file", str(CONFIG), "run", f"{api.url}/openapi.json", "--url", api.url,
            "--max-time", str(SECONDS),
            "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--max-examples", "200",
            "--header", f"Authorization: Bearer {api.token}", "--continue-on-failure", "--no-color",
            "--suppress-health-check", "all", "--warnings", "off",
            "--request-timeout", "30", *(("--seed", SEED) if SEED else ()), cwd=tmp_path,
        )  # fmt: skip
        assert await run.wait() == 0, "see the report above"
        rows = await api.value("SELECT count(*) FROM definition")
        assert rows > 2, "nothing was accepted: the positive half did not work"
