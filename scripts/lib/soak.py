"""Many clients of EchoServer's /broadcast at once, with nothing but Python's standard library.

  soak.py soak PORT PID SECONDS   joins, leaves, drops and numbered broadcasts; watches the server's memory
  soak.py shutdown PORT PID SIGNAL [--silent]
                                  sends the server the signal; everyone must be told 1001. With --silent one client
                                  does not answer its Close frame, so that the server has to stop waiting for it
Exit status 1 and a line for everything that is wrong.
"""

import asyncio
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time

STAYERS, VISITORS, MESSAGES_PER_SECOND = 30, 20, 80
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

faults = []


def fault(text):
    faults.append(text)


class Client:
    """One WebSocket."""

    @classmethod
    async def connect(cls, port, path="/broadcast"):
        self = cls()
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        self.writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(head)
        return self

    def send(self, opcode, payload):
        key = os.urandom(4)
        size = len(payload)
        head = bytes([0x80 | opcode])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += struct.pack("!BH", 0xFE, size)
        else:
            head += struct.pack("!BQ", 0xFF, size)
        mask = (key * (size // 4 + 1))[:size]
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
        self.writer.write(head + key + masked)

    async def receive(self):
        """The next message as bytes, or the code of the server's Close frame as an int."""
        while True:
            first, size = await self.reader.readexactly(2)
            if size == 126:
                (size,) = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
            payload = await self.reader.readexactly(size)
            opcode = first & 15
            if opcode == PING:
                self.send(PONG, payload)
            elif opcode == CLOSE:
                return struct.unpack("!H", payload[:2])[0] if payload else 1005
            elif opcode == TEXT:
                return payload

    def drop(self, reset):
        """Ends without a Close frame, by FIN or by RST."""
        if reset:
            self.writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            self.writer.transport.abort()
        else:
            self.writer.close()


class Sequence:
    """Checks that numbers follow each other: nothing lost, nothing doubled."""

    def __init__(self, name, expected=None):
        self.name, self.expected, self.count = name, expected, 0

    def take(self, message):
        number = int(message.split(b" ", 1)[0])
        if self.expected is not None and number != self.expected:
            fault(f"{self.name} received {number} instead of {self.expected}")
        self.expected = number + 1
        self.count += 1


def resident_kilobytes(pid):
    try:
        with open(f"/proc/{pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    except FileNotFoundError:
        return int(subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True).stdout)


def descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except FileNotFoundError:
        listing = subprocess.run(["lsof", "-n", "-P", "-p", str(pid)], capture_output=True, text=True).stdout
        return sum(1 for line in listing.splitlines() if line.split()[3][:1].isdigit())


async def settled(pid, wanted):
    """The number of descriptors, as soon as it is no more than wanted, after ten seconds at the latest."""
    deadline = time.monotonic() + 10
    while descriptors(pid) > wanted and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return descriptors(pid)


async def stay(client, sequence, last):
    while sequence.expected != last():
        message = await client.receive()
        if isinstance(message, int):
            return fault(f"{sequence.name} was closed with {message}")
        sequence.take(message)


async def visit(port, end, counts):
    """Comes, listens for a moment and goes, in one of four ways."""
    while time.monotonic() < end:
        client = await Client.connect(port)
        sequence = Sequence("a visitor")
        leave = time.monotonic() + random.uniform(0.02, 1.0)
        way = random.choice(["close", "fin", "rst", "deaf"])
        counts[way] = counts.get(way, 0) + 1
        if way == "deaf":
            await asyncio.sleep(max(0, leave - time.monotonic()))
            client.drop(reset=True)
            continue
        try:
            while time.monotonic() < leave:
                sequence.take(await asyncio.wait_for(client.receive(), 1))
        except asyncio.TimeoutError:
            pass
        if way == "close":
            client.send(CLOSE, struct.pack("!H", 1000))
            while not isinstance(answer := await asyncio.wait_for(client.receive(), 10), int):
                sequence.take(answer)
            if answer != 1000:
                fault(f"a visitor's 1000 was answered with {answer}")
            client.writer.close()
        else:
            client.drop(reset=way == "rst")
        counts["received"] = counts.get("received", 0) + sequence.count


def growth_per_minute(samples):
    """The slope of the line through the samples of the last two thirds, in kilobytes per minute."""
    samples = samples[len(samples) // 3 :]
    count = len(samples)
    if count < 2:
        return 0.0
    mean_time = sum(t for t, _ in samples) / count
    mean_size = sum(s for _, s in samples) / count
    spread = sum((t - mean_time) ** 2 for t, _ in samples)
    return 60 * sum((t - mean_time) * (s - mean_size) for t, s in samples) / spread


async def soak(port, pid, seconds):
    # The first connections make what the server keeps for good.
    for _ in range(20):
        (await Client.connect(port)).drop(reset=False)
    await asyncio.sleep(1)
    before = descriptors(pid)
    end = time.monotonic() + seconds
    number, finished, samples, counts = 0, False, [], {}
    stayers = [await Client.connect(port) for _ in range(STAYERS)]
    # A member is one from when the server has added it: the first message must find all of them.
    await asyncio.sleep(0.5)
    sequences = [Sequence(f"client {index}", 0) for index in range(STAYERS)]
    tasks = [
        asyncio.create_task(stay(client, sequence, lambda: number if finished else None))
        for client, sequence in zip(stayers, sequences)
    ]
    visitors = [asyncio.create_task(visit(port, end, counts)) for _ in range(VISITORS)]
    start = time.monotonic()
    while time.monotonic() < end and not faults:
        due = int((time.monotonic() - start) * MESSAGES_PER_SECOND)
        while number < due:
            # One client sends all, so that there is one order. Most are short, some do not fit one packet.
            padding = b"." * (20_000 if number % 50 == 0 else number % 200)
            stayers[0].send(TEXT, b"%d %s" % (number, padding))
            number += 1
        if not samples or time.monotonic() - samples[-1][0] >= 1:
            samples.append((time.monotonic(), resident_kilobytes(pid)))
        await asyncio.sleep(0.01)
    # The last message finds those who wait for it.
    finished = True
    stayers[0].send(TEXT, b"%d end" % number)
    number += 1
    done, pending = await asyncio.wait(tasks + visitors, timeout=20)
    for task in done:
        if task.exception():
            fault(f"a client ended with {task.exception()!r}")
    if pending:
        fault(f"{len(pending)} clients still wait for messages that were sent")
        for task in pending:
            task.cancel()
    for client in stayers:
        client.drop(reset=False)
    after = await settled(pid, before)
    if after > before:
        fault(f"{before} descriptors at the beginning, {after} at the end")
    growth, sizes = growth_per_minute(samples), [size for _, size in samples]
    # Noise of the allocator aside. A lost connection costs kilobytes, and there are dozens of them each second.
    if seconds >= 120 and growth > 0.01 * sizes[0]:
        fault(f"memory grows by {growth:.0f} KB each minute")
    total = sum(sequence.count for sequence in sequences)
    ways = ", ".join(f"{counts.get(way, 0)} {name}" for way, name in
                     [("close", "closed"), ("fin", "FIN"), ("rst", "RST"), ("deaf", "deaf and RST")])
    print(f"{number} messages to {STAYERS} who stayed: {total} received in order, {number * STAYERS - total} missing")
    print(f"visitors: {ways}; {counts.get('received', 0)} messages received in order")
    print(f"memory: {sizes[0]} KB at first, {sizes[len(sizes) // 3]} KB after a third, {sizes[-1]} KB at last, "
          f"at most {max(sizes)} KB; slope {growth:+.1f} KB each minute")
    print(f"descriptors: {before} at the beginning, {after} at the end")


async def shutdown(port, pid, name, silent):
    clients = [await Client.connect(port, path) for path in ["/echo", "/broadcast"] for _ in range(10)]
    quiet = await Client.connect(port) if silent else None
    start = time.monotonic()
    os.kill(pid, getattr(signal, name))
    for client in clients:
        code = await asyncio.wait_for(client.receive(), 5)
        if code != 1001:
            fault(f"after {name} a client was told {code}, not 1001")
        client.send(CLOSE, struct.pack("!H", 1001))
        if await asyncio.wait_for(client.reader.read(), 5):
            fault("something follows the Close frame")
    if time.monotonic() - start > 5:
        fault("it took more than five seconds")
    if quiet:
        # Its end must come although it does not answer: 10 s are the engine's patience.
        await asyncio.wait_for(quiet.reader.read(), 15)


def main(command, port, pid, *rest):
    if command == "soak":
        asyncio.run(soak(int(port), int(pid), float(rest[0])))
    else:
        asyncio.run(shutdown(int(port), int(pid), rest[0], "--silent" in rest))
    for text in faults[:20]:
        print(text)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
