"""Chromium: `chromium_peer.py --chromium PROGRAM --profile FOLDER http://HOST:PORT`, the address of EchoServer.

From a page of that server: messages come back as they are, codes and reasons of closing pass both ways, and a page of
another origin is not let in.
"""

import argparse
import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "page"))
from browser import Browser, Failure, until

# The answer of the page is null if all is well, or what was wrong.
CONVERSATION = """
(async () => {
    const base = `ws://${location.host}`;
    const next = (socket, kind) => new Promise((resolve, reject) => {
        socket.addEventListener(kind, resolve, { once: true });
        if (kind !== "close") socket.addEventListener("close", event => reject(`closed ${event.code}`), { once: true });
    });
    const same = (what, got, wanted) => { if (got !== wanted) throw `${what}: expected ${wanted}, got ${got}`; };
    try {
        let socket = new WebSocket(`${base}/echo`, ["chat", "superchat"]);
        socket.binaryType = "arraybuffer";
        await next(socket, "open");
        same("subprotocol", socket.protocol, "chat");
        same("extensions", socket.extensions, "");
        for (const text of ["hello", "", "日本語 👩‍👩‍👧", "👧".repeat(1 << 18)]) {
            socket.send(text);
            same("text", (await next(socket, "message")).data, text);
        }
        for (const size of [0, 3, 1 << 20]) {
            const bytes = new Uint8Array(size).map((_, index) => index * 7);
            socket.send(bytes);
            const got = new Uint8Array((await next(socket, "message")).data);
            same("bytes", got.length === size && got.every((byte, index) => byte === bytes[index]), true);
        }
        socket.close(4001, "the page is done");
        let end = await next(socket, "close");
        same("close by the page", `${end.code} ${end.wasClean}`, "4001 true");

        socket = new WebSocket(`${base}/close?code=4002&reason=${encodeURIComponent("schönen Tag noch")}`);
        end = await next(socket, "close");
        same("close by the server", `${end.code} ${end.reason} ${end.wasClean}`, "4002 schönen Tag noch true");

        // The same server under another name is another origin.
        end = await next(new WebSocket(`ws://localhost:${location.port}/echo`), "close");
        same("another origin", end.code, 1006);
        return null;
    } catch (error) {
        return String(error);
    }
})()
"""


async def run(options):
    async with Browser(options.chromium, options.profile) as browser:
        await browser.visit(f"{options.address}/")

        async def there():
            return await browser.evaluate("document.title") == "EchoServer"

        await until(there, "the page of EchoServer")
        result = await browser.command(
            "Runtime.evaluate", expression=CONVERSATION, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            sys.exit(f"the page could not run it: {result['exceptionDetails']['text']}")
        if result["result"].get("value") is not None:
            sys.exit(result["result"]["value"])


parser = argparse.ArgumentParser()
parser.add_argument("--chromium", required=True)
parser.add_argument("--profile", required=True)
parser.add_argument("address")
try:
    asyncio.run(asyncio.wait_for(run(parser.parse_args()), 25))
except Failure as failure:
    sys.exit(f"expected {failure}")
except asyncio.TimeoutError:
    sys.exit("not done after 25 s")
