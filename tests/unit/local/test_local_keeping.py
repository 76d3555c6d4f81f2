"""What a server's death costs while the services start."""

import pytest

from signalbox_local import keeping
from signalbox_local.errors import ServerNotReady
from signalbox_local.keeping import Keeper
from signalbox_local.progress import Reporter


class _Server:
    def __init__(self, *, dies: bool = False) -> None:
        self.dies, self.up, self.launched = dies, True, 0

    def running(self) -> bool:
        return self.up

    def launch(self) -> None:
        self.launched += 1
        self.up = not self.dies


def test_a_server_that_ends_is_started_again_and_one_that_keeps_ending_is_named_with_its_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without it `up` waits a minute for services that wait for a dead PostgreSQL, and says nothing of that."""
    monkeypatch.setattr(keeping, "LOOK_SECONDS", 0.0)
    postgres, kafka = _Server(), _Server(dies=True)
    keeper = Keeper({"postgres": postgres, "kafka": kafka}, {"kafka": "/logs/kafka.log"}, Reporter())
    postgres.up = False
    keeper.look()
    keeper.look()
    assert (postgres.up, postgres.launched, keeper.restarts) == (True, 1, 1)
    kafka.up = False
    for _ in range(keeping.MAX_RESTARTS):
        keeper.look()
    with pytest.raises(ServerNotReady, match=r"kafka keeps ending .*; its log is /logs/kafka.log"):
        keeper.look()
    assert kafka.launched == keeping.MAX_RESTARTS
