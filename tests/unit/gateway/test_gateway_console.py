"""The console's files are served with a policy that lets no inline script run, and nothing beside them is."""

import gzip
from pathlib import Path

import pytest
from fastapi import FastAPI, Request, Response

from signalbox_gateway.http import console
from signalbox_gateway.http.problems import Problem
from signalbox_gateway.routes import reprocessing_logs
from support.asgi import get

SCRIPT = "console.log('here');\n" * 200


def application(folder: Path) -> FastAPI:
    app = FastAPI()
    console.serve(app, folder)
    app.include_router(reprocessing_logs.router)

    async def problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response("")

    app.add_exception_handler(Problem, problem)
    return app


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    built = tmp_path / "built"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<!doctype html><title>Signalbox</title>")
    (built / "assets" / "index-abc.js").write_text(SCRIPT)
    (tmp_path / "secret.js").write_text("secret")
    return application(built)


@pytest.mark.parametrize("path", ["/console/", "/console/runs", "/console/runs/some-id"])
async def test_every_page_is_the_same_document_and_is_asked_for_each_time(app: FastAPI, path: str) -> None:
    answer = await get(app, path)
    assert answer.status == 200
    assert b"<title>Signalbox" in answer.body
    assert answer.headers["cache-control"] == "no-cache"


async def test_no_inline_script_may_run(app: FastAPI) -> None:
    policy = (await get(app, "/console/")).headers["content-security-policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == "'self'"
    assert directives["frame-ancestors"] == "'none'"


async def test_scripts_are_packed_and_kept(app: FastAPI) -> None:
    packed = await get(app, "/console/assets/index-abc.js", "gzip, br")
    assert gzip.decompress(packed.body).decode() == SCRIPT
    assert packed.headers["content-encoding"] == "gzip"
    assert "immutable" in packed.headers["cache-control"]
    assert (await get(app, "/console/assets/index-abc.js")).body.decode() == SCRIPT


@pytest.mark.parametrize("name", ["../../secret.js", "../index.html", "no-such.js", ".hidden", "\0", "a/b"])
async def test_nothing_outside_of_the_folder_is_served(app: FastAPI, name: str) -> None:
    assert (await get(app, f"/console/assets/{name}")).status == 404


async def test_a_console_that_is_not_built_yet_is_a_problem_that_explains(tmp_path: Path) -> None:
    answer = await get(application(tmp_path / "nowhere"), "/console/")
    assert answer.status == 404
    assert b"not built" in answer.body


VIEWER = "/api/admin/reprocessing/jobs/0193f4d2-0000-7000-8000-000000000001/logs/view"


async def test_the_address_of_the_log_viewer_leads_to_its_page(app: FastAPI) -> None:
    answer = await get(app, VIEWER)
    assert (answer.status, answer.headers["location"]) == (
        303,
        "/console/reprocessing/0193f4d2-0000-7000-8000-000000000001/logs",
    )
    assert (await get(app, answer.headers["location"])).status == 200


async def test_the_log_viewer_takes_no_token_in_its_address_and_says_how_to_sign_in(app: FastAPI) -> None:
    answer = await get(app, f"{VIEWER}?token=sbk_secret")
    assert answer.status == 400
    assert b"sign in" in answer.body
    assert b"sbk_secret" not in answer.body
