"""``MUSCLE_OFFLINE=1``: a process that can reach nothing but this machine."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from functools import cache
from typing import Any

from muscle.errors import UserError
from muscle.paths import offline

# What Python tells of before it reaches out, and where among what it tells the address stands.
_EVENTS = {"socket.connect": 1, "socket.sendto": 1, "socket.sendmsg": 1, "socket.getaddrinfo": 0,
           "socket.gethostbyname": 0, "socket.gethostbyaddr": 0, "socket.getnameinfo": 0}  # fmt: skip
_HUBS = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")  # else they try, and try again, before they say so


def keep_offline() -> None:
    """Where ``$MUSCLE_OFFLINE`` says so, lets nothing in this process look up or reach another machine.

    Its own name may be looked up. Python itself asks before every look-up, connection and datagram of its own
    sockets, whichever library makes it (an audit hook, which nothing takes out again). Libraries in C that open
    sockets of their own are not asked: torch's rendezvous of several processes.

    Raises:
        UsageError: the variable says neither yes nor no.
    """
    if offline():
        for name in _HUBS:
            os.environ[name] = "1"
        _watch()


@cache
def _watch() -> None:
    sys.addaudithook(_refuse)


def _refuse(event: str, told: tuple[Any, ...]) -> None:
    place = _EVENTS.get(event)
    if place is None or not offline():
        return
    if place and told[0].family not in (socket.AF_INET, socket.AF_INET6):  # of this machine, as AF_UNIX
        return
    address = told[place]
    if address is None:  # a message over a connection that was let through
        return
    host = address[0] if isinstance(address, tuple) else address
    if not _here(host):
        shown = host.decode("ascii", "replace") if isinstance(host, bytes) else host
        raise UserError(
            f"network: {shown} was asked for, and MUSCLE_OFFLINE allows no other machine: give a file instead, or "
            "set MUSCLE_OFFLINE=0"
        )


def _here(host: Any) -> bool:
    """Whether this is the machine itself."""
    try:
        text = host.decode() if isinstance(host, bytes) else str(host or "")
        if text in ("", "localhost", socket.gethostname()):
            return True
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except (ValueError, UnicodeDecodeError):
        return False
