"""A full house in the chat of level 17, with nothing but Python's standard library.

  soak_chat.py PORT PID SECONDS MESSAGES

1,000 people in 50 rooms. In each room two talk, and six come and go: they leave, drop by FIN or RST, or stop reading
first; and come back under their name within two seconds, with the history for what they missed. Messages are numbered.
Everybody must have each message of their room once and in order, and each private one; the file MESSAGES one line for
each. The server's memory must stay flat, and its descriptors must be back to where they began.
Exit status 1 and a line for everything that is wrong.
"""

import asyncio
import json
import os
import random
import resource
import socket
import struct
import sys
import time

from soak import CLOSE, PING, PONG, TEXT, descriptors, fault, faults, growth_per_minute, resident_kilobytes, settled

ROOMS, PEOPLE, VISITORS, SPEAKERS = 50, 20, 6, 2  # the latter three in each room
MESSAGES_PER_SECOND, PRIVATE_PER_SECOND = 1.5, 0.25  # of each speaker
STAY, ABSENCE = (2.0, 20.0), (0.0, 1.5)  # seconds of a visitor


class Connection(asyncio.Protocol):
    """One WebSocket. Texts go to `heard`; `ended` is set to the code of the Close frame, or 1006."""

    def __init__(self, path, heard):
        self.path, self.heard = path, heard
        self.buffer, self.is_open = bytearray(), False
        self.ended = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, port, path, heard):
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: cls(path, heard), "127.0.0.1", port
        )
        return connection

    def connection_made(self, transport):
        self.transport = transport
        host, port = transport.get_extra_info("peername")
        transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def connection_lost(self, _):
        self.end(1006)

    def end(self, code):
        if not self.ended.done():
            self.ended.set_result(code)

    def data_received(self, data):
        self.buffer += data
        if not self.is_open:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self.buffer.startswith(b"HTTP/1.1 101 "):
                fault(f"{self.path} was answered with {bytes(self.buffer[:end])}")
                return self.transport.abort()
            del self.buffer[: end + 4]
            self.is_open = True
        at = 0
        while (frame := self.frame(at)) is not None:
            opcode, payload, at = frame
            if opcode == TEXT:
                self.heard(payload)
            elif opcode == PING:
                self.send(payload, PONG)
            elif opcode == CLOSE:
                self.end(struct.unpack("!H", payload[:2])[0] if payload else 1005)
                self.transport.close()
        del self.buffer[:at]

    def frame(self, at):
        """Opcode, payload and end of the frame at this place, or None if it is not complete."""
        buffer = self.buffer
        if len(buffer) < at + 2:
            return None
        size, start = buffer[at + 1], at + 2
        if size == 126:
            start = at + 4
            size = int.from_bytes(buffer[at + 2 : start], "big")
        elif size == 127:
            start = at + 10
            size = int.from_bytes(buffer[at + 2 : start], "big")
        if len(buffer) < start + size:
            return None
        return buffer[at] & 15, bytes(buffer[start : start + size]), start + size

    def send(self, payload, opcode=TEXT):
        size, key = len(payload), os.urandom(4)
        head = bytes([0x80 | opcode]) + (bytes([0x80 | size]) if size < 126 else struct.pack("!BH", 0xFE, size))
        mask = (key * (size // 4 + 1))[:size]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
        self.transport.write(head + key + masked)

    def drop(self, reset):
        if reset:
            self.transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            self.transport.abort()
        else:
            self.transport.close()


class Person:
    """Somebody in a room, over all connections."""

    def __init__(self, port, room, number):
        self.port, self.room, self.name = port, room, f"{room}-{number}"
        self.connection, self.joined = None, None
        self.last_id, self.missed, self.received = 0, 0, 0
        self.next, self.next_private = {}, {}  # the number that the next message of each speaker must have
        self.sent, self.sent_privately = 0, 0
        self.delays = []

    async def join(self):
        # The server may take a moment to notice that the last connection is gone: until then the name is taken.
        deadline = time.monotonic() + 10
        while True:
            self.joined = asyncio.get_running_loop().create_future()
            self.connection = await Connection.open(self.port, f"/ws/chat/{self.room}/{self.name}", self.heard)
            await asyncio.wait({self.joined, self.connection.ended}, return_when=asyncio.FIRST_COMPLETED)
            if self.joined.done():
                return
            code = self.connection.ended.result()
            if code != 4009 or time.monotonic() > deadline:
                return fault(f"{self.name} was not let in: {code}")
            await asyncio.sleep(0.05)

    def heard(self, payload):
        event = json.loads(payload)
        kind = event["type"]
        if kind == "message":
            self.take(event)
        elif kind == "history":
            missed = [message for message in event["messages"] if message["id"] > self.last_id]
            self.missed += len(missed)
            for message in missed:
                self.take(message)
        elif kind == "presence":
            if not self.joined.done():
                self.joined.set_result(None)
        elif kind == "pm":
            self.count(event["message"], event["from"], self.next_private)
        elif kind not in ("system", "typing", "stopped"):
            fault(f"{self.name} received {event}")

    def take(self, event):
        if event["id"] <= self.last_id:
            fault(f"{self.name} received message {event['id']} after {self.last_id}")
        self.last_id = event["id"]
        self.received += 1
        self.count(event["message"], event["user"], self.next)

    def count(self, text, speaker, expected):
        number, moment, *_ = text.split(" ", 2)
        if int(number) != expected.get(speaker, 0):
            fault(f"{self.name} received {number} of {speaker} instead of {expected.get(speaker, 0)}")
        expected[speaker] = int(number) + 1
        if len(self.delays) < 100_000:
            self.delays.append(time.monotonic() - float(moment))

    def say(self):
        padding = "." * random.choice((10, 10, 10, 100, 1000))
        self.connection.send(json.dumps(
            {"type": "message", "message": f"{self.sent} {time.monotonic():.6f} {padding}"}).encode())
        self.sent += 1

    def say_privately(self, name):
        self.connection.send(f"/pm {name} {self.sent_privately} {time.monotonic():.6f}".encode())
        self.sent_privately += 1


async def come_and_go(person, end, ways):
    """Comes and goes, and is there at the end."""
    while True:
        leave = time.monotonic() + random.uniform(*STAY)
        if leave > end:
            return
        await asyncio.wait({person.connection.ended}, timeout=leave - time.monotonic())
        if person.connection.ended.done():
            return fault(f"{person.name} was closed with {person.connection.ended.result()}")
        way = random.choice(("close", "FIN", "RST", "deaf"))
        ways[way] = ways.get(way, 0) + 1
        if way == "close":
            person.connection.send(struct.pack("!H", 1000), CLOSE)
            done, _ = await asyncio.wait({person.connection.ended}, timeout=10)
            if not done or person.connection.ended.result() != 1000:
                fault(f"{person.name}'s 1000 was not answered with 1000")
        else:
            if way == "deaf":
                person.connection.transport.pause_reading()
                await asyncio.sleep(2)
            person.connection.drop(reset=way != "FIN")
            await asyncio.wait({person.connection.ended})
        await asyncio.sleep(random.uniform(*ABSENCE))
        await person.join()


async def talk(person, neighbour, end):
    """Says something now and then, and something private to somebody in the next room."""
    await asyncio.sleep(random.random())
    typed = 0
    while time.monotonic() < end and not person.connection.ended.done():
        if random.random() < 0.1:
            person.connection.send(b'{"type":"typing"}')
            typed += 1
        person.say()
        if random.random() < PRIVATE_PER_SECOND / MESSAGES_PER_SECOND:
            person.say_privately(neighbour.name)
        await asyncio.sleep(random.uniform(0.5, 1.5) / MESSAGES_PER_SECOND)


async def all_received(rooms, patience=30):
    """Waits until everybody has everything, and says what is missing."""

    def missing():
        for people in rooms:
            for speaker in people[:SPEAKERS]:
                yield from (
                    f"{person.name} lacks the end of {speaker.name}: {person.next.get(speaker.name, 0)} of {speaker.sent}"
                    for person in people if person.next.get(speaker.name, 0) != speaker.sent
                )
        for people, neighbours in zip(rooms, rooms[1:] + rooms[:1]):
            for speaker, neighbour in zip(people[:SPEAKERS], neighbours):
                for person in {speaker, neighbour}:
                    if person.next_private.get(speaker.name, 0) != speaker.sent_privately:
                        yield f"{person.name} lacks private messages of {speaker.name}"

    deadline = time.monotonic() + patience
    while any(missing()) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    for text in missing():
        fault(text)


def percentile(values, share):
    return sorted(values)[int(share * (len(values) - 1))] if values else 0


async def soak(port, pid, seconds, messages_file):
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    rooms = [[Person(port, f"room{room}", number) for number in range(PEOPLE)] for room in range(ROOMS)]
    everybody = [person for people in rooms for person in people]
    # The first connections make what the server keeps for good.
    strangers = [Person(port, "hall", number) for number in range(20)]
    for stranger in strangers:
        await stranger.join()
    for stranger in strangers:
        stranger.connection.drop(reset=False)
    await asyncio.sleep(1)
    before, first_size = descriptors(pid), resident_kilobytes(pid)
    for people in zip(*rooms):
        await asyncio.gather(*(person.join() for person in people))
    start, ways, samples = time.monotonic(), {}, []
    end = start + seconds
    tasks = [
        asyncio.create_task(talk(speaker, neighbour, end))
        for people, neighbours in zip(rooms, rooms[1:] + rooms[:1])
        for speaker, neighbour in zip(people[:SPEAKERS], neighbours)
    ] + [
        asyncio.create_task(come_and_go(person, end, ways)) for people in rooms for person in people[-VISITORS:]
    ]
    while time.monotonic() < end and not faults:
        samples.append((time.monotonic(), resident_kilobytes(pid)))
        await asyncio.sleep(1)
    if faults:
        # The trial has failed already.
        for task in tasks:
            task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            fault(f"somebody ended with {result!r}")
    if not faults:
        await all_received(rooms)
    for person in everybody:
        if person.connection.ended.done():
            fault(f"{person.name} was closed with {person.connection.ended.result()}")
        person.connection.drop(reset=False)
    after = await settled(pid, before)
    if after > before:
        fault(f"{before} descriptors at the beginning, {after} at the end")
    said = sum(person.sent for person in everybody)
    with open(messages_file, encoding="utf-8") as opened:
        kept = sum(1 for _ in opened)
    if kept != said:
        fault(f"{kept} messages in the file, {said} were said")
    growth, sizes = growth_per_minute(samples), [size for _, size in samples]
    # Noise of the allocator aside. A lost connection costs kilobytes, and there are dozens of them each second.
    if seconds >= 120 and growth > 0.01 * sizes[0]:
        fault(f"memory grows by {growth:.0f} KB each minute")
    received, missed = sum(person.received for person in everybody), sum(person.missed for person in everybody)
    delays = [delay for people in rooms for delay in people[SPEAKERS].delays]
    print(f"{ROOMS * PEOPLE} people in {ROOMS} rooms for {seconds:.0f} s: {said} messages said and kept, "
          f"{received} received in order, {missed} of them from the history, "
          f"{said * PEOPLE - received} missing")
    print(f"private messages: {sum(person.sent_privately for person in everybody)}")
    print("came back after: " + ", ".join(f"{ways.get(way, 0)} {way}" for way in ("close", "FIN", "RST", "deaf")))
    print(f"a message was there after {1000 * percentile(delays, 0.5):.1f} ms (median), "
          f"{1000 * percentile(delays, 0.99):.1f} ms (99 %)")
    print(f"memory: {first_size} KB before, {sizes[0]} KB at first, {sizes[len(sizes) // 3]} KB after a third, "
          f"{sizes[-1]} KB at last, at most {max(sizes)} KB; slope {growth:+.1f} KB each minute")
    print(f"descriptors: {before} at the beginning, {after} at the end")


def main(port, pid, seconds, messages_file):
    asyncio.run(soak(int(port), int(pid), float(seconds), messages_file))
    for text in faults[:20]:
        print(text)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
