"""MUSCLE_OFFLINE=1. Oracles: a socket that really listens, and that without the variable Python does look up names."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from muscle.network import keep_offline

# In a process of its own: what is forbidden cannot be allowed again. Names end in .invalid, which no server knows.
TRIED = """
import http.client, os, socket, sys, urllib.request
from muscle.errors import UserError
from muscle.network import keep_offline
keep_offline()
print(os.environ.get("HF_HUB_OFFLINE"))
port = int(sys.argv[1])
for host in ("127.0.0.1", "localhost"):
    socket.create_connection((host, port), 5).close()
own, other = socket.socketpair()
own.sendall(b"x")
datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for name, call in {
    "connect": lambda: socket.create_connection(("198.51.100.7", 80), 0.2),
    "datagram": lambda: datagram.sendto(b"x", ("198.51.100.8", 53)),
    "name": lambda: socket.getaddrinfo("films.invalid", 443),
    "old": lambda: socket.gethostbyname("old.invalid"),
    "address": lambda: socket.gethostbyaddr("198.51.100.9"),
    "back": lambda: socket.getnameinfo(("198.51.100.10", 53), 0),
    "message": lambda: datagram.sendmsg([b"x"], [], 0, ("198.51.100.11", 53)),
    "web": lambda: urllib.request.urlopen("http://web.invalid/x"),
    "six": lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80)),
}.items():
    try:
        call()
    except UserError as error:
        print(name, "refused", str(error).split()[1])
    except OSError as error:
        print(name, type(error).__name__)
"""


@pytest.fixture
def port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def tried(port: int, said: str) -> list[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS"))}
    done = subprocess.run(
        [sys.executable, "-c", TRIED, str(port)], env=environment | {"MUSCLE_OFFLINE": said}, text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_offline_nothing_but_this_machine_is_reached(port: int) -> None:
    refused = {
        "connect": "198.51.100.7", "datagram": "198.51.100.8", "name": "films.invalid", "old": "old.invalid",
        "address": "198.51.100.9", "back": "198.51.100.10", "message": "198.51.100.11", "web": "web.invalid",
        "six": "2001:db8::1",
    }  # fmt: skip
    assert tried(port, "1") == ["1", *(f"{name} refused {host}" for name, host in refused.items())]


def test_otherwise_python_tries(port: int) -> None:
    """Without the variable nothing is refused: what fails, fails in the network."""
    hub, *rest = tried(port, "0")
    assert hub == "None"
    assert not [line for line in rest if "refused" in line.split()[1:2]]
    assert any(line.startswith("name ") for line in rest), rest


def test_the_command_line_begins_with_it(port: int, tmp_path: Path) -> None:
    """A plug-in stands for any library that would phone home."""
    plugin = tmp_path / "phones.py"
    plugin.write_text("import socket\nsocket.getaddrinfo('home.invalid', 443)\n")
    done = subprocess.run(
        [sys.executable, "-m", "muscle", "--plugin", str(plugin), "show", "muscle"], text=True, capture_output=True,
        env=os.environ | {"MUSCLE_OFFLINE": "1"}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "home.invalid" in done.stderr and "MUSCLE_OFFLINE" in done.stderr


def test_what_is_neither_yes_nor_no_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSCLE_OFFLINE", "perhaps")
    with pytest.raises(Exception, match="MUSCLE_OFFLINE='perhaps'"):
        keep_offline()
