"""Generated requests against a real gateway, positive and negative: every answer is one that the document allows.

`make fuzz` runs it for ten minutes, `make fuzz SECONDS=120` for two. CI gives a seed, so that it always sends the same.
`make fuzz ROLE=viewer` sends as a viewer, and then checks that nothing was written; `operator` and `user` are others.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Final

import pytest

from signalbox_gateway import openapi
from support.gateway import JOB, SCRIPTED, Gateway, running_gateway

SEED: Final = os.environ.get("SIGNALBOX_FUZZ_SEED")
SECONDS: Final = int(os.environ.get("SIGNALBOX_FUZZ_SECONDS", "120"))
ROLE: Final = os.environ.get("SIGNALBOX_FUZZ_ROLE") or "admin"
OF_ITSELF: Final = {
    "key_create", "key_delete", "live_ticket_create", "auth_logout", "auth_password", "auth_login", "auth_refresh",
    "auth_oidc_tokens",
}  # fmt: skip
"""What a viewer may do: nothing of it is about work, definitions or other accounts."""
WRITTEN: Final = (
    "definition", "definition_version", "plan", "operation", "principal", "binding", "event_source", "workflow_run",
    "reprocessing_job",
)  # fmt: skip
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
    registration = "off" if ROLE == "viewer" else "on"
    async with running_gateway(
        postgres_url, kafka_bootstrap, blob_url=tmp_path.as_uri(), registration=registration
    ) as api:
        await api.ask("POST", "/engines", SCRIPTED)
        await api.ask("POST", "/jobs", JOB)
        await api.ask("POST", "/users", {"username": "caller", "kind": "service", "role": ROLE})
        token: str = (await api.ask("POST", "/keys", {"username": "caller"}))["key"]
        before = await counts(api)
        run = await asyncio.create_subprocess_exec(
            str(COMMAND), "--config-file", str(CONFIG), "run", str(openapi.FILE), "--url", api.url,
            "--max-time", str(SECONDS),
            "--checks", ",".join(CHECKS), "--phases", "examples,coverage,fuzzing", "--max-examples", "200",
            "--header", f"Authorization: Bearer {token}", "--continue-on-failure", "--no-color",
            "--suppress-health-check", "all", "--warnings", "off",
            "--request-timeout", "30", *(("--seed", SEED) if SEED else ()), cwd=tmp_path,
        )  # fmt: skip
        assert await run.wait() == 0, "see the report above"
        after = await counts(api)
        if ROLE == "viewer":
            assert after == before, "a viewer wrote"
            assert await done_by(api, "user:caller") <= OF_ITSELF
        elif ROLE != "user":
            assert after["definition"] > 2, "nothing was accepted: the positive half did not work"


async def counts(api: Gateway) -> dict[str, int]:
    """How many rows there are of what is written for people and for other services."""
    return {table: await api.value(f"SELECT count(*) FROM {table}") for table in WRITTEN}  # noqa: S608


async def done_by(api: Gateway, actor: str) -> set[str]:
    """The operations that the audit trail has as done by an account."""
    query = "SELECT record FROM audit_pending UNION ALL SELECT record FROM audit"
    async with api.connection() as connection:
        entries = [json.loads(row["record"]) for row in await connection.fetch(query)]
    return {one["action"] for one in entries if (one["actor"], one["outcome"]) == (actor, "done")}
