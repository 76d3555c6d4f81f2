"""Serve the recommendations: GET /health, GET /recommendations/USER. DATABASE_URL and PORT (8000) are its settings."""

import asyncio
import json
import os
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import asyncpg

MAX_USER_CHARACTERS = 200


async def recommendations(user: str) -> list[dict[str, object]]:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"], timeout=5)
    try:
        rows = await connection.fetch(
            "SELECT item_id, score, rank, day FROM recommendation WHERE user_id = $1 ORDER BY rank", user
        )
    finally:
        await connection.close()
    return [
        {"item": row["item_id"], "score": row["score"], "rank": row["rank"], "day": str(row["day"])} for row in rows
    ]


async def healthy() -> None:
    connection = await asyncpg.connect(os.environ["DATABASE_URL"], timeout=3)
    await connection.close()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            if self.path == "/health":
                asyncio.run(healthy())
                self._answer(HTTPStatus.OK, {"healthy": True})
            elif self.path.startswith("/recommendations/"):
                user = unquote(self.path.removeprefix("/recommendations/"))[:MAX_USER_CHARACTERS]
                self._answer(HTTPStatus.OK, {"user": user, "items": asyncio.run(recommendations(user))})
            else:
                self._answer(HTTPStatus.NOT_FOUND, {"detail": "there are /health and /recommendations/USER"})
        except (asyncpg.PostgresError, OSError, TimeoutError) as error:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, {"detail": f"the database: {type(error).__name__}"})

    def _answer(self, status: HTTPStatus, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8000"))), Handler).serve_forever()
