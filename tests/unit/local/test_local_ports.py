"""Ports are chosen once, below the ephemeral range, and remembered."""

import os
import socket
from collections.abc import Generator
from pathlib import Path

import pytest

from signalbox_local.errors import PortTaken
from signalbox_local.ports import HIGHEST, LOWEST, PortBook, free_ports, is_free


@pytest.fixture
def taken() -> Generator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_ports(1)[0]))
        listener.listen()
        yield listener.getsockname()[1]


def test_free_ports_are_different_and_below_the_ephemeral_range() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(LOWEST <= port <= HIGHEST < 32768 for port in ports)


def test_a_port_somebody_listens_on_is_not_free(taken: int) -> None:
    assert not is_free(taken)


def test_a_new_book_on_the_same_file_gives_the_same_ports(tmp_path: Path) -> None:
    first = PortBook(tmp_path / "ports.json")
    assert first.settle("kafka", "kafka_inter") == []
    again = PortBook(tmp_path / "ports.json")
    assert again.settle("kafka", "kafka_inter") == []
    assert again.ports == first.ports


def test_a_remembered_port_that_was_taken_moves_and_says_by_whom(tmp_path: Path, taken: int) -> None:
    (tmp_path / "ports.json").write_text(f'{{"redis": {taken}}}')
    book = PortBook(tmp_path / "ports.json")
    (line,) = book.settle("redis")
    assert book["redis"] != taken
    assert f"port {taken} is taken by" in line
    assert f"(pid {os.getpid()})" in line


def test_a_port_that_is_insisted_on_is_refused_when_taken(tmp_path: Path, taken: int) -> None:
    book = PortBook(tmp_path / "ports.json", {"redis": taken})
    with pytest.raises(PortTaken) as refused:
        book.settle("redis")
    assert f"127.0.0.1:{taken}" in refused.value.what
    assert f"pid {os.getpid()}" in refused.value.what
    assert "SIGNALBOX_REDIS_PORT" in refused.value.advice


@pytest.mark.parametrize("text", ["", "{", "[]", '{"redis": "x"}'])
def test_a_damaged_book_is_written_anew(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ports.json"
    file.write_text(text)
    PortBook(file).settle("redis")
    assert LOWEST <= PortBook(file)["redis"] <= HIGHEST
