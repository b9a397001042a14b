"""Nexios on uvicorn: nexios_server.py PORT"""

import sys

import uvicorn
from nexios import NexiosApp
from nexios.websockets import WebSocket, WebSocketDisconnect

app = NexiosApp()
members = set()


def payload(message):
    """The text or the bytes of what came."""
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    if message.get("text") is not None:
        return message["text"]
    return message["bytes"]


async def send(socket, data):
    if isinstance(data, str):
        await socket.send_text(data)
    else:
        await socket.send_bytes(data)


@app.ws_route("/echo")
async def echo(socket: WebSocket):
    await socket.accept()
    try:
        while True:
            await send(socket, payload(await socket.receive()))
    except WebSocketDisconnect:
        pass


@app.ws_route("/broadcast")
async def broadcast(socket: WebSocket):
    await socket.accept()
    members.add(socket)
    try:
        while True:
            data = payload(await socket.receive())
            for member in list(members):
                await send(member, data)
    except WebSocketDisconnect:
        pass
    finally:
        members.discard(socket)


uvicorn.run(
    app, host="127.0.0.1", port=int(sys.argv[1]), log_level="critical", access_log=False,
    loop="uvloop", http="httptools", ws="websockets")
