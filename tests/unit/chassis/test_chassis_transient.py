"""Which failures pass by themselves. The texts and states are recorded from PostgreSQL 15 and asyncpg 0.31."""

import socket
from collections.abc import Callable

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError

from signalbox_chassis.messaging.transient import Failure, classify


class HandlerRefused(Exception):
    """A handler's own error."""


def plain(error: BaseException) -> BaseException:
    return error


def raised_from(error: BaseException) -> BaseException:
    outer = HandlerRefused("wrapped")
    outer.__cause__ = error
    return outer


def raised_twice(error: BaseException) -> BaseException:
    return raised_from(raised_from(error))


WRAPPED = pytest.mark.parametrize("wrapped", [plain, raised_from, raised_twice])
Wrap = Callable[[BaseException], BaseException]


@WRAPPED
@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (asyncpg.ConnectionDoesNotExistError("gone"), Failure.PASSING),
        (asyncpg.AdminShutdownError("stop"), Failure.PASSING),
        (asyncpg.CrashShutdownError("crash"), Failure.PASSING),
        (asyncpg.CannotConnectNowError("starting up"), Failure.PASSING),
        (asyncpg.TooManyConnectionsError("full"), Failure.PASSING),
        (asyncpg.DiskFullError("full"), Failure.PASSING),
        (asyncpg.DeadlockDetectedError("deadlock"), Failure.PASSING),
        (asyncpg.SerializationError("conflict"), Failure.PASSING),
        (asyncpg.LockNotAvailableError("lock timeout"), Failure.PASSING),
        (asyncpg.ReadOnlySQLTransactionError("standby"), Failure.PASSING),
        (asyncpg.QueryCanceledError("statement timeout"), Failure.SLOW),
        (asyncpg.InvalidPasswordError("wrong"), Failure.REFUSED),
        (asyncpg.InvalidCatalogNameError("no such database"), Failure.REFUSED),
        (asyncpg.UniqueViolationError("twice"), Failure.LASTING),
        (asyncpg.UndefinedTableError("no table"), Failure.LASTING),
        (asyncpg.InsufficientPrivilegeError("not yours"), Failure.LASTING),
        (asyncpg.DataError("invalid input for query argument $1: (value out of int64 range)"), Failure.LASTING),
    ],
    ids=lambda value: getattr(value, "sqlstate", getattr(value, "name", "")),
)
def test_an_error_of_postgresql_is_judged_by_its_state_however_it_is_wrapped(
    wrapped: Wrap, error: BaseException, failure: Failure
) -> None:
    assert classify(wrapped(error)) is failure


@WRAPPED
def test_a_time_limit_is_slow_whoever_set_it(wrapped: Wrap) -> None:
    assert classify(wrapped(TimeoutError())) is Failure.SLOW


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        ConnectionResetError(),
        BrokenPipeError(),
        socket.gaierror(-2, "Name or service not known"),
        KafkaConnectionError("no broker"),
        KafkaTimeoutError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InterfaceError("cannot call Transaction.__aexit__(): the underlying connection is closed"),
    ],
    ids=repr,
)
def test_the_network_and_lost_connections_pass(error: BaseException) -> None:
    assert classify(error) is Failure.PASSING


@pytest.mark.parametrize(
    "error",
    [
        OSError(5, "Input/output error"),
        FileNotFoundError("a file the handler wanted"),
        PermissionError("not yours"),
        ValueError("wrong"),
        ZeroDivisionError(),
    ],
    ids=repr,
)
def test_a_handlers_own_error_lasts(error: BaseException) -> None:
    """Retried for ever, it would stop its partition."""
    assert classify(error) is Failure.LASTING


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InterfaceError(
            "the server expects 2 arguments for this query, 1 was passed",
            hint="Check the query against the passed list of arguments.",
        ),
        asyncpg.exceptions.ClientConfigurationError("invalid DSN"),
        asyncpg.exceptions.UnsupportedClientFeatureError("no"),
    ],
    ids=repr,
)
def test_a_mistake_that_asyncpg_calls_an_interface_error_lasts(error: BaseException) -> None:
    """It is the class of lost connections too: taken for one, a wrong statement gave its batch back for ever."""
    assert classify(error) is Failure.LASTING


def test_errors_that_are_each_others_cause_are_looked_at_once() -> None:
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert classify(one) is Failure.LASTING
