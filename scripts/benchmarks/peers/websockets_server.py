"""Python's websockets: websockets_server.py PORT"""

import asyncio
import sys

import uvloop
from websockets.asyncio.server import broadcast, serve

members = set()


async def handle(socket):
    if socket.request.path != "/broadcast":
        async for message in socket:
            await socket.send(message)
        return
    members.add(socket)
    try:
        async for message in socket:
            broadcast(members, message)
    finally:
        members.discard(socket)


async def main():
    async with serve(handle, "127.0.0.1", int(sys.argv[1]), backlog=1024, compression=None) as server:
        await server.serve_forever()


uvloop.run(main())
