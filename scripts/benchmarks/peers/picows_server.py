"""picows, its core API: picows_server.py PORT. Listeners instead of coroutines, frames instead of messages."""

import asyncio
import sys

import uvloop
from picows import WSListener, WSMsgType, ws_create_server

members = set()


class Echo(WSListener):
    def on_ws_frame(self, transport, frame):
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type != WSMsgType.PONG:
            self.deliver(transport, frame)

    def deliver(self, transport, frame):
        transport.send(frame.msg_type, frame.get_payload_as_memoryview(), frame.fin)


class Broadcast(Echo):
    def on_ws_connected(self, transport):
        members.add(transport)

    def on_ws_disconnected(self, transport):
        members.discard(transport)

    def deliver(self, transport, frame):
        payload = frame.get_payload_as_bytes()
        for member in members:
            member.send(frame.msg_type, payload, frame.fin)


async def main():
    def listener(request):
        return Broadcast() if request.path == b"/broadcast" else Echo()

    server = await ws_create_server(listener, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


uvloop.run(main())
