"""Python's websockets: `websockets_peer.py client ws://HOST:PORT` or `websockets_peer.py server ECHOCLIENT`."""

import asyncio
import contextlib

try:
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import serve
except ImportError:  # websockets before version 13
    from websockets import connect, serve
from websockets.exceptions import ConnectionClosed

import conversation


class Peer:
    def __init__(self, socket):
        self.socket, self.subprotocol = socket, socket.subprotocol
        self.send = socket.send

    async def send_fragments(self, parts):
        async def with_a_ping():
            for part in parts:
                yield part
                await self.ping(b"between")

        await self.socket.send(with_a_ping())

    async def receive(self):
        try:
            return await self.socket.recv()
        except ConnectionClosed as error:
            raise conversation.Closed(error.rcvd and error.rcvd.code, error.rcvd and error.rcvd.reason) from None

    async def ping(self, payload):
        await asyncio.wait_for(await self.socket.ping(payload), 5)

    async def close(self, code, reason):
        await self.socket.close(code, reason)
        return self.socket.close_code


@contextlib.asynccontextmanager
async def opened(url, subprotocols, **options):
    async with connect(url, subprotocols=subprotocols or None, **options) as socket:
        yield Peer(socket)


@contextlib.asynccontextmanager
async def serving(handler, subprotocols):
    async def handle(socket):
        await handler(Peer(socket))

    async with serve(handle, "127.0.0.1", 0, subprotocols=subprotocols) as server:
        yield next(iter(server.sockets)).getsockname()[1]


conversation.main(opened, serving)
