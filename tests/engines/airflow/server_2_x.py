"""A real Airflow 2 for the tests (`make test-airflow AIRFLOW=2`): webserver with basic authentication, scheduler."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

from engines.airflow.server import PASSWORD, USERNAME, AirflowServer

WEBSERVER: Final = (
    "webserver", "--hostname", "127.0.0.1", "--workers", "2", "--access-logfile", "-", "--error-logfile", "-",
)  # fmt: skip
SDK: Final = """# The names of Airflow 3's `airflow.sdk` that the DAGs of the tests import, as 2.x has them.
from airflow.decorators import dag, setup, task, teardown
from airflow.models.param import Param
from airflow.operators.python import get_current_context
"""


class Airflow2Server(AirflowServer):
    """One Airflow 2 in a folder. Its scheduler parses the DAGs."""

    major: ClassVar[int] = 2
    version: ClassVar[str] = "2.11.0"
    api: ClassVar[str] = "/api/v1"
    health: ClassVar[str] = "/api/v1/health"
    parts: ClassVar[Sequence[str]] = ("metadatabase", "scheduler")
    commands: ClassVar[Mapping[str, Sequence[str]]] = {
        "api-server": WEBSERVER,
        "scheduler": ("scheduler", "--skip-serve-logs"),
    }

    def authorization(self) -> str:
        return f"Basic {b64encode(f'{USERNAME}:{PASSWORD}'.encode()).decode()}"

    def _copy_dags(self, sources: Sequence[Path]) -> None:
        """The DAGs of the tests are written for 3.x: here they find the same names in a module of their own.

        Airflow skips files without the word "airflow", which the module's name has.
        """
        plugins = self.folder / "plugins"
        plugins.mkdir()
        (plugins / "airflow_sdk_of_tests.py").write_text(SDK)
        for source in sources:
            text = source.read_text().replace("from airflow.sdk import", "from airflow_sdk_of_tests import")
            (self.dags / source.name).write_text(text)

    def _make_database(self) -> None:
        super()._make_database()
        self._airflow(
            "users", "create", "--username", USERNAME, "--password", PASSWORD, "--role", "Admin",
            "--firstname", "A", "--lastname", "B", "--email", "admin@example.org",
        )  # fmt: skip

    def _own_settings(self) -> dict[str, str]:
        return {
            "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth",
            "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(self._port),
            "AIRFLOW__WEBSERVER__BASE_URL": self.url,
            "AIRFLOW__WEBSERVER__SECRET_KEY": self._secret,
            "AIRFLOW__WEBSERVER__WARN_DEPLOYMENT_EXPOSURE": "False",
            "AIRFLOW__CORE__INTERNAL_API_SECRET_KEY": self._secret,
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "2",
            "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "5",
        }
