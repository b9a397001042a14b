"""What a peer of another make says to the engine's EchoServer and EchoClient, and what must come back.

A peer's program (websockets_peer.py, aiohttp_peer.py) wraps its library's connection as an object with

    subprotocol                  the one that was agreed on
    await send(message)          str or bytes
    await send_fragments(parts)  one message in several frames, a Ping between them; absent where that cannot be done
    await receive()              the next message; raises Closed
    await ping(payload)          returns when the Pong with this payload has come
    await close(code, reason)    returns the code of the engine's answer

and calls `main(connect, serve)`.
"""

import argparse
import asyncio
import os
import ssl
import sys
from urllib.parse import quote, urlsplit

LIMIT = 1 << 20  # bytes of one message that the engine takes
MESSAGES = [
    "hello", "", "日本語 👩‍👩‍👧", "\u0000", "x" * 125, "x" * 126, "x" * 65_535, "x" * 65_536, "👧" * (LIMIT // 4),
    b"", b"\x00\xff\x10", bytes(range(256)) * (LIMIT // 256),
]


class Closed(Exception):
    """The engine has closed the connection, with this code and reason."""

    def __init__(self, code, reason):
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Failed(Exception):
    """The conversation went wrong."""


def same(what, got, wanted):
    if got != wanted:
        raise Failed(f"{what}: expected {wanted!r:.200}, got {got!r:.200}")


async def exchange(peer):
    """Every kind of message comes back as it is."""
    for message in MESSAGES:
        await peer.send(message)
        same("echo", await peer.receive(), message)
    if hasattr(peer, "send_fragments"):
        for parts in [["in ", "three ", "fragments"], [b"\x00", b"", b"\xff"], ["", "", ""]]:
            await peer.send_fragments(parts)
            same("echo of fragments", await peer.receive(), parts[0][:0].join(parts))
    await peer.ping(b"alive?")
    # All on their way at once; what comes back is in order.
    for number in range(100):
        await peer.send(str(number))
    for number in range(100):
        same("order", await peer.receive(), str(number))


async def ends(peer):
    try:
        message = await peer.receive()
    except Closed as closed:
        return closed.code, closed.reason
    raise Failed(f"expected a close, got {message!r:.200}")


async def as_client(connect, address, **options):
    """Against EchoServer."""
    async with connect(f"{address}/echo", ["chat", "superchat"], **options) as peer:
        same("subprotocol", peer.subprotocol, "chat")
        await exchange(peer)
        same("answer to a close", await peer.close(4001, "the peer is done"), 4001)
    reason = "schönen Tag noch"
    async with connect(f"{address}/close?code=4002&reason={quote(reason)}", [], **options) as peer:
        same("subprotocol", peer.subprotocol, None)
        same("close by the engine", await ends(peer), (4002, reason))
    async with connect(f"{address}/echo", [], **options) as peer:
        await peer.send(b"x" * (LIMIT + 1))
        same("close after a message that is too long", (await ends(peer))[0], 1009)


async def as_server(serve, program):
    """Against EchoClient, which is started for each connection."""

    async def closing(peer):
        same("subprotocol", peer.subprotocol, "superchat")
        await exchange(peer)
        same("answer to a close", await peer.close(4001, "the peer is done"), 4001)

    async def being_closed(peer):
        await peer.send("close 4002 schönen Tag noch")
        same("close by the engine", await ends(peer), (4002, "schönen Tag noch"))

    for conversation, told in [
        (closing, "closed 4001 the peer is done"), (being_closed, "closed 4002 schönen Tag noch"),
    ]:
        outcome = asyncio.get_running_loop().create_future()

        async def handler(peer):
            try:
                outcome.set_result(await conversation(peer))
            except Closed as closed:
                outcome.set_exception(closed)
            except Exception as error:
                outcome.set_exception(Failed(str(error) or repr(error)))

        async with serve(handler, ["superchat"]) as port:
            client = await asyncio.create_subprocess_exec(
                program, "once", f"ws://127.0.0.1:{port}/", "chat", "superchat", stdout=asyncio.subprocess.PIPE)
            try:
                said, _ = await client.communicate()
            finally:
                if client.returncode is None:
                    client.kill()
            lines = said.decode().splitlines()
            if not outcome.done():
                raise Failed(f"EchoClient ended with {client.returncode} before it could be talked to: {lines}")
            await outcome
            same("what EchoClient tells", lines, ["subprotocol superchat", told])
            same("EchoClient's exit status", client.returncode, 0)


def main(connect, serve):
    parser = argparse.ArgumentParser()
    parser.add_argument("--ca", help="certificate that a wss:// address is trusted by")
    parser.add_argument("side", choices=["client", "server"])
    parser.add_argument("peer", help="the address of EchoServer, or the program EchoClient")
    chosen = parser.parse_args()
    os.environ["no_proxy"] = "*"  # a server on this machine is never behind a proxy
    if chosen.side == "client":
        options = {}
        if chosen.ca:
            # As a page does that came from the same address: the engine lets no other origin in.
            options["ssl"] = ssl.create_default_context(cafile=chosen.ca)
            options["origin"] = f"https://{urlsplit(chosen.peer).netloc}"
        conversation = as_client(connect, chosen.peer, **options)
    else:
        conversation = as_server(serve, chosen.peer)
    try:
        asyncio.run(asyncio.wait_for(conversation, 25))
    except (Failed, OSError) as failure:
        sys.exit(str(failure))
    except Closed as closed:
        sys.exit(f"the engine closed early: {closed.code} {closed.reason}")
    except asyncio.TimeoutError:
        sys.exit("not done after 25 s")
