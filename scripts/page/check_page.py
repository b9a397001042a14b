"""Checks the page for trying a level by hand, as a person uses it. Run by scripts/test-page.

Every check starts on the freshly loaded page. The first group holds on every level; the second
needs the answers of level 01: `Echo: …` on /ws, binary as it is.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import urllib.request

from browser import Browser, Failure, until

for_every_level, for_the_echo = [], []


def check(group):
    """Registers a function as a check; its docstring is the line that is printed."""

    def register(function):
        group.append(function)
        return function

    return register


class Client:
    """One client panel of the page, with the things a person finds in it."""

    def __init__(self, region):
        self.region, self.browser = region, region.browser

    async def button(self, name):
        return await self.region.find("button", name)

    async def press(self, name):
        await (await self.button(name)).click()

    async def box(self):
        boxes = [box for box in await self.region.all("textbox") if box.name.startswith("Message")]
        return boxes[0]

    async def log(self):
        return await self.region.find("log", f"Log of {self.region.name}")

    async def reads(self, *parts):
        return await (await self.log()).shows(*parts)

    async def shows(self, *parts):
        return await self.region.shows(*parts)

    async def connect(self, path=None):
        if path is not None:
            await (await self.region.find("textbox", "Path and query")).fill(path)
        await self.press("Connect")

    async def connected(self, path=None):
        await self.connect(path)
        await self.reads("Connected")
        return self

    async def choose(self, kind):
        await (await self.region.find("radio", kind)).click()

    async def write(self, text):
        await (await self.box()).fill(text)

    async def send(self, text, kind=None):
        if kind:
            await self.choose(kind)
        await self.write(text)
        await self.browser.press("Enter")


class Page:
    """The page of one level in the browser."""

    def __init__(self, browser, url, level):
        self.browser, self.level = browser, level
        self.url = url.rstrip("/") + level["page"]
        self.title = " – ".join(part for part in (f"Level {level['number']}", level["title"]) if part)

    async def load(self):
        await self.browser.resize(1280, 900)
        await self.browser.visit(self.url)
        await until(lambda: self.browser.evaluate("document.readyState === 'complete'"), "the page to load")
        await self.client("B")

    async def client(self, letter):
        document = await self.browser.document()
        return Client(await document.find("region", f"Client {letter}"))

    async def button(self, name):
        return await (await self.browser.document()).find("button", name)

    async def overflow(self):
        """How many pixels the page is wider than its window."""
        return await self.browser.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )


def expect(condition, sentence):
    if not condition:
        raise Failure(f"expected {sentence}")


# MARK: On every level


@check(for_every_level)
async def loads(page):
    """the page loads with the level's title and two clients, and the console shows no error"""
    title = await page.browser.evaluate("document.title")
    expect(title == page.title, f"the title “{page.title}”, not “{title}”")
    names = [region.name for region in await (await page.browser.document()).all("region")]
    expect(names == ["Client A", "Client B"], f"Client A and Client B, not {names}")
    expect(not page.browser.console_errors, f"a quiet console, not {page.browser.console_errors}")


@check(for_every_level)
async def routes_and_samples(page):
    """every route can be clicked into the path and every sample into the box; a {placeholder} wants a value"""
    a = await page.client("A")
    path = await a.region.find("textbox", "Path and query")
    for route in page.level["routes"]:
        await a.press(route)
        expect(await path.value() == route, f"the path {route}, not {await path.value()}")
        if "{" in route:
            await a.press("Connect")
            await a.shows("Put a value in place of {")
    for sample in page.level["samples"]:
        await path.fill(sample["path"])
        kind = "JSON" if sample["kind"] == "json" else sample["kind"]
        await a.press(f"{kind} {sample['data'] or '(empty)'}")
        value = await (await a.box()).value()
        expect(value == sample["data"], f"{sample['data']!r} in the box, not {value!r}")


@check(for_every_level)
async def refused(page):
    """a refused connection shows 1006 and sends the reader to the server's terminal"""
    a = await page.client("A")
    await a.connect("/there-is-nothing-here")
    await a.reads("Not connected", "1006", "refused handshake", "server's terminal")
    await a.connect("no-slash")
    await a.shows("starts with a slash")


@check(for_every_level)
async def send_unconnected(page):
    """sending without a connection is answered in plain words"""
    a = await page.client("A")
    await a.send("hello")
    await a.shows("press Connect first")


@check(for_every_level)
async def add_and_remove(page):
    """clients can be added and removed"""
    await (await page.button("Add a client")).click()
    c = await page.client("C")
    await c.press("Remove Client C")

    async def two_left():
        return len(await (await page.browser.document()).all("region")) == 2

    await until(two_left, "two clients after the third was removed")


@check(for_every_level)
async def narrow(page):
    """at 360 pixels nothing scrolls sideways, and the clients stand one below the other"""
    await page.browser.resize(360, 740, phone=True)
    a = await page.client("A")
    await a.send("w" * 80)
    expect(await page.overflow() <= 0, f"no sideways scrolling, but {await page.overflow()} pixels too many")
    tops = await page.browser.evaluate("[...document.querySelectorAll('section')].map((s) => s.offsetTop)")
    expect(tops[0] < tops[1], "Client B below Client A")


# The text of an element against the first opaque ground behind it (WCAG 2, 1.4.3: 4.5 to 1, as no text here is large
# enough for less but the heading).
CONTRAST = """
(() => {
    const parts = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
    const luminance = (colour) => {
        const [r, g, b] = parts(colour).slice(0, 3).map((part) => part / 255)
            .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (parts(colour).length === 3) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const poor = new Set();
    for (const element of document.body.querySelectorAll("*")) {
        const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!(hasText || element.matches("input, textarea")) || !element.checkVisibility()) continue;
        const [low, high] = [luminance(getComputedStyle(element).color), luminance(ground(element))].sort((x, y) => x - y);
        const ratio = (high + 0.05) / (low + 0.05);
        if (ratio < 4.5) poor.add(`${element.tagName} ${element.className}: ${ratio.toFixed(2)}`);
    }
    return [...poor];
})()
"""


@check(for_every_level)
async def contrast(page):
    """the contrast of all text is at least 4.5 to 1, in light and in dark"""
    a = await page.client("A")
    await a.connect("/there-is-nothing-here")
    await a.reads("1006")
    await a.send("{", "JSON")
    for scheme in ("light", "dark"):
        await page.browser.prefer(scheme)
        await asyncio.sleep(0.3)  # the colours of the buttons take a moment to change
        poor = await page.browser.evaluate(CONTRAST)
        expect(poor == [], f"enough contrast in the {scheme} scheme, but: {'; '.join(poor)}")
    await page.browser.prefer("light")


# MARK: Where /ws is an echo


@check(for_the_echo)
async def text(page):
    """a text is answered in client A, and not in client B"""
    a, b = await (await page.client("A")).connected("/ws"), await (await page.client("B")).connected("/ws")
    await a.send("hello")
    await a.reads("↑ Sent", "hello", "↓ Received", "Echo: hello", "11 bytes")
    # B's own echo is the fence: whatever was meant for B has arrived before it.
    await b.send("fence")
    shown = await b.reads("Echo: fence")
    expect("hello" not in shown, "nothing of client A's message in client B")


@check(for_the_echo)
async def typing(page):
    """Shift+Enter starts a new line, an empty message can be sent, and ↑ brings the last one back"""
    a = await (await page.client("A")).connected("/ws")
    await a.write("one")
    await page.browser.press("Enter", ["Shift"])
    await page.browser.type("two")
    await page.browser.press("Enter")
    await a.reads("Echo: one\ntwo")
    await page.browser.press("ArrowUp")
    expect(await (await a.box()).value() == "one\ntwo", "the last message in the box again")
    await a.send("")
    await a.reads("(empty)", "0 bytes")


@check(for_the_echo)
async def markup(page):
    """markup in a message is shown, not interpreted"""
    a = await (await page.client("A")).connected("/ws")
    await a.send("<img src=x onerror=alert(1)><b>bold</b>")
    await a.reads("Echo: <img src=x onerror=alert(1)><b>bold</b>")


@check(for_the_echo)
async def valid_json(page):
    """valid JSON goes out as it was typed, and can be pretty-printed in the log"""
    a = await (await page.client("A")).connected("/ws")
    await a.send('{"a": [1, true]}', "JSON")
    await a.reads('Echo: {"a": [1, true]}', "text, JSON")
    await a.press("Pretty-print")
    await a.reads('{\n  "a": [\n    1,\n    true\n  ]\n}')


@check(for_the_echo)
async def invalid_json(page):
    """invalid JSON is held back with the place of the fault, and can be sent anyway"""
    a = await (await page.client("A")).connected("/ws")
    await a.send('{"a": x}', "JSON")
    await a.shows("Not valid JSON at line 1, column 7", "a value", "“x”")
    expect("Sent" not in await (await a.log()).text(), "nothing sent yet")
    await a.press("Send anyway as text")
    await a.reads('Echo: {"a": x}')


@check(for_the_echo)
async def binary(page):
    """hexadecimal goes out as binary and comes back as it is; a wrong digit is named"""
    a = await (await page.client("A")).connected("/ws")
    await a.send("00 fg", "Binary")
    await a.shows("Character 5 is “g”")
    await a.send("00 f", "Binary")
    await a.shows("odd number of digits")
    await a.send("00 FF 10")
    shown = await a.reads("↓ Received", "binary", "3 bytes")
    expect(shown.count("00 ff 10") == 2, f"00 ff 10 sent and received, not {shown!r}")


@check(for_the_echo)
async def ping(page):
    """Ping sends “ping” and shows the round trip"""
    a = await (await page.client("A")).connected("/ws")
    await a.press("Ping")
    await a.reads("Echo: ping", "round trip", " ms")


@check(for_the_echo)
async def closing(page):
    """closing shows code, reason, wasClean and an explanation; a forbidden code is explained, not thrown"""
    a = await (await page.client("A")).connected("/ws")
    await (await a.region.find("textbox", "Code")).fill("1011")
    await a.press("Close")
    await a.shows("not with 1011")
    await (await a.region.find("textbox", "Code")).fill("4000")
    await (await a.region.find("textbox", "Reason")).fill("enough for today")
    await a.press("Close")
    # The reason is what was sent: a server need not send it back.
    await a.reads("↑ Close sent", "Code 4000, reason “enough for today”")
    await a.reads("Closed", "wasClean: true", "application's own code", "by this client")


@check(for_the_echo)
async def reconnecting(page):
    """after a close the client connects again"""
    a = await (await page.client("A")).connected("/ws")
    await a.press("Close")
    await a.reads("Code 1000", "Normal closure")
    await a.press("Clear log")
    await a.connected()
    await a.send("again")
    await a.reads("Echo: again")


@check(for_the_echo)
async def third_client(page):
    """a third client has a conversation of its own"""
    await (await page.button("Add a client")).click()
    c = await (await page.client("C")).connected("/ws")
    await c.send("third")
    await c.reads("Echo: third")
    expect("third" not in await (await (await page.client("A")).log()).text(), "nothing of it in client A")


@check(for_the_echo)
async def keyboard(page):
    """Tab and Enter alone are enough to connect, send, close and connect again"""

    async def tab_to(role, name):
        for _ in range(40):
            await page.browser.press("Tab")
            if await page.browser.focused() == (role, name):
                return
        raise Failure(f"expected Tab to reach the {role} “{name}”")

    a = await page.client("A")
    await tab_to("textbox", "Path and query")
    await page.browser.press("a", ["Meta" if sys.platform == "darwin" else "Control"])
    await page.browser.type("/ws")
    await page.browser.press("Enter")
    await a.reads("Connected")
    expect(await page.browser.focused() == ("textbox", "Message"), "the keyboard in the message box after connecting")
    await page.browser.type("no mouse")
    await page.browser.press("Enter")
    await a.reads("Echo: no mouse")
    await page.browser.press("Tab", ["Shift"])
    for _ in range(20):
        if await page.browser.focused() == ("button", "Close"):
            break
        await page.browser.press("Tab", ["Shift"])
    await page.browser.press("Enter")
    await a.reads("Closed", "Code 1000")
    expect(await page.browser.focused() == ("button", "Connect"), "the keyboard on Connect after closing")
    await page.browser.press("Enter")
    await until(lambda: a.shows("Connected to /ws"), "a second connection")


@check(for_the_echo)
async def bounded(page):
    """the log keeps the last 500 entries and stays at the newest"""
    a = await (await page.client("A")).connected("/ws")
    await (await a.box()).click()
    for number in range(260):
        await page.browser.press(str(number % 10))
        await page.browser.press("Enter")
    await a.send("the last one")
    await a.reads("Echo: the last one")
    entries = await page.browser.evaluate("document.querySelector('[role=log]').childElementCount")
    expect(entries == 500, f"500 entries, not {entries}")

    async def at_the_end():
        log = "document.querySelector('[role=log]')"
        return await page.browser.evaluate(f"{log}.scrollHeight - {log}.scrollTop - {log}.clientHeight < 2")

    await until(at_the_end, "the log to have scrolled to its newest entry")


# MARK: Running


async def take_screenshots(page, directory):
    """Light and dark with a conversation, and the phone's view."""
    os.makedirs(directory, exist_ok=True)
    await page.load()
    a, b = await page.client("A"), await page.client("B")
    if page.level["number"] == "01":
        await a.connected("/ws")
        await a.send("hello")
        await a.reads("Echo: hello")
        await a.send('{"action": "subscribe", "channel": "news"}', "JSON")
        await a.reads("Echo: {")
        await a.press("Pretty-print")
        await a.send("00 ff 10", "Binary")
        await a.press("Ping")
        await a.reads("round trip")
        await b.connected("/ws")
        await b.send("good evening", "Text")
        await b.reads("Echo: good evening")
        await b.press("Close")
        await b.reads("Code 1000")
    await b.send("{\"open\": ", "JSON")
    for scheme in ("light", "dark"):
        await page.browser.prefer(scheme)
        await asyncio.sleep(0.3)
        await page.browser.screenshot(os.path.join(directory, f"{scheme}.png"))
    await page.browser.resize(360, 740, phone=True)
    await page.browser.prefer("light")
    await asyncio.sleep(0.3)
    await page.browser.screenshot(os.path.join(directory, "phone.png"))


def read_level(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{url.rstrip('/')}/level.json", timeout=5) as response:
        return json.load(response)


async def run(options):
    passed = failed = 0
    try:
        level = read_level(options.url)
    except (OSError, ValueError) as error:
        print(f"FAILED  {options.url}/level.json cannot be read: {error}")
        return 1
    checks = for_every_level + (for_the_echo if level["number"] == "01" else [])
    async with Browser(options.chromium, options.profile) as browser:
        page = Page(browser, options.url, level)
        for one in checks:
            try:
                await page.load()
                await one(page)
                expect(not browser.exceptions, f"no uncaught JavaScript error, but: {browser.exceptions}")
                passed += 1
                print(f"passed  {one.__doc__}", flush=True)
            except Failure as failure:
                failed += 1
                print(f"FAILED  {one.__doc__}\n        {failure}", flush=True)
            browser.exceptions.clear()
        if options.screenshots:
            await take_screenshots(page, options.screenshots)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--chromium", required=True)
    parser.add_argument("--profile", required=True, help="an empty folder for the browser")
    parser.add_argument("--seconds", type=float, required=True, help="the time for everything")
    parser.add_argument("--screenshots")
    options = parser.parse_args()
    task = asyncio.ensure_future(run(options))
    # Cancelled, not killed: so the browser is ended on the way out.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    done, _ = await asyncio.wait({task}, timeout=options.seconds)
    if not done:
        print("FAILED  the time is up", flush=True)
        task.cancel()
    try:
        return await task
    except asyncio.CancelledError:
        print("FAILED  stopped before all checks had run")
    except Failure as failure:
        print(f"FAILED  {failure}")
    return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
