#!/usr/bin/env python3
"""Measures the engine beside other WebSocket servers. Run it by `scripts/bench servers`, which builds what it needs.

Every round starts each server in turn, so that a disturbance of the machine meets all of them. On Linux the server is
kept on core 0 and the load client on core 1. Figures are medians over the rounds. Progress goes to the standard
error, the Markdown tables to the standard output.
"""

import argparse
import json
import os
import platform
import resource
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time

from figure import bar_chart

HERE = os.path.dirname(os.path.abspath(__file__))
ENGINE = "engine"
PINNED = shutil.which("taskset") is not None and (os.cpu_count() or 1) > 1

# Each case: the load client's arguments, and how its column is headed.
CASES = {
    "single": (["echo", "--connections", "100"], "1 in flight"),
    "pipelined": (["echo", "--connections", "100", "--depth", "16"], "16 in flight"),
    "large": (["echo", "--connections", "100", "--size", "65536"], "64 KiB"),
    "broadcast": (["broadcast", "--connections", "1000"], "broadcast to 1,000"),
    "handshakes": (["handshakes"], "handshakes"),
}


def say(line):
    print(line, file=sys.stderr, flush=True)


# MARK: Servers

def known_servers(build):
    """Label and command of every server that is there; a notice for each that is not."""
    swift = os.path.join(build, "peers", "release")
    python = os.path.join(build, "python", "bin", "python")
    peers = os.path.join(HERE, "peers")
    candidates = [
        ("SwiftNIO, handler", [os.path.join(swift, "NIOHandlerServer")], None),
        ("SwiftNIO, NIOAsyncChannel", [os.path.join(swift, "NIOAsyncServer")], None),
        ("FlyingFox", [os.path.join(swift, "FlyingFoxServer")], None),
        ("picows, core API", [python, os.path.join(peers, "picows_server.py")], "picows, uvloop"),
        ("websockets (Python)", [python, os.path.join(peers, "websockets_server.py")], "websockets, uvloop"),
        ("FastAPI, uvicorn", [python, os.path.join(peers, "fastapi_server.py")],
         "fastapi, uvicorn, uvloop, httptools, websockets"),
        ("Nexios, uvicorn", [python, os.path.join(peers, "nexios_server.py")],
         "nexios, uvicorn, uvloop, httptools, websockets"),
    ]
    node = shutil.which("node") or shutil.which("nodejs")
    servers = {ENGINE: [os.path.join(build, "root", "release", "EchoServer"), "--port", "{port}"]}
    for label, command, modules in candidates:
        if not os.path.exists(command[0]):
            say(f"skipped: {label} is not built or installed")
        elif modules and subprocess.run([command[0], "-c", f"import {modules}"], capture_output=True).returncode:
            say(f"skipped: {label} needs Python's {modules}")
        else:
            servers[label] = command + ["{port}"]
    # Debian installs modules where its own node looks for them, and another node does not.
    os.environ["NODE_PATH"] = os.pathsep.join(filter(None, [os.environ.get("NODE_PATH"), "/usr/share/nodejs"]))
    if node and subprocess.run([node, "-e", "require('ws')"], capture_output=True).returncode == 0:
        servers["ws (Node)"] = [node, os.path.join(peers, "ws_server.js"), "{port}"]
    else:
        say("skipped: ws needs node and its module ws")
    return servers


class Running:
    """A server while it runs. A context manager: it ends with the block."""

    def __init__(self, command, pinned=PINNED):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [part.replace("{port}", str(self.port)) for part in command]
        self.process = subprocess.Popen(
            (["taskset", "-c", "0"] if pinned else []) + command, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise RuntimeError("the server does not start") from None
                time.sleep(0.05)
        time.sleep(0.3)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def load(build, server, arguments, seconds, warmup=0.5, pinned=PINNED):
    """What the load client reports, or None after a notice."""
    command = [os.path.join(build, "load"), *arguments, "--port", str(server.port), "--pid", str(server.process.pid),
               "--seconds", str(seconds), "--warmup", str(warmup)]
    result = subprocess.run((["taskset", "-c", "1"] if pinned else []) + command, capture_output=True, text=True)
    if result.returncode == 0:
        return json.loads(result.stdout)
    say(f"    {' '.join(arguments)}: {result.stderr.strip()}")
    return None


# MARK: Measuring

class Results:
    """Figures by subject and case, one of each for every round."""

    def __init__(self):
        self.reports = {}

    def add(self, subject, case, report):
        if report:
            self.reports.setdefault((subject, case), []).append(report)

    def median(self, subject, case, figure):
        reports = self.reports.get((subject, case))
        return statistics.median(report[figure] for report in reports) if reports else None


def measure_servers(build, servers, results, options):
    for label, command in servers.items():
        say(f"  {label}")
        try:
            # A process of its own: what other cases leave behind in the allocator would hide memory.
            with Running(command) as server:
                arguments = ["idle", "--connections", str(options.idle)]
                results.add(label, "idle", load(build, server, arguments, seconds=0.5))
            with Running(command) as server:
                for case, (arguments, _) in CASES.items():
                    results.add(label, case, load(build, server, arguments, options.seconds))
        except RuntimeError as error:
            say(f"    {error}")


def measure_growth(build, engine, results, options):
    """The engine alone: how its cost grows with connections and members, and what a second loop brings."""
    say("  growth")
    with Running(engine) as server:
        for count in options.counts:
            # Of each connection some messages at least, before counting begins.
            warmup = max(0.5, count / 10_000)
            for case in ("echo", "broadcast"):
                arguments = [case, "--connections", str(count)]
                results.add(count, case, load(build, server, arguments, options.seconds, warmup))
    # Two loops need both cores, which the load client then shares with them.
    for loops, rooms in ((1, 2), (2, 2), (2, 1)):
        with Running(engine + ["--loops", str(loops)], pinned=False) as server:
            arguments = ["broadcast", "--connections", "100", "--rooms", str(rooms), "--depth", "16"]
            results.add((loops, rooms), "loops", load(build, server, arguments, options.seconds, pinned=False))


# MARK: Reporting

def amount(value):
    """Three significant digits, with thousands separated."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.1 else f"{value:.2f}"


def compared(value, reference):
    """A figure and its ratio to the engine's."""
    if value is None:
        return "–"
    if reference is None:
        return amount(value)
    return f"{amount(value)} ({amount(value / reference)}×)"


def table(head, rows):
    yield "| " + " | ".join(head) + " |"
    yield "|---" + "|---:" * (len(head) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def machine():
    where = "server on core 0, load client on core 1" if PINNED else "not pinned to cores"
    swift = subprocess.run(["swift", "--version"], capture_output=True, text=True).stdout
    version = swift.split("Swift version ")[1].split()[0] if "Swift version " in swift else "?"
    return (f"{platform.system()} {platform.release().split('-')[0]}, {os.cpu_count()} cores ({processor()}), "
            f"Swift {version}; {where}")


def report(servers, results, options):
    def cost(label, case):
        return results.median(label, case, "cpu_us")

    def cost_cell(label, case):
        return compared(cost(label, case), cost(ENGINE, case))

    yield (f"{machine()}. Medians of {options.rounds} rounds, {time.strftime('%Y-%m-%d')}, "
           f"`{options.command}`.{options.disturbance}")
    yield ""
    yield ("CPU time of the server in µs per message (broadcast: per delivery), 64 B of text unless said otherwise, "
           "100 connections; in brackets as a multiple of the engine's:")
    yield ""
    four = ["single", "pipelined", "large", "broadcast"]
    yield from table(
        ["Server"] + [CASES[case][1] for case in four],
        [[label] + [cost_cell(label, case) for case in four] for label in servers])

    def handshakes(label):
        each = cost(label, "handshakes")
        return None if each is None else 1e6 / each

    def latency(label, case):
        middle = results.median(label, case, "p50_us")
        return "–" if middle is None else f"{amount(middle)} / {amount(results.median(label, case, 'p99_us'))}"

    yield (f"Handshakes per second of CPU time (each connection is closed again); memory for each of {options.idle:,} "
           "idle connections after one message, without the kernel's; latency under these loads, median and 99th "
           "percentile, broadcast until the last member has the message:")
    yield ""
    yield from table(
        ["Server", "handshakes per CPU-s", "KiB per connection", "µs, 1 in flight", "µs, 16 in flight", "µs, 64 KiB",
         "µs, broadcast"],
        [[label, compared(handshakes(label), handshakes(ENGINE)),
          compared(results.median(label, "idle", "kib"), results.median(ENGINE, "idle", "kib"))]
         + [latency(label, case) for case in four] for label in servers])

    fewer = [f"{label}, {case} ({len(reports)})" for (label, case), reports in results.reports.items()
             if label in servers and len(reports) < options.rounds]
    if fewer:
        yield f"Failed in some rounds; so many succeeded: {'; '.join(fewer)}."
        yield ""

    yield "The engine alone, CPU time in µs per message with one in flight on each connection, and per delivery:"
    yield ""

    def alone(count, case):
        value = results.median(count, case, "cpu_us")
        return "–" if value is None else amount(value)

    yield from table(
        ["Connections"] + [f"{count:,}" for count in options.counts],
        [["echo"] + [alone(count, "echo") for count in options.counts],
         ["broadcast to all"] + [alone(count, "broadcast") for count in options.counts]])

    yield ("Event loops: rooms with 100 members in all, 16 messages in flight in each. Here nothing is pinned; on "
           "two cores the load client shares them with the server:")
    yield ""
    rows = []
    for loops, rooms, what in ((1, 2, "1 loop, 2 rooms"), (2, 2, "2 loops, a room on each"),
                               (2, 1, "2 loops, 1 room across both")):
        figures = [results.median((loops, rooms), "loops", figure)
                   for figure in ("per_second", "cpu_us", "server_cpu", "client_cpu")]
        rows.append([what] + ["–" if value is None else amount(value) for value in figures])
    yield from table(["Loops", "deliveries per second", "CPU-µs per delivery", "cores used by the server",
                      "by the client"], rows)


def busy_cores():
    """How many cores other programs keep busy. Where there is no /proc to ask: 0."""
    def used():
        with open("/proc/stat") as file:
            user, nice, system = (int(word) for word in file.readline().split()[1:4])
        return (user + nice + system) / os.sysconf("SC_CLK_TCK")
    try:
        before = used()
        time.sleep(2)
        return (used() - before) / 2
    except OSError:
        return 0


def raise_file_limit():
    """Lets this process and its children open what 10,000 connections need; how many files that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # macOS calls the limit infinite and then allows no more than its kernel does.
    for wanted in (20_000, 10_240, hard):
        if soft >= wanted:
            break
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
        except (ValueError, OSError):
            continue
    return soft


def put_between_marks(path, tables):
    with open(path) as file:
        text = file.read()
    before, begin, rest = text.partition("<!-- bench servers -->\n")
    _, end, after = rest.partition("<!-- end of bench servers -->")
    if not begin or not end:
        sys.exit(f"{path} has no marks <!-- bench servers --> and <!-- end of bench servers -->")
    with open(path, "w") as file:
        file.write(before + begin + "\n" + tables + "\n" + end + after)


def main():
    parser = argparse.ArgumentParser(
        prog="scripts/bench servers", description="Measures the engine beside other WebSocket servers.")
    parser.add_argument("--quick", action="store_true", help="3 short rounds, fewer connections")
    parser.add_argument("--svg", metavar="FILE", help="also draw a bar chart")
    parser.add_argument("--readme", metavar="FILE", help="also put the tables between the marks in this file")
    parser.add_argument("--only", metavar="LABELS", help="these servers beside the engine; separated by ;")
    parser.add_argument("--also", metavar="LABEL=COMMAND", action="append", default=[],
                        help="another server; {port} in the command stands for its port")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each measurement")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    # As it was called, but for where the results go.
    options.command = "scripts/bench servers" + "".join(
        f" --{name} {shlex.quote(str(value))}" if value is not True else f" --{name}"
        for name, value in (("quick", options.quick), ("rounds", options.rounds), ("seconds", options.seconds),
                            ("only", options.only)) if value)
    options.rounds = options.rounds or (3 if options.quick else 5)
    options.seconds = options.seconds or (0.5 if options.quick else 1)
    options.idle = 1000 if options.quick else 5000
    options.counts = [10, 100, 1000, 10_000]

    files = raise_file_limit()
    options.counts = [count for count in options.counts if count + 100 < files]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    servers = known_servers(options.build)
    if options.only is not None:
        wanted = [ENGINE] + [label.strip() for label in options.only.split(";")]
        servers = {label: command for label, command in servers.items() if label in wanted}
    for extra in options.also:
        label, _, command = extra.partition("=")
        servers[label] = command.split()

    busy = busy_cores()
    options.disturbance = ""
    if busy > 0.25:
        options.disturbance = (f" The machine was not quiet: other programs kept {busy:.1f} of {os.cpu_count()} cores "
                               "busy just before, which raises CPU time and, far more, latency.")
        say(options.disturbance.strip())
    results = Results()
    wanted, options.rounds = options.rounds, 0
    try:
        for number in range(1, wanted + 1):
            say(f"round {number} of {wanted}")
            measure_servers(options.build, servers, results, options)
            measure_growth(options.build, servers[ENGINE], results, options)
            options.rounds = number
    except KeyboardInterrupt:
        # Ten minutes may be too long: the rounds that are complete still count.
        if options.rounds == 0:
            sys.exit(130)
    tables = "\n".join(report(servers, results, options))
    print(tables)
    if options.readme:
        put_between_marks(options.readme, tables)
    if options.svg:
        costs = {CASES[case][1]: {label: results.median(label, case, "cpu_us") for label in servers}
                 for case in ("single", "pipelined", "large", "broadcast")}
        with open(options.svg, "w") as file:
            file.write(bar_chart(costs, "CPU time of the server in µs per message", ENGINE))


if __name__ == "__main__":
    main()
