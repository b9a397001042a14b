"""Checks the chat page of level 17, as two people use it, each in a browser of their own. Run by scripts/test-chat.

Every check has a room of its own, and begins with both on the first screen. Names last: a person keeps theirs.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys

from browser import Browser, Failure, until
from check_page import CONTRAST

checks = []


def check(function):
    """Registers a function as a check; its docstring is the line that is printed."""
    checks.append(function)
    return function


def expect(condition, sentence):
    if not condition:
        raise Failure(f"expected {sentence}")


class Server:
    """The server of level 17, which can be stopped and started again where it was."""

    def __init__(self, program, folder):
        self.program, self.data, self.output = program, os.path.join(folder, "data"), os.path.join(folder, "server")
        self.port, self.process = 0, None

    async def start(self):
        with open(self.output, "w", encoding="utf-8") as output:
            self.process = subprocess.Popen(
                [self.program, "--port", str(self.port), "--data", self.data], stdout=output, stderr=output
            )

        async def address():
            with open(self.output, encoding="utf-8") as opened:
                text = opened.read()
            if self.process.poll() is not None:
                raise Failure(f"the server to listen, but it said: {text}")
            return text.partition("http://")[2].split("\n")[0] if "http://" in text and "\n" in text else None

        self.port = int((await until(address, "the server to print its address", 10)).rpartition(":")[2])
        self.url = f"http://localhost:{self.port}"

    async def stop(self):
        self.process.terminate()

        async def ended():
            return self.process.poll() is not None

        await until(ended, "the server to end on SIGTERM", 15)

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Person:
    """Somebody in front of a browser's page."""

    def __init__(self, tab, name, server):
        self.tab, self.name, self.server, self.room = tab, name, server, None

    async def arrive(self):
        """The first screen, also where a chat was before."""
        await self.tab.visit(self.server.url)
        await self.tab.evaluate("sessionStorage.clear()")
        await self.tab.prefer("light")
        await self.load()
        await self.find("textbox", "Your name")

    async def load(self):
        await self.tab.visit(self.server.url)
        await until(lambda: self.tab.evaluate("document.readyState === 'complete'"), "the page to load")

    async def find(self, role, name):
        return await (await self.tab.document()).find(role, name)

    async def press(self, name):
        await (await self.find("button", name)).click()

    async def fill_in(self, name, room):
        await (await self.find("textbox", "Your name")).fill(name)
        await (await self.find("textbox", "Room")).fill(room)
        await self.tab.press("Enter")

    async def join(self, room):
        await self.fill_in(self.name, room)
        self.room = room
        await self.online()
        return self

    async def online(self):
        await self.state("Online")

    async def state(self, *texts):
        async def there():
            shown = await self.part("state")
            return any(shown.startswith(text) for text in texts)

        try:
            await until(there, "", 20)
        except Failure:
            raise Failure(
                f"expected {self.name}'s page to show {' or '.join(texts)}, not "
                f"{await self.tab.evaluate('document.body.innerText')!r}"
            ) from None

    async def log(self):
        return await self.find("log", f"Messages in {self.room}")

    async def reads(self, *parts):
        return await (await self.log()).shows(*parts)

    async def box(self):
        return await self.find("textbox", f"Message to {self.room}")

    async def write(self, text):
        await (await self.box()).fill(text)

    async def say(self, text):
        await self.write(text)
        await self.tab.press("Enter")

    async def texts(self):
        """What everybody has said here, as shown: one text for each message."""
        return await self.tab.evaluate("[...document.querySelectorAll('#log .text')].map((text) => text.innerText)")

    async def have(self, *texts):
        """These messages are shown, each once and in this order, and no others."""

        async def there():
            return await self.texts() == list(texts)

        try:
            await until(there, "")
        except Failure:
            raise Failure(f"expected {self.name} to have {list(texts)}, not {await self.texts()}") from None

    async def people(self, *names):
        async def there():
            shown = await self.tab.evaluate("[...document.querySelectorAll('#people .row')].map((row) => row.title)")
            return [title.removeprefix("Write privately to ") for title in shown] == list(names)

        await until(there, f"{self.name} to see {', '.join(names)} in the room")

    async def part(self, name):
        """What one of the page's places shows."""
        return await self.tab.evaluate(f"document.getElementById('{name}').innerText")

    async def part_shows(self, name, text):
        async def there():
            return await self.part(name) == text

        try:
            await until(there, "")
        except Failure:
            raise Failure(f"expected {text!r} at {name}, not {await self.part(name)!r}") from None

    async def overflow(self):
        """How many pixels the page is wider than its window."""
        return await self.tab.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )


# MARK: The first screen


@check
async def first_screen(ana, bob, room):
    """the first screen is quiet, offers rooms where people are, and says what is wrong with a name"""
    await bob.join(room)
    await ana.load()
    await (await ana.find("textbox", "Your name")).fill("")
    await ana.tab.press("Enter")
    await ana.part_shows("entranceFault", "Please choose a name.")
    await ana.fill_in("x" * 33, room)
    await ana.part_shows("entranceFault", "A name has at most 32 characters.")
    await (await ana.find("textbox", "Room")).fill("elsewhere")
    await ana.press(f"{room} · 1")
    expect(await (await ana.find("textbox", "Room")).value() == room, "the chosen room in the box")
    expect(not ana.tab.console_errors, f"a quiet console, not {ana.tab.console_errors}")


@check
async def taken(ana, bob, room):
    """a name that somebody has elsewhere is taken, one's own is kept by the browser"""
    await ana.join(room)
    await bob.fill_in(ana.name, room)
    await bob.part_shows("entranceFault", f"The name “{ana.name}” is taken. Please choose another.")
    await ana.press("Leave")
    expect(await (await ana.find("textbox", "Your name")).value() == ana.name, "the name still in the box")
    await ana.join(room)


# MARK: Talking


@check
async def talk(ana, bob, room):
    """two people talk; what one says in a row has one heading, and one's own is apart"""
    await ana.join(room)
    await bob.join(room)
    await ana.say("hello")
    await ana.say("is anybody here?")
    await bob.have("hello", "is anybody here?")
    await bob.say("I am")
    for person in (ana, bob):
        await person.have("hello", "is anybody here?", "I am")
    headings = await bob.tab.evaluate("[...document.querySelectorAll('#log .meta strong')].map((name) => name.innerText)")
    expect(headings == [ana.name, "You"], f"a heading for {ana.name} and one for You, not {headings}")
    left, right = await bob.tab.evaluate(
        "[...document.querySelectorAll('#log .text')].slice(1).map((text) => text.getBoundingClientRect().right)"
    )
    expect(left < right, "one's own message further to the right")


@check
async def markup(ana, bob, room):
    """markup in messages, names and rooms stays text"""
    markup = "<img src=x onerror=alert(1)><b>bold</b>"
    await bob.fill_in("<b>bob</b>", f"{room}<i>")
    bob.room = f"{room}<i>"
    await bob.online()
    await ana.join(bob.room)
    await bob.say(markup)
    await ana.have(markup)
    await ana.reads("<b>bob</b>")
    await ana.people(*sorted(["<b>bob</b>", ana.name]))
    found = await ana.tab.evaluate("document.querySelectorAll('#chat img, #chat b, #chat i').length")
    expect(found == 0, "no element made of a message")


@check
async def literal(ana, bob, room):
    """what looks like a command of the protocol is said as it is; a line break stays"""
    await ana.join(room)
    await bob.join(room)
    await ana.say('{"type":"typing"}')
    await ana.say("ping")
    await ana.write("one")
    await ana.tab.press("Enter", ["Shift"])
    await ana.tab.type("two")
    await ana.tab.press("Enter")
    await bob.have('{"type":"typing"}', "ping", "one\ntwo")


@check
async def typing(ana, bob, room):
    """who types is shown to the others, until the message comes or the typing stops"""
    await ana.join(room)
    await bob.join(room)
    await ana.people(ana.name, bob.name)
    await ana.write("hel")
    await bob.part_shows("typing", f"{ana.name} is typing…")
    expect(await ana.part("typing") == "", "nothing about oneself")
    await ana.tab.press("Enter")
    await bob.have("hel")
    await bob.part_shows("typing", "")
    await ana.write("again")
    await bob.part_shows("typing", f"{ana.name} is typing…")
    await bob.part_shows("typing", "")


@check
async def presence(ana, bob, room):
    """people are listed and announced as they come and go"""
    await ana.join(room)
    await ana.people(ana.name)
    await bob.join(room)
    await ana.people(ana.name, bob.name)
    await bob.people(ana.name, bob.name)
    await ana.reads(f"You joined {room}", f"{bob.name} joined")
    await bob.press("Leave")
    await ana.people(ana.name)
    await ana.reads(f"{bob.name} left")


@check
async def private(ana, bob, room):
    """a private message reaches the one it is for, also in another room, and nobody else"""
    other = f"{room}-b"
    await ana.join(room)
    await bob.join(room)
    cleo = Person(await bob.tab.new_tab(), "cleo", bob.server)
    await cleo.arrive()
    await cleo.join(room)
    await ana.people(ana.name, bob.name, "cleo")
    await ana.press(f"Write privately to {bob.name}")
    await ana.tab.type("a secret")
    await ana.tab.press("Enter")
    await bob.reads(ana.name, "privately to you", "a secret")
    await ana.reads(f"privately to {bob.name}", "a secret")
    await ana.press("To everyone instead")
    await ana.say("for all")
    await cleo.have("for all")
    await bob.press("Leave")
    await bob.join(other)
    await ana.say(f"/pm {bob.name} over there?")
    await bob.reads("over there?")
    await ana.say("/pm nobody hello")
    await ana.press("Discard")
    await ana.have("a secret", "for all", "over there?")
    expect(await cleo.texts() == ["for all"], f"nothing private with cleo, not {await cleo.texts()}")


@check
async def rooms(ana, bob, room):
    """rooms are listed with their people; in another room one hears what is said there alone"""
    other = f"{room}-b"
    await bob.join(other)
    await bob.say("over here")
    await ana.join(room)
    await ana.say("where is everybody?")
    await ana.have("where is everybody?")
    await ana.press(f"{other}, 1 person")
    ana.room = other
    await ana.have("over here")
    await bob.people(ana.name, bob.name)
    await (await ana.find("textbox", "Another room")).fill(room)
    await ana.tab.press("Enter")
    ana.room = room
    await ana.have("where is everybody?")
    await bob.people(bob.name)


@check
async def two_tabs(ana, bob, room):
    """two tabs of one person show the same, and the person stays until both are closed"""
    await bob.join(room)
    await ana.join(room)
    second = Person(await ana.tab.new_tab(), ana.name, ana.server)
    await second.arrive()
    expect(await (await second.find("textbox", "Your name")).value() == ana.name, "the name filled in")
    await second.join(room)
    await second.people(ana.name, bob.name)
    await second.say("from the second")
    await ana.have("from the second")
    await bob.say("hello, you two")
    await second.have("from the second", "hello, you two")
    await second.press("Leave")
    await ana.say("still here")
    await bob.have("from the second", "hello, you two", "still here")
    shown = await bob.reads("still here")
    expect(f"{ana.name} left" not in shown and shown.count("joined") == 2, f"one coming and no going, not {shown!r}")


# MARK: What lasts


@check
async def reload(ana, bob, room):
    """a reload comes back to the same room with its history"""
    await ana.join(room)
    await bob.join(room)
    await ana.say("one")
    await bob.have("one")
    await bob.say("two")
    await ana.have("one", "two")
    await ana.load()
    await ana.online()
    await ana.have("one", "two")
    await ana.say("three")
    await bob.have("one", "two", "three")


@check
async def restart(ana, bob, room):
    """when the server restarts, the page comes back, sends what was written meanwhile, and shows all of it once"""
    await ana.join(room)
    await bob.join(room)
    for text in ("same", "same"):
        await ana.say(text)
    await bob.have("same", "same")
    await ana.server.stop()
    await ana.state("Reconnecting", "Connecting")
    await ana.say("same")
    await ana.say("and another")
    await (await ana.find("list", "Not sent yet")).shows("same", "Waiting for the connection")
    await ana.have("same", "same")
    await ana.server.start()
    for person in (ana, bob):
        await person.online()
        await person.have("same", "same", "same", "and another")
    await bob.say("welcome back")
    await ana.have("same", "same", "same", "and another", "welcome back")
    await ana.load()
    await ana.have("same", "same", "same", "and another", "welcome back")
    for person in (ana, bob):
        # The browser itself reports connections that fail.
        person.tab.console_errors.clear()


@check
async def missed(ana, bob, room):
    """what was said while the connection was gone is there afterwards, in order and once"""
    await ana.join(room)
    await bob.join(room)
    await bob.say("before")
    await ana.have("before")
    # The page loses its connection, and waits as long as we like.
    await ana.tab.evaluate("connection.failures = 20, connection.lost(1006, ''), 0")
    await ana.state("Reconnecting")
    for text in ("first", "second", "first"):
        await bob.say(text)
    await bob.have("before", "first", "second", "first")
    await ana.press("Try now")
    await ana.online()
    await ana.have("before", "first", "second", "first")
    await ana.say("thank you")
    await bob.have("before", "first", "second", "first", "thank you")


@check
async def in_doubt(ana, bob, room):
    """a line that was under way when the connection broke is shown once, whether it had arrived or not"""
    await ana.join(room)
    await bob.join(room)
    said = []
    for send in ("connection.socket.send(JSON.stringify({ type: 'message', message: text })),", ""):
        await bob.say("next")
        await ana.have(*said, "next")
        await ana.tab.evaluate(
            "((text) => { connection.send = () => true; const line = newLine(text, null); room.outbox.push(line); sendNext();"
            f"{send} delete connection.send; connection.lost(1006, ''); }})('did it arrive?')"
        )
        said += ["next", "did it arrive?"]
        for person in (ana, bob):
            await person.have(*said)


@check
async def private_in_doubt(ana, bob, room):
    """a private line that was under way when the connection broke is asked about: no history tells whether it arrived"""
    await ana.join(room)
    await bob.join(room)
    await ana.tab.evaluate(
        "((to) => { connection.send = () => true; const line = newLine('psst', to); room.outbox.push(line); sendNext();"
        f"delete connection.send; connection.lost(1006, ''); }})('{bob.name}')"
    )
    await ana.online()
    await (await ana.find("list", "Not sent yet")).shows("psst", "this may not have arrived")
    await ana.press("Send again")
    await bob.have("psst")
    await ana.have("psst")


@check
async def too_fast(ana, bob, room):
    """a page that the server sends away, here for its haste, says why and comes back"""
    await ana.join(room)
    await ana.tab.evaluate("(() => { for (let i = 0; i < 40; i += 1) connection.send('ping'); })()")
    await ana.reads("The server closed the connection: Rate limit exceeded")
    await ana.online()
    await ana.say("slowly now")
    await ana.have("slowly now")


@check
async def forgotten(ana, bob, room):
    """on a server that has lost its accounts and messages, the page keeps what it shows and goes on"""
    await ana.join(room)
    await ana.say("before")
    await ana.have("before")
    await ana.server.stop()
    ana.server.data += "-new"
    await ana.server.start()
    await ana.online()
    await ana.say("after")
    await ana.have("before", "after")
    await bob.join(room)
    await bob.have("after")
    for person in (ana, bob):
        # The browser itself reports connections that fail.
        person.tab.console_errors.clear()


# MARK: For everybody


@check
async def keyboard(ana, bob, room):
    """Tab and Enter alone are enough to join, to talk and to write privately"""

    async def tab_to(role, name):
        for _ in range(40):
            await ana.tab.press("Tab")
            if await ana.tab.focused() == (role, name):
                return
        raise Failure(f"expected Tab to reach the {role} “{name}”")

    await bob.join(room)
    select_all = ("a", ["Meta" if sys.platform == "darwin" else "Control"])
    await tab_to("textbox", "Your name")
    await ana.tab.press(*select_all)
    await ana.tab.type(ana.name)
    await tab_to("textbox", "Room")
    await ana.tab.press(*select_all)
    await ana.tab.type(room)
    await ana.tab.press("Enter")
    ana.room = room
    await ana.online()
    await ana.people(ana.name, bob.name)
    expect(await ana.tab.focused() == ("textbox", f"Message to {room}"), "the keyboard in the message box after joining")
    await ana.tab.type("no mouse")
    await ana.tab.press("Enter")
    await bob.have("no mouse")
    await tab_to("button", f"Write privately to {bob.name}")
    await ana.tab.press("Enter")
    await ana.tab.type("psst")
    await ana.tab.press("Enter")
    await bob.have("no mouse", "psst")
    await ana.tab.press("Escape")
    expect(await ana.tab.focused() == ("textbox", f"Message to {room}"), "Escape to end the private messages")


@check
async def bounds(ana, bob, room):
    """long words and long messages stay inside, also on a phone, and the newest message stays in view"""
    await ana.tab.resize(360, 740, phone=True)
    await ana.join(room)
    await bob.join(room)
    for number in range(12):
        await bob.say(f"{number} " + "w" * 90)
    await ana.reads("11 w")
    expect(await ana.overflow() <= 0, f"no sideways scrolling, but {await ana.overflow()} pixels too many")
    below = "(() => { const s = document.getElementById('scroller'); return s.scrollHeight - s.scrollTop - s.clientHeight })()"

    async def at_the_end():
        return await ana.tab.evaluate(below) < 2

    await until(at_the_end, "the newest message in view")
    # Someone who reads further up is left there, and told.
    await ana.tab.evaluate("document.getElementById('scroller').scrollTop = 0")
    await until(lambda: ana.tab.evaluate("!log.follows"), "the page to notice the scrolling")
    await bob.say("one more")
    await ana.find("button", "New messages ↓")
    expect(await ana.tab.evaluate("document.getElementById('scroller').scrollTop") == 0, "the view where it was")
    await ana.press("New messages ↓")
    await until(at_the_end, "the newest message in view again")


@check
async def phone(ana, bob, room):
    """on a phone, rooms and people are behind a button, which the keyboard opens and closes"""
    await ana.tab.resize(360, 740, phone=True)
    await ana.join(room)
    await bob.join(room)
    buttons = [button.name for button in await (await ana.tab.document()).all("button")]
    expect("Leave" not in buttons, "the list hidden at first")
    await ana.press("Rooms and people")
    expect(await ana.tab.focused() == ("button", "Leave"), "the keyboard in the list")
    await ana.tab.press("Escape")
    expect(await ana.tab.focused() == ("button", "Rooms and people"), "the keyboard back on the button")
    await ana.press("Rooms and people")
    await ana.press(f"Write privately to {bob.name}")
    await ana.tab.type("psst")
    await ana.tab.press("Enter")
    await bob.have("psst")


@check
async def contrast(ana, bob, room):
    """the contrast of all text is at least 4.5 to 1, in light and in dark"""
    await bob.join(room)
    await bob.say("hello")
    for inside in (False, True):
        if inside:
            await ana.join(room)
            await ana.say("hello, too")
            await ana.say(f"/pm {bob.name} psst")
            await ana.say("/pm nobody psst")
            await ana.reads("psst")
        for scheme in ("light", "dark"):
            await ana.tab.prefer(scheme)
            poor = await ana.tab.evaluate(CONTRAST)
            expect(poor == [], f"enough contrast in the {scheme} scheme, but: {'; '.join(poor)}")
    await ana.tab.prefer("light")


@check
async def still(ana, bob, room):
    """nothing moves when somebody types, when the connection breaks, or when it comes back"""
    await ana.join(room)
    await bob.join(room)
    await bob.say("hello")
    await ana.have("hello")
    places = """[...document.querySelectorAll('#text, #send, #title, #log .text, #people, #rooms')].map((element) => {
        const { x, y, width, height } = element.getBoundingClientRect();
        return [element.id, x, y, width, height].join(' ');
    })"""
    await ana.people(ana.name, bob.name)
    # The title gives way to what the connection has to say, and only its width does.
    before = await ana.tab.evaluate(places)
    await bob.write("hm")
    await ana.part_shows("typing", f"{bob.name} is typing…")
    expect(await ana.tab.evaluate(places) == before, "everything in place while somebody types")
    await ana.tab.evaluate("connection.failures = 20, connection.lost(1006, ''), 0")
    await ana.state("Reconnecting")
    without_title = lambda list: [place for place in list if not place.startswith("title")]
    expect(without_title(await ana.tab.evaluate(places)) == without_title(before), "everything in place without a connection")


# MARK: Running


async def take_screenshots(ana, bob, directory):
    """The first screen; a conversation in light, dark and on a phone."""
    os.makedirs(directory, exist_ok=True)

    async def picture(name):
        await asyncio.sleep(0.4)
        await ana.tab.screenshot(os.path.join(directory, f"{name}.png"))

    cleo = Person(await bob.tab.new_tab(), "cleo", bob.server)
    dan = Person(await bob.tab.new_tab(), "dan", bob.server)
    for person, room in ((cleo, "kitchen"), (dan, "garden"), (bob, "kitchen")):
        await person.arrive()
        await person.join(room)
    await ana.tab.resize(1180, 760)
    await ana.arrive()
    await ana.find("button", "kitchen · 2")
    await picture("first")
    await ana.join("kitchen")
    await cleo.say("Good evening! Is anybody cooking today?")
    await ana.reads("cooking")
    await bob.say("I am. Onion soup, in about half an hour.")
    await bob.say("There will be enough for everybody.")
    await ana.reads("enough")
    await ana.say("Count me in 🙂 Shall I bring bread?")
    await bob.reads("bread")
    await cleo.say("And I have a cheese that wants to be eaten.")
    await ana.reads("cheese")
    await bob.say(f"/pm {ana.name} Bread would be lovely. And a candle: it is her birthday.")
    await ana.reads("birthday")
    await ana.say(f"/pm {bob.name} A cake, then!")
    await bob.reads("A cake")
    await cleo.write("See you")
    await ana.part_shows("typing", "cleo is typing…")
    for scheme in ("light", "dark"):
        await ana.tab.prefer(scheme)
        await cleo.tab.type(".")
        await picture(scheme)
    await ana.tab.prefer("light")
    await ana.tab.resize(390, 780, phone=True)
    await picture("phone")
    await ana.press("Rooms and people")
    await picture("phone-list")
    await ana.tab.press("Escape")
    await ana.tab.prefer("dark")
    await ana.tab.evaluate("connection.failures = 20, connection.lost(1006, ''), 0")
    await ana.say("Can you hear me?")
    await picture("phone-lost")
    await ana.tab.resize(390, 780, phone=True)
    await ana.tab.prefer("light")
    await ana.arrive()
    await picture("phone-first")


async def run(options):
    passed = failed = 0
    server = Server(options.server, options.folder)
    try:
        await server.start()
        async with (
            Browser(options.chromium, os.path.join(options.folder, "profile-a")) as one,
            Browser(options.chromium, os.path.join(options.folder, "profile-b")) as two,
        ):
            for number, each in enumerate(checks):
                if options.only and options.only != each.__name__:
                    continue
                try:
                    people = [Person(one, "ana", server), Person(two, "bob", server)]
                    for person in people:
                        await person.tab.resize(1280, 800)
                        await person.arrive()
                    await each(*people, f"room {number}")
                    for person in people:
                        errors = person.tab.exceptions
                        expect(not errors, f"no uncaught JavaScript error, but: {errors}")
                    passed += 1
                    print(f"passed  {each.__doc__}", flush=True)
                except Failure as failure:
                    failed += 1
                    print(f"FAILED  {each.__doc__}\n        {failure}", flush=True)
                    if server.process.poll() is not None:
                        await server.start()
                for browser in (one, two):
                    browser.exceptions.clear()
                    await browser.close_tabs()
            if options.screenshots:
                await take_screenshots(Person(one, "ana", server), Person(two, "bob", server), options.screenshots)
    finally:
        server.end()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True, help="the program of level 17")
    parser.add_argument("--chromium", required=True)
    parser.add_argument("--folder", required=True, help="an empty folder for browsers and server")
    parser.add_argument("--seconds", type=float, required=True, help="the time for everything")
    parser.add_argument("--screenshots")
    parser.add_argument("--only", help="the name of one check")
    options = parser.parse_args()
    task = asyncio.ensure_future(run(options))
    # Cancelled, not killed: so the browsers are ended on the way out.
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
