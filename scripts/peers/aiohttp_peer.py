"""Python's aiohttp: `aiohttp_peer.py client ws://HOST:PORT` or `aiohttp_peer.py server ECHOCLIENT`."""

import asyncio
import contextlib

from aiohttp import ClientSession, WSMsgType, web

import conversation


class Peer:
    """aiohttp sends every message in one frame, so there is no send_fragments."""

    def __init__(self, socket, subprotocol):
        self.socket, self.subprotocol = socket, subprotocol

    async def send(self, message):
        await (self.socket.send_str(message) if isinstance(message, str) else self.socket.send_bytes(message))

    async def receive(self):
        message = await self.socket.receive()
        if message.type == WSMsgType.CLOSE:
            raise conversation.Closed(message.data, message.extra)
        if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
            raise conversation.Closed(self.socket.close_code, str(message))
        return message.data

    async def ping(self, payload):
        await self.socket.ping(payload)
        message = await asyncio.wait_for(self.socket.receive(), 5)
        conversation.same("pong", (message.type, bytes(message.data)), (WSMsgType.PONG, payload))

    async def close(self, code, reason):
        await self.socket.close(code=code, message=reason.encode())
        return self.socket.close_code


@contextlib.asynccontextmanager
async def opened(url, subprotocols, **options):
    async with ClientSession() as session:
        # With autoping a Pong would never come to light.
        async with session.ws_connect(url, protocols=subprotocols, autoping=False, **options) as socket:
            yield Peer(socket, socket.protocol)


@contextlib.asynccontextmanager
async def serving(handler, subprotocols):
    async def handle(request):
        socket = web.WebSocketResponse(protocols=subprotocols, autoping=False)
        await socket.prepare(request)
        await handler(Peer(socket, socket.ws_protocol))
        return socket

    application = web.Application()
    application.router.add_get("/", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


conversation.main(opened, serving)
