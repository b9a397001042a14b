"""Talks to Level 01's server by way of Python's websockets, an implementation that is not ours."""

import os
import sys

from websockets.sync.client import connect

address = sys.argv[1]
os.environ["no_proxy"] = "*"  # a server on this machine is never behind a proxy


def same(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: expected {wanted!r:.200}, got {got!r:.200}")


with connect(f"{address}/ws") as socket:
    for text in ["hello", "", "日本語 👩‍👩‍👧", "x" * 70_000]:
        socket.send(text)
        same("text", socket.recv(timeout=5), f"Echo: {text}")
    for data in [b"", b"\x00\xff\x10", bytes(range(256)) * 1000]:
        socket.send(data)
        same("binary", socket.recv(timeout=5), data)
    socket.send(["in ", "three ", "fragments"])
    same("fragments", socket.recv(timeout=5), "Echo: in three fragments")
    if not socket.ping(b"alive?").wait(5):
        sys.exit("a Ping was not answered")
    socket.close(1000, "bye")
    same("close code", socket.protocol.close_rcvd.code, 1000)

with connect(f"{address}/ws/shout") as socket:
    socket.send("grüße")
    same("shout", socket.recv(timeout=5), "GRÜSSE")
