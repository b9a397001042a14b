"""Proves that the terminal client of level 16 works in a real pseudo-terminal.

    terminal.py PROGRAM      PROGRAM is the built Solution16

Two people type and listen in terminals of their own, a third one through pipes, and the server is killed and started
again in between. Prints what went wrong, and exits with 1 then.
"""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time

PATIENCE = 10.0
program = sys.argv[1]
started = []


class Screen:
    """As much of a terminal as the client needs: carriage return, line feed, erase, cursor back, no wrapping."""

    def __init__(self):
        self.lines, self.row, self.column, self.partial = [[]], 0, 0, ""

    def feed(self, text):
        text, self.partial = self.partial + text, ""
        while text:
            sequence = re.match(r"\x1b\[([0-9;]*)([A-Za-z])", text)
            if sequence:
                text = text[sequence.end():]
                if sequence[2] == "K":
                    del self.lines[self.row][self.column:]
                elif sequence[2] == "D":
                    self.column = max(0, self.column - int(sequence[1] or 1))
                elif sequence[2] != "m":
                    raise AssertionError(f"an unexpected sequence: {sequence[0]!r}")
                continue
            if text[0] == "\x1b":
                self.partial = text
                return
            character, text = text[0], text[1:]
            if character == "\r":
                self.column = 0
            elif character == "\n":
                self.row += 1
                if self.row == len(self.lines):
                    self.lines.append([])
            else:
                line = self.lines[self.row]
                line[self.column:self.column + 1] = [character]
                self.column += 1

    @property
    def text(self):
        return ["".join(line) for line in self.lines]


class Terminal:
    """A person at the client, in a pseudo-terminal."""

    def __init__(self, *arguments):
        self.master, slave = pty.openpty()
        self.slave = slave
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [program, *arguments], stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_terminal)
        started.append(self.process)
        self.screen = Screen()

    def type(self, keys):
        os.write(self.master, keys.encode())

    def read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            self.screen.feed(os.read(self.master, 65536).decode(errors="replace"))

    def until(self, what, condition):
        end = time.monotonic() + PATIENCE
        while not condition(self.screen.text):
            if time.monotonic() > end:
                raise AssertionError(f"{what} did not happen; the screen is:\n  " + "\n  ".join(self.screen.text))
            self.read(0.05)

    def sees(self, line):
        self.until(f"the line {line!r}", lambda lines: line in lines[:-1])

    def ends(self, status):
        # What it still prints must be read, or it would wait for that.
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise AssertionError("the client does not end")
            self.read(0.05)
        expect(self.process.returncode, status, "the exit status")
        expect(termios.tcgetattr(self.slave), self.before, "the terminal after the end")


def own_terminal():
    """The child's terminal is the one it has as standard input, so that Ctrl-C reaches it as a signal."""
    import fcntl
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def expect(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: expected {wanted!r}, got {got!r}")


def serve(port=0):
    process = subprocess.Popen([program, "--port", str(port)], stdout=subprocess.PIPE, text=True)
    started.append(process)
    port = re.search(r"http://[^ ]*:(\d+)", process.stdout.readline())
    if not port:
        raise AssertionError("the server does not listen")
    return process, int(port[1])


def run(*arguments, typed=""):
    done = subprocess.run([program, *arguments], input=typed, capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode, done.stdout, done.stderr


def main():
    server, port = serve()
    url = f"ws://localhost:{port}/ws/chat"
    alice, bob = Terminal(url, "--name", "Alice"), Terminal(url, "--name", "Bob")
    for person in (alice, bob):
        person.sees("– Connected.")

    # A line that is being typed is not torn by what arrives.
    alice.type("Hel")
    alice.until("the typed line", lambda lines: lines[-1] == "Hel")
    bob.type("Hi\r")
    alice.sees("[Bob]: Hi")
    alice.until("the typed line again", lambda lines: lines[-1] == "Hel")
    # Keys: left twice, a character, the end of the line, backspace.
    alice.type("\x1b[D\x1b[Dü\x05o?\x7f\r")
    bob.sees("[Alice]: Hüelo")
    expect([line for line in bob.screen.text if "Hüelo" in line], ["[Alice]: Hüelo"], "what Bob sees")
    alice.sees("Hüelo")

    # A pipe instead of a terminal; and control characters of others stay without effect.
    status, out, err = run(url, "--name", "Carol", typed="one\ntwo \x1b[2J\n")
    expect((status, err), (0, ""), "the client in a pipe")
    for line in ("[Carol]: one", "[Carol]: two \ufffd[2J", "[Server]: Carol has left the chat."):
        alice.sees(line)

    # The server dies; what is typed meanwhile arrives at the next one.
    server.send_signal(signal.SIGKILL)
    server.wait()
    alice.until("the notice", lambda lines: any("Trying again in" in line for line in lines))
    alice.type("Still there?\r")
    alice.until("the notice", lambda lines: any("kept and sent later: Still there?" in line for line in lines))
    # Whoever comes back late does not hear what the new server was told before: Bob first.
    alice.process.send_signal(signal.SIGSTOP)
    server, _ = serve(port)
    bob.until("coming back", lambda lines: lines.count("– Connected.") == 2)
    alice.process.send_signal(signal.SIGCONT)
    bob.sees("[Alice]: Still there?")

    # Those who are not wanted are told why.
    status, out, err = run(url, "--name", "Bob", typed="Hi\n")
    expect((status, err), (1, "disconnected with code 4009: Username taken\n"), "a name that is taken")
    for arguments, words in (
        (("http://localhost/",), "ws://"), (("wss://localhost/",), "TLS"), ((f"{url}/nowhere",), "404"),
        ((url, "--name"), "--name"), ((url, "--nonsense"), "--nonsense"),
    ):
        status, out, err = run(*arguments, typed="Hi\n")
        if status != 2 or words not in err or err.count("\n") != 1:
            raise AssertionError(f"{arguments}: expected status 2 and a line with {words!r}, got {status} and {err!r}")

    alice.type("\x04")
    alice.ends(0)
    bob.sees("[Server]: Alice has left the chat.")
    bob.type("half a line")
    bob.type("\x03")
    bob.ends(0)
    server.terminate()
    expect(server.wait(), 0, "the server's exit status")


try:
    main()
except (AssertionError, subprocess.TimeoutExpired) as problem:
    print(problem)
    sys.exit(1)
finally:
    for process in started:
        if process.poll() is None:
            process.kill()
