"""A headless Chromium, driven over the DevTools protocol as a person drives it: by clicks and keys.

What is on the page is found as a screen reader finds it, by role and accessible name, so that
a missing label is a failed test.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
import urllib.request

try:
    from websockets.asyncio.client import connect
except ImportError:  # websockets before version 13
    from websockets import connect
from websockets.exceptions import ConnectionClosed

PATIENCE = 5.0  # seconds that anything expected may take


class Failure(Exception):
    """What was expected on the page did not come."""


async def until(question, expectation, patience=PATIENCE):
    """Asks until the answer is truthy, and returns it."""
    deadline = time.monotonic() + patience
    while True:
        answer = await question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Failure(f"expected {expectation}")
        await asyncio.sleep(0.02)


class Tab:
    """One page of a browser."""

    def __init__(self):
        self.exceptions = []  # JavaScript errors nobody caught
        self.console_errors = []
        self._answers = {}
        self._last_id = 0

    async def _attach(self, address):
        self._socket = await connect(address, max_size=None, ping_interval=None)
        self._reader = asyncio.ensure_future(self._read())
        for domain in ("Page", "Runtime", "Log", "DOM", "Accessibility"):
            await self.command(f"{domain}.enable")

    async def _read(self):
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                answer = self._answers.pop(message["id"])
                if not answer.done():
                    answer.set_result(message)
            elif message["method"] == "Page.javascriptDialogOpening":
                # The page opens none of its own; left open, it would stop everything.
                self.exceptions.append(f"a dialog opened: {message['params']['message']}")
                asyncio.ensure_future(self.command("Page.handleJavaScriptDialog", accept=False))
            elif message["method"] == "Runtime.exceptionThrown":
                details = message["params"]["exceptionDetails"]
                self.exceptions.append(details.get("exception", {}).get("description", details["text"]))
            elif message["method"] == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.console_errors.append(message["params"]["entry"]["text"])
            elif message["method"] == "Runtime.consoleAPICalled" and message["params"]["type"] == "error":
                self.console_errors.append(str(message["params"]["args"]))

    async def command(self, method, **parameters):
        self._last_id += 1
        answer = self._answers[self._last_id] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send(json.dumps({"id": self._last_id, "method": method, "params": parameters}))
        except ConnectionClosed:
            raise Failure("Chromium to stay, but it has ended") from None
        # Not wait_for: before Python 3.12 it can swallow the cancellation that ends the whole run.
        done, _ = await asyncio.wait({answer}, timeout=20)
        if not done:
            raise Failure(f"Chromium to answer {method} within 20 s")
        message = answer.result()
        if "error" in message:
            raise Failure(f"{method} to work, but: {message['error']['message']}")
        return message["result"]

    # What a person does.

    async def visit(self, url):
        await self.command("Page.navigate", url=url)

    async def press(self, key, modifiers=()):
        """Presses and releases one key: a character, or a name such as Enter, Tab, ArrowUp."""
        codes = {"Enter": 13, "Tab": 9, "ArrowUp": 38, "ArrowLeft": 37, "ArrowRight": 39, "Backspace": 8, " ": 32}
        # Only letters and digits have their own code points as key codes: 40 is "(" as a character, ↓ as a key.
        code = codes.get(key, ord(key.upper()) if len(key) == 1 and key.isascii() and key.isalnum() else 0)
        event = {"key": key, "windowsVirtualKeyCode": code}
        event["code"] = "Space" if key == " " else key
        event["modifiers"] = sum({"Alt": 1, "Control": 2, "Meta": 4, "Shift": 8}[name] for name in modifiers)
        if len(key) == 1 and not set(modifiers) & {"Control", "Meta"}:
            event["text"] = key
        elif key == "Enter":
            event["text"] = "\r"
        if "Control" in modifiers or "Meta" in modifiers:
            event["commands"] = ["selectAll"] if key == "a" else []
        await self.command("Input.dispatchKeyEvent", type="keyDown", **event)
        event.pop("text", None)
        event.pop("commands", None)
        await self.command("Input.dispatchKeyEvent", type="keyUp", **event)

    async def type(self, text):
        for character in text:
            await self.press(character)

    async def resize(self, width, height, phone=False):
        await self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone,
        )

    async def prefer(self, scheme):
        """Switches the system's colour scheme: light or dark. Nothing is to move from then on, so that clicks hit."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        await self.command("Emulation.setEmulatedMedia", features=features)

    async def screenshot(self, file):
        size = (await self.command("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        picture = await self.command("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        with open(file, "wb") as opened:
            opened.write(base64.b64decode(picture["data"]))

    # What a person sees.

    async def evaluate(self, expression):
        """The value of a JavaScript expression: for measuring what is on screen, never for acting on the page."""
        result = await self.command("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in result:
            raise Failure(f"{expression} to have a value")
        return result["result"].get("value")

    async def document(self):
        root = await self.command("DOM.getDocument", depth=0)
        return Element(self, root["root"]["backendNodeId"], "document", "")

    async def focused(self):
        """Role and name of the element that has the keyboard."""
        result = await self.command("Runtime.evaluate", expression="document.activeElement")
        tree = await self.command(
            "Accessibility.getPartialAXTree", objectId=result["result"]["objectId"], fetchRelatives=False
        )
        node = tree["nodes"][0]
        return node.get("role", {}).get("value"), node.get("name", {}).get("value")


class Browser(Tab):
    """One Chromium process with its first page."""

    def __init__(self, program, profile):
        super().__init__()
        self._profile = profile
        self._tabs = [self]
        self._process = subprocess.Popen(
            [
                program,
                "--headless",
                # Containers and CI runners have no user namespaces for the sandbox; only our own page is loaded.
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--no-proxy-server",
                "--disable-background-networking",
                "--disable-component-update",
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # For scripts/test-page, which ends Chromium if this process cannot.
        with open(f"{profile}.pid", "w", encoding="utf-8") as opened:
            opened.write(str(self._process.pid))

    async def __aenter__(self):
        try:
            await self._attach(await self._page_address())
            return self
        except BaseException:
            self._end()
            raise

    async def __aexit__(self, *_):
        for tab in self._tabs:
            tab._reader.cancel()
        self._end()

    def _end(self):
        self._process.terminate()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.remove(f"{self._profile}.pid")

    async def _page_address(self):
        file = os.path.join(self._profile, "DevToolsActivePort")

        async def port():
            if self._process.poll() is not None:
                raise Failure("Chromium to start, but it ended at once")
            if not os.path.exists(file):
                return None
            with open(file, encoding="utf-8") as opened:
                lines = opened.read().split()
            return lines[0] if len(lines) == 2 else None

        self._port = await until(port, "Chromium to open its DevTools port", 20)

        async def address():
            pages = [target for target in self._ask("json") if target["type"] == "page"]
            return pages[0]["webSocketDebuggerUrl"] if pages else None

        return await until(address, "Chromium to show a page", 20)

    def _ask(self, path):
        # Never by way of a proxy: this is a conversation with our own child process.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self._port}/{path}", timeout=5) as response:
            return json.load(response)

    async def new_tab(self):
        """Another page, which shares what the browser keeps. In a window of its own: so both can be seen."""
        tab = Tab()
        tab.id = (await self.command("Target.createTarget", url="about:blank", newWindow=True))["targetId"]
        (address,) = [target["webSocketDebuggerUrl"] for target in self._ask("json") if target["id"] == tab.id]
        await tab._attach(address)
        self._tabs.append(tab)
        return tab

    async def close_tabs(self):
        """Closes all but the first page."""
        while len(self._tabs) > 1:
            tab = self._tabs.pop()
            tab._reader.cancel()
            await self.command("Target.closeTarget", targetId=tab.id)


class Element:
    """One thing on the page, and what is inside it."""

    def __init__(self, browser, node, role, name):
        self.browser, self.node, self.role, self.name = browser, node, role, name

    async def all(self, role):
        """Everything of one role in here that a screen reader would find."""
        found = await self.browser.command("Accessibility.queryAXTree", backendNodeId=self.node, role=role)
        return [
            Element(self.browser, node["backendDOMNodeId"], role, node.get("name", {}).get("value", ""))
            for node in found["nodes"]
            if not node["ignored"]
        ]

    async def find(self, role, name):
        """The one thing of that role and name in here; waits for it."""

        async def one():
            wanted = " ".join(name.split())  # as the browser does with white space in names
            matches = [element for element in await self.all(role) if " ".join(element.name.split()) == wanted]
            return matches[0] if len(matches) == 1 else None

        return await until(one, f"one {role} “{name}” in {self.role} “{self.name}”")

    async def _call(self, function):
        result = await self.browser.command("DOM.resolveNode", backendNodeId=self.node)
        called = await self.browser.command(
            "Runtime.callFunctionOn",
            objectId=result["object"]["objectId"], functionDeclaration=function, returnByValue=True,
        )
        return called["result"].get("value")

    async def text(self):
        return await self._call("function () { return this.innerText; }")

    async def value(self):
        return await self._call("function () { return this.value; }")

    async def click(self):
        """Moves the mouse to the middle of the element and clicks there, whatever lies on top."""
        await self.browser.command("DOM.scrollIntoViewIfNeeded", backendNodeId=self.node)
        quads = await self.browser.command("DOM.getContentQuads", backendNodeId=self.node)
        corners = quads["quads"][0]
        place = {"x": sum(corners[0::2]) / 4, "y": sum(corners[1::2]) / 4}
        await self.browser.command("Input.dispatchMouseEvent", type="mouseMoved", **place)
        for kind in ("mousePressed", "mouseReleased"):
            await self.browser.command(
                "Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place
            )

    async def fill(self, text):
        """Clicks into a field and types over what it holds."""
        await self.click()
        await self.browser.press("a", ["Meta" if sys.platform == "darwin" else "Control"])
        await self.browser.press("Backspace")
        await self.browser.type(text)

    async def shows(self, *parts):
        """Waits until the element's text has all the parts, and returns the text."""

        async def complete():
            text = await self.text()
            return text if all(part in text for part in parts) else None

        try:
            return await until(complete, "")
        except Failure:
            wanted = ", ".join(f"“{part}”" for part in parts)
            raise Failure(f"expected {wanted} in {self.role} “{self.name}”, which shows: {await self.text()!r}") from None
