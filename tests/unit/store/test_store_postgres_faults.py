"""What libpq's texts mean when there is no session that could have given a code."""

from __future__ import annotations

import socket
import threading

import psycopg
import pytest

from qsearch.store import postgres_faults

AT = 'connection failed: connection to server at "{}" (10.0.0.7), port 5432 failed: '


def refused(said: str, host: str = "db") -> psycopg.OperationalError:
    return psycopg.OperationalError(AT.format(host) + said)


@pytest.mark.parametrize(
    "error",
    [
        refused("SSL SYSCALL error: EOF detected"),
        refused("SSL SYSCALL error: Connection reset by peer"),
        refused("SSL error: unexpected eof while reading"),
        refused("SSL connection has been closed unexpectedly"),
        refused("could not send SSL negotiation packet: Broken pipe"),
        refused("Connection refused", host="invalid"),
        refused("Connection refused", host="requires.certificate.example"),
        refused('FATAL:  database "SSL" is not accepting commands to avoid wraparound data loss'),
        refused("FATAL:  Datenbank »SSL« wird gerade hochgefahren"),
        refused("FATAL:  the database system is starting up"),
        psycopg.OperationalError("failed to resolve host 'invalid': [Errno -3] Temporary failure in name resolution"),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again(error: psycopg.OperationalError) -> None:
    assert postgres_faults.passes(error)
    advice = postgres_faults.translated(error, "db", 1.0).hint
    assert "sslmode" not in advice
    assert "options" not in advice


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (refused("server does not support SSL, but SSL was required"), "sslmode"),
        (refused("SSL error: certificate verify failed"), "sslmode"),
        (refused('server certificate for "a" does not match host name "db"'), "sslmode"),
        (refused('root certificate file "/x" does not exist'), "sslmode"),
        (refused('FATAL:  password authentication failed for user "invalid"'), "the user and the password"),
        (refused('FATAL:  database "SSL" does not exist'), "createdb"),
        (refused("server requires OAuth authentication, but no discovery metadata was provided"), "doctor"),
        (psycopg.OperationalError('connection is bad: invalid port number: "99999"'), "options"),
        (psycopg.OperationalError('connection is bad: invalid sslmode value: "zzz"'), "options"),
        (psycopg.OperationalError('connection is bad: invalid "gssencmode" value: "zzz"'), "options"),
        (psycopg.OperationalError('connection is bad: invalid value "9" for minimum SSL protocol version'), "sslmode"),
    ],
    ids=str,
)
def test_what_will_be_refused_again_is_told_at_once(error: psycopg.OperationalError, advice: str) -> None:
    assert not postgres_faults.passes(error)
    assert advice in postgres_faults.translated(error, "db", 1.0).hint


@pytest.mark.parametrize(("answer", "final"), [(b"S", False), (b"", False), (b"N", True)])
def test_a_server_that_goes_away_in_the_handshake_is_waited_for(answer: bytes, final: bool) -> None:
    """S: it agrees to encrypt, then is gone; nothing: gone before; N: it does not encrypt, and never will."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = threading.Thread(target=_answer, args=(listener, answer))
        served.start()
        with pytest.raises(psycopg.OperationalError) as error:
            psycopg.connect(f"postgresql://me@127.0.0.1:{listener.getsockname()[1]}/x?sslmode=require")
        served.join(10)
    assert postgres_faults.passes(error.value) is not final, str(error.value)


def _answer(listener: socket.socket, answer: bytes) -> None:
    client, _ = listener.accept()
    with client:
        client.recv(64)
        client.sendall(answer)
        client.shutdown(socket.SHUT_WR)
        while client.recv(4096):
            pass
