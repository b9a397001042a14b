"""One room of level 17 for three: `one_room.py --chromium PROGRAM --profile FOLDER --client SOLUTION16 http://HOST:PORT`.

Python's websockets, the console of a browser, and the terminal client of level 16 send plain texts. Everybody must have
everything once, in one order; what is private must reach its recipient alone; each going must be told to who stays.
"""

import argparse
import asyncio
import json
import os
import sys

try:
    from websockets.asyncio.client import connect
except ImportError:  # websockets before version 13
    from websockets import connect

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "page"))
from browser import Browser, Failure, until

ROOM = "/ws/chat/one%20room"
PATIENCE = 10


class Python:
    name = "python"

    def __init__(self, url):
        self.url, self.lines = url, []

    async def __aenter__(self):
        self.socket = await connect(f"{self.url}{ROOM}/{self.name}")
        self.reader = asyncio.ensure_future(self.read())
        return self

    async def __aexit__(self, *_):
        self.reader.cancel()
        await self.socket.close()

    async def read(self):
        async for text in self.socket:
            self.lines.append(readable(json.loads(text)))

    async def say(self, text):
        await self.socket.send(text)

    async def heard(self):
        return self.lines


class Console:
    """What somebody types into the console of a browser that shows a page of the server."""

    name = "browser"

    def __init__(self, tab, url):
        self.tab, self.url = tab, url

    async def __aenter__(self):
        await self.tab.visit(self.url.replace("ws:", "http:", 1))
        await until(lambda: self.tab.evaluate("document.readyState === 'complete'"), "the page of the server")
        await self.tab.evaluate(
            f"heard = []; socket = new WebSocket('{self.url}{ROOM}/{self.name}');"
            "socket.onmessage = (event) => heard.push(event.data); 0"
        )
        await until(lambda: self.tab.evaluate("heard.length > 0"), "the browser in the room", PATIENCE)
        return self

    async def __aexit__(self, *_):
        await self.tab.evaluate("socket.close(1000)")

    async def say(self, text):
        await self.tab.evaluate(f"socket.send({json.dumps(text)})")

    async def heard(self):
        return [readable(json.loads(text)) for text in await self.tab.evaluate("heard")]


class Terminal:
    """The client of level 16, which prints a line for each event, here into a pipe."""

    name = "terminal"

    def __init__(self, program, url):
        self.program, self.url, self.lines = program, url, []

    async def __aenter__(self):
        self.process = await asyncio.create_subprocess_exec(
            self.program, f"{self.url}{ROOM}/{self.name}", stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self.reader = asyncio.ensure_future(self.read())
        return self

    async def __aexit__(self, *_):
        if self.process.returncode is None and not self.process.stdin.is_closing():
            self.process.kill()
        await self.process.wait()
        self.reader.cancel()

    async def leave(self):
        """The end of what is typed: the client says goodbye, and ends well."""
        self.process.stdin.close()
        status = await asyncio.wait_for(self.process.wait(), PATIENCE)
        if status != 0:
            raise Failure(f"expected the terminal client to end with 0, not {status}")

    async def read(self):
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip("\n"))

    async def say(self, text):
        self.process.stdin.write(f"{text}\n".encode())
        await self.process.stdin.drain()

    async def heard(self):
        return self.lines


def readable(event):
    """An event as the terminal client prints it."""
    return {
        "message": "[{user}]: {message}", "pm": "[{from} to {to}]: {message}", "system": "* {message}",
    }.get(event["type"], event["type"]).format_map(event)


async def hears(person, lines, without=()):
    """Waits until these lines have come, and checks that each came once, in this order, and none of `without`."""
    got = []

    async def there():
        nonlocal got
        got = [line for line in await person.heard() if line in lines or line in without]
        return len(got) >= len(lines)

    try:
        await until(there, "", PATIENCE)
    except Failure:
        pass
    if got != lines:
        raise Failure(f"expected {person.name} to have {lines}, not {got}; all it had: {await person.heard()}")


async def run(options):
    url = options.address.replace("http:", "ws:", 1).rstrip("/")
    async with (
        Browser(options.chromium, options.profile) as tab,
        Python(url) as python,
        Console(tab, url) as console,
        Terminal(options.client, url) as terminal,
    ):
        everybody = [python, console, terminal]
        for person in everybody:
            await hears(person, ["* terminal joined"])
        said = []
        for person in everybody:
            text = f"héllo 👋 from {person.name}"
            await person.say(text)
            said.append(f"[{person.name}]: {text}")
            for each in everybody:
                await hears(each, said)
        await terminal.say("/pm browser just between us")
        secret = "[terminal to browser]: just between us"
        for person in (console, terminal):
            await hears(person, [*said, secret])
        await python.say("for all")
        said.append("[python]: for all")
        for person in (console, terminal):
            await hears(person, [*said[:-1], secret, said[-1]])
        await hears(python, said, without=[secret])
        await terminal.leave()
        for person in (python, console):
            await hears(person, [*said, "* terminal left"])


parser = argparse.ArgumentParser()
parser.add_argument("--chromium", required=True)
parser.add_argument("--profile", required=True)
parser.add_argument("--client", required=True)
parser.add_argument("address")
try:
    asyncio.run(asyncio.wait_for(run(parser.parse_args()), 28))
except Failure as failure:
    sys.exit(str(failure))
except asyncio.TimeoutError:
    sys.exit("not done after 28 s")
