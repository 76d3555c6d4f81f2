"""The file of the services' database addresses that provisioning writes."""

import os
import stat
from pathlib import Path

from signalbox_chassis.persistence.provision import ProvisionedService, read_roles, write_roles


def test_a_draft_of_a_run_that_was_ended_stops_no_later_run(tmp_path: Path) -> None:
    """A container's process has the same number each time: after one full disk provisioning failed for ever."""
    file = tmp_path / "roles.json"
    file.with_name(f".roles.json.{os.getpid()}").write_text("{")
    write_roles(file, [ProvisionedService("planner", "planner", "postgresql://p")])
    assert read_roles(file) == {"planner": "postgresql://p"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["roles.json"]
