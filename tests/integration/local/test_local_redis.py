"""Real Redis: a password, and nothing on disk."""

from pathlib import Path

import pytest

from signalbox_local import probe
from signalbox_local.programs import Programs
from signalbox_local.redis import RedisServer


@pytest.fixture(autouse=True)
def _needs_redis(programs: Programs) -> None:  # pyright: ignore[reportUnusedFunction]
    if programs.redis() is None:
        pytest.skip("no Redis can be had for this machine: the stack runs without it")


def test_it_answers_only_with_its_password(place: Path, programs: Programs) -> None:
    with RedisServer(place, programs=programs) as redis:
        assert probe.redis(redis.url)
        assert not probe.redis(f"redis://127.0.0.1:{redis.port}/0")
        assert not probe.redis(f"redis://:wrong@127.0.0.1:{redis.port}/0")
        command = Path(f"/proc/{redis.pid}/cmdline").read_text()
        password = (place / "password").read_text()
        assert password not in command
        assert (place / "redis.conf").stat().st_mode & 0o077 == 0


def test_it_comes_back_at_the_same_address_after_stop_and_kill(place: Path, programs: Programs) -> None:
    redis = RedisServer(place, programs=programs).start()
    url = redis.url
    redis.stop()
    assert not redis.healthy()
    redis.start()
    redis.kill()
    again = RedisServer(place, programs=programs).start()
    assert again.url == url
    again.freeze()
    assert not again.healthy()
    again.thaw()
    again.wait_ready()
    again.stop()
    assert not list(place.glob("*.rdb"))
