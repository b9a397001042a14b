"""Checks what the documents say: links, and every code block by its info string.

    documents.py links FILE…
    documents.py blocks --bin FOLDER --scratch FOLDER FILE…

An HTML comment on the line before a block says more about it; several may stand there:

    <!-- in: handler -->       swift: the body of func f(_ socket: WebSocket) async throws
    <!-- in: application -->   swift: the body of func f(_ app: Application)
    <!-- in: async -->         swift: the body of func f() async throws
    <!-- from: PATH -->        a part of that file, word for word (but for the indentation)
    <!-- run -->               console: the commands are run, and what stands below them must come out
    <!-- server: Solution01 -->  python, javascript, console: run against that server; localhost:8000 stands for it
    <!-- output -->            text: what the block before prints

In expected output a line "…" stands for any number of lines; times, dates and process numbers may differ.
Prints the problems, one line each, then a summary; exit status 1 if there were problems. Lines that begin with
SKIPPED name what could not be checked here.
"""

import asyncio
import difflib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "scripts", "page"))
DIAGRAMS = ("sequenceDiagram", "flowchart", "graph", "stateDiagram-v2", "stateDiagram", "classDiagram", "packet-beta")
CHROMIUM = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
problems = []
skipped = set()


def problem(file, line, what):
    problems.append(f"{file}:{line}: {what}")


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as opened:
        return opened.read()


# Markdown


class Block:
    def __init__(self, file, line, info, notes):
        self.file, self.line, self.info, self.notes, self.lines = file, line, info, notes, []

    @property
    def text(self):
        return "\n".join(self.lines) + "\n"

    def problem(self, what, line=None):
        problem(self.file, line or self.line, what)


def parse(file):
    """The blocks of a document, and its other lines with their numbers."""
    blocks, prose, notes, block = [], [], {}, None
    for number, line in enumerate(read(file).splitlines(), 1):
        fence = re.match(r"^( *)(`{3,}|~{3,})(.*)$", line)
        if block is not None:
            if fence and fence[2].startswith(block.fence) and not fence[3].strip():
                block = None
            else:
                block.lines.append(line[block.indentation:] if line[:block.indentation].isspace() else line)
        elif fence:
            block = Block(file, number, fence[3].strip(), notes)
            block.fence, block.indentation = fence[2], len(fence[1])
            blocks.append(block)
            notes = {}
        else:
            prose.append((number, line))
            comments = re.findall(r"<!-- *([a-z]+)(?:: *(.*?))? *-->", line)
            if comments and not re.sub(r"<!--.*?-->", "", line).strip():
                notes.update({name: value for name, value in comments})
            else:
                notes = {}
    if block is not None:
        block.problem("this block is never closed")
    return blocks, prose


def without_code(line):
    return re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", line)


def anchors(file):
    """The anchors that GitHub makes of a document's headings, and those written as HTML."""
    found, seen = set(), {}
    for _, line in parse(file)[1]:
        found.update(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", line))
        heading = re.match(r"^ {0,3}#{1,6} +(.*?)(?: +#+)? *$", line)
        if not heading:
            continue
        text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
        text = re.sub(r"<[^>]*>", "", text)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def check_links(files):
    count = 0
    for file in files:
        definitions, uses = set(), []
        for number, line in parse(file)[1]:
            line = without_code(line)
            definition = re.match(r"^ {0,3}\[([^\]]+)\]: *<?(\S+?)>?(?: +\".*\")?$", line)
            if definition:
                definitions.add(definition[1].lower())
                targets = [definition[2]]
            else:
                targets = re.findall(r"\]\(<?([^)\s>]+)>?(?: +\"[^\"]*\")?\)", line)
                targets += re.findall(r"(?:href|src)=\"([^\"]+)\"", line)
                uses += [(number, name) for name in re.findall(r"\]\[([^\]]+)\]", line)]
            for target in targets:
                count += 1
                if re.match(r"^(https?|mailto|ws|wss):", target):
                    continue
                path, _, anchor = target.partition("#")
                path = os.path.normpath(os.path.join(os.path.dirname(file), path)) if path else file
                if not os.path.exists(os.path.join(ROOT, path)):
                    problem(file, number, f"the link leads nowhere: {target}")
                elif anchor and path.endswith(".md") and anchor not in anchors(path):
                    near = difflib.get_close_matches(anchor, anchors(path), 1)
                    hint = f"; #{near[0]} is meant?" if near else ""
                    problem(file, number, f"{path} has no heading #{anchor}{hint}")
        for number, name in uses:
            if name.lower() not in definitions:
                problem(file, number, f"the link [{name}] is not defined")
    return f"Documents: {count} links"


# Swift


def check_swift(blocks, tools):
    """Typechecks: bodies all together, whole files each by itself."""
    places = {
        "handler": "func block{}(_ socket: WebSocket) async throws",
        "application": "func block{}(_ app: Application)",
        "async": "func block{}() async throws",
    }
    bodies, wholes = [], []
    for block in blocks:
        if "from" in block.notes:
            continue
        place = block.notes.get("in")
        location = f'#sourceLocation(file: "{block.file}", line: {block.line + 1})'
        imports = "import Foundation\nimport LevelKit\nimport WebSocketEngine\n"
        if place is None:
            wholes.append(f"{imports}{location}\n{block.text}")
        elif place in places:
            # Imports that a reader would write at the top of the file.
            own = [line for line in block.lines if re.match(r"^import \w+$", line)]
            text = "\n".join("" if line in own else line for line in block.lines)
            head = places[place].format(len(bodies))
            bodies.append(f"{imports}" + "\n".join(own) + f"\n{head} {{\n{location}\n{text}\n#sourceLocation()\n}}\n")
        else:
            block.problem(f"unknown place <!-- in: {place} -->: handler, application and async are known")
    groups = ([bodies] if bodies else []) + [[text] for text in wholes]
    for group in groups:
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for index, text in enumerate(group):
                files.append(os.path.join(folder, f"Block{index}.swift"))
                with open(files[-1], "w", encoding="utf-8") as opened:
                    opened.write(text)
            done = subprocess.run(
                ["swiftc", "-typecheck", "-swift-version", "6", "-parse-as-library", "-module-name", "Blocks",
                 "-I", os.path.join(tools.bin, "Modules"),
                 "-Xcc", "-fmodule-map-file=" + os.path.join(tools.bin, "CSystem.build", "module.modulemap"), *files],
                capture_output=True, text=True, cwd=ROOT,
            )
        told = set(re.findall(r"^(.*?):(\d+):\d+: error: (.*)$", done.stderr, re.MULTILINE))
        for file, line, what in sorted(told, key=lambda found: (found[0], int(found[1]))):
            problem(file, line, what)
        if done.returncode and not told:
            problem("swiftc", 0, done.stderr[-500:])


def check_excerpt(block):
    path = block.notes["from"]
    if not os.path.isfile(os.path.join(ROOT, path)):
        return block.problem(f"<!-- from: {path} -->: there is no such file")
    wanted = [line.strip() for line in block.lines if line.strip()]
    # The markers of scripts/stubs are no part of what a reader is shown.
    marker = re.compile(r"^// (solution|end|stub:.*)$")
    have = [line.strip() for line in read(path).splitlines()]
    have = [line for line in have if line and not marker.match(line)]
    if not any(have[start:start + len(wanted)] == wanted for start in range(len(have))):
        missing = next((line for line in wanted if line not in have), None)
        block.problem(f"is not a part of {path}" + (f": {missing}" if missing else ", in this order"))


# Commands


def targets():
    levels = re.findall(r'^ *"(\d\d)-', read("Package.swift"), re.MULTILINE)
    names = {f"{kind}{level}" for level in levels for kind in ("Level", "Solution")}
    names.update(re.findall(r'executableTarget\(\s*name: "(\w+)"', read("Package.swift")))
    return levels, names


def commands(block):
    """The block's commands, each with its line and what is to come out of it."""
    found = []
    for number, line in enumerate(block.lines, block.line + 1):
        if line.startswith("$ "):
            found.append([number, line[2:], []])
        elif found and found[-1][1].endswith("\\"):
            found[-1][1] = found[-1][1][:-1] + line.strip()
        elif found:
            found[-1][2].append(line)
        else:
            block.problem("what stands here before the first \"$ \"?", number)
    if not found:
        block.problem("a console block needs a command: a line that begins with \"$ \"")
    return found


def check_command(block, number, command):
    """Whatever of ours a command names, exists."""
    levels, names = targets()
    try:
        words = shlex.split(command, comments=True)
    except ValueError as error:
        return block.problem(f"{command}: {error}", number)
    script = None
    for index, word in enumerate(words):
        before = words[index - 1] if index else ""
        path = word[2:] if word.startswith("./") else word
        if re.match(r"^(scripts|Engine|Levels|Solutions|Tests|\.ci)/", path):
            if not os.path.exists(os.path.join(ROOT, path)):
                block.problem(f"there is no {path}", number)
            elif path.startswith("scripts/") and script is None:
                script = path
                if not os.access(os.path.join(ROOT, path), os.X_OK):
                    block.problem(f"{path} is not executable", number)
        elif script and word.startswith("--"):
            if word not in read(script):
                block.problem(f"{script} knows no {word}", number)
        elif script == "scripts/grade" and before == script and word not in levels and word.isdigit():
            block.problem(f"there is no level {word}", number)
        level = re.match(r"^LEVEL=(.*)$", word)
        if level and level[1] not in levels:
            block.problem(f"there is no level {level[1]}", number)
        course = re.match(r"^COURSE=(.*)$", word)
        if course and course[1] not in ("exercises", "solutions") and not os.path.isdir(os.path.join(ROOT, course[1])):
            block.problem(f"COURSE={course[1]} is no folder", number)
        if before == "--filter":
            named = re.match(r"^Level(\d\d)", word)
            if named and named[1] not in levels:
                block.problem(f"there is no level {named[1]}", number)
            for check in re.findall(r"test[A-Z]\w*", word):
                if named and f"func {check}(" not in read(f"Tests/Graders/Level{named[1]}Tests.swift"):
                    block.problem(f"the grader has no check {check}", number)
    if "swift" in words and "run" in words[words.index("swift"):]:
        rest = words[words.index("run") + 1:]
        while rest and rest[0].startswith("-"):
            rest = rest[2:] if rest[0] in ("-c", "--configuration") else rest[1:]
        if rest and rest[0] not in names:
            block.problem(f"there is no program {rest[0]}", number)


def plain(line):
    """A line without what differs from run to run."""
    line = line.replace(ROOT + "/", "").rstrip()
    line = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", "DATE", line)
    line = re.sub(r"(?i)^date: .*", "Date: DATE", line)
    return re.sub(r"\b\d+\.\d+ ?(s|seconds|ms)?\b", "TIME", line)


def compare(block, number, got, wanted, exactly):
    """What came out is what the document shows; if not exactly, other lines may stand around and between."""
    got = [plain(line) for line in got.splitlines()]
    wanted = [plain(line) for line in wanted]
    while wanted and not wanted[-1]:
        wanted.pop()
    while got and not got[-1]:
        got.pop()
    position, gap = 0, not exactly
    for offset, line in enumerate(wanted):
        if line.strip() in ("…", "..."):
            gap = True
            continue
        place = position
        if gap or not exactly:
            while place < len(got) and got[place] != line:
                place += 1
        if place >= len(got) or got[place] != line:
            came = got[position] if position < len(got) else "nothing more"
            return block.problem(f"expected the output \"{line}\", but {came!r} came", number + 1 + offset)
        position, gap = place + 1, not exactly
    if exactly and not gap and position < len(got):
        block.problem(f"more came out than is shown: {got[position]!r}", number + len(wanted))


def run(tools, arguments, text=None, limit=120):
    """Runs a program in the root, in a process group of its own that ends with it."""
    environment = dict(os.environ, PATH=tools.path, SCRATCH=tools.scratch, NO_PROXY="*", no_proxy="*")
    process = subprocess.Popen(
        arguments, cwd=ROOT, env=environment, text=True, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    try:
        return process.communicate(text, timeout=limit)[0], process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0] + f"\n(ended after {limit} s)", -1
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)  # what it left running in the background
        except ProcessLookupError:
            pass
        except PermissionError:  # macOS, for a group of which only a zombie is left
            pass


class Server:
    """A level's server on a free port, for one block."""

    def __init__(self, block, tools):
        self.program = block.notes["server"]
        path = os.path.join(tools.bin, self.program)
        if not os.access(path, os.X_OK):
            raise LookupError(f"<!-- server: {self.program} -->: there is no such program")
        self.process = subprocess.Popen([path, "--port", "0"], stdout=subprocess.PIPE, text=True)
        found = re.search(r"http://\S+?:(\d+)", self.process.stdout.readline())
        if not found:
            self.process.kill()
            raise LookupError(f"{self.program} does not say where it listens")
        self.port = found[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def at_its_port(self, text):
        return re.sub(r"\b(localhost|127\.0\.0\.1):8000\b", rf"127.0.0.1:{self.port}", text)

    def as_in_document(self, text):
        return re.sub(rf"\b127\.0\.0\.1:{self.port}\b", "localhost:8000", text)


def check_console(block, tools):
    for number, command, wanted in commands(block):
        check_command(block, number, command)
        if "run" not in block.notes:
            continue
        if command.split()[0] == "curl" and not shutil.which("curl"):
            skipped.add("curl is missing. Debian: apt install curl.")
            continue
        if "server" in block.notes:
            with Server(block, tools) as server:
                got, _ = run(tools, ["bash", "-c", server.at_its_port(command)])
                got = server.as_in_document(got)
        else:
            got, _ = run(tools, ["bash", "-c", command], limit=300)
        compare(block, number, got, wanted, exactly=False)


def check_python(block, output, tools):
    try:
        compile(block.text, block.file, "exec")
    except SyntaxError as error:
        return block.problem(f"Python: {error.msg}", block.line + (error.lineno or 0))
    if "server" not in block.notes:
        return None
    if not tools.has_websockets:
        return skipped.add("Python's websockets is missing. Debian: apt install python3-websockets.")
    with Server(block, tools) as server:
        got, status = run(tools, [sys.executable, "-X", "utf8", "-"], server.at_its_port(block.text), 30)
        got = server.as_in_document(got)
    if status != 0:
        block.problem(f"the program fails: {got.strip().splitlines()[-1] if got.strip() else status}")
    elif output:
        compare(output, output.line, got, output.lines, exactly=True)
    return None


def check_javascript(block, output, tools):
    if "server" not in block.notes:
        if shutil.which("node"):
            done = subprocess.run(["node", "--input-type=module", "--check"], input=block.text, capture_output=True, text=True)
            if done.returncode:
                block.problem(f"JavaScript: {done.stderr.strip().splitlines()[-1]}")
        return None
    chromium = next((path for path in map(shutil.which, CHROMIUM) if path), None)
    if not chromium or not tools.has_websockets:
        return skipped.add("Chromium or Python's websockets is missing. Debian: apt install chromium python3-websockets.")
    wanted = [line for line in output.lines if line.strip()] if output else []
    with Server(block, tools) as server:
        got = asyncio.run(console(chromium, server, block, len(wanted)))
        got = server.as_in_document("\n".join(got))
    if output:
        compare(output, output.line, got, output.lines, exactly=True)
    return None


async def console(chromium, server, block, lines):
    """Types the block into the console of the server's page, and returns what was logged."""
    from browser import Browser, Failure, until

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        async with Browser(chromium, os.path.join(folder, "profile")) as browser:
            await browser.visit(f"http://127.0.0.1:{server.port}/")

            async def loaded():
                return await browser.evaluate("document.readyState == 'complete' && location.port != ''")

            await until(loaded, "the page to load")
            # What is logged is kept in the page: a listener here would have to be told when it is complete.
            await browser.evaluate(
                "window.logged = []; console.log = (...values) => window.logged.push(values.map("
                "value => typeof value == 'object' ? JSON.stringify(value) : String(value)).join(' '));"
            )
            result = await browser.command(
                "Runtime.evaluate", expression=server.at_its_port(block.text), replMode=True, awaitPromise=True)
            if "exceptionDetails" in result:
                details = result["exceptionDetails"]
                block.problem("JavaScript: " + details.get("exception", {}).get("description", details["text"]))
                return []

            async def complete():
                return await browser.evaluate(f"window.logged.length >= {lines}")

            try:
                await until(complete, "")
            except Failure:
                pass
            for thrown in browser.exceptions:
                block.problem(f"JavaScript: {thrown}")
            return await browser.evaluate("window.logged")


# Others


def check_json(block):
    try:
        json.loads(block.text)
        return
    except ValueError as error:
        whole = error
    for number, line in enumerate(block.lines, block.line + 1):  # or one value a line
        try:
            if line.strip():
                json.loads(line)
        except ValueError:
            return block.problem(f"JSON: {whole}", number)


def check_mermaid(block):
    lines = [line.strip() for line in block.lines if line.strip() and not line.strip().startswith("%%")]
    kind = lines[0].split()[0] if lines else ""
    if kind not in DIAGRAMS:
        return block.problem(f"\"{kind}\" is not a kind of diagram: {', '.join(DIAGRAMS)}")
    if kind != "sequenceDiagram":
        return
    declared = set(re.findall(r"^(?:create )?(?:participant|actor) (\S+)", "\n".join(lines), re.MULTILINE))
    depth = 0
    for number, line in enumerate(block.lines, block.line + 1):
        line = line.strip()
        message = re.match(r"^(\w+) *(?:<<)?--?(?:>>|>|x|\))(?:[+-])? *(\w+) *:", line)
        note = re.match(r"^Note (?:over|left of|right of) ([\w, ]+):", line)
        names = list(message.groups()) if message else re.split(r" *, *", note[1].strip()) if note else []
        for name in names:
            if name not in declared:
                block.problem(f"the participant {name} is not declared", number)
        if re.match(r"^(loop|alt|opt|par|critical|break|rect|box)\b", line):
            depth += 1
        elif line == "end":
            depth -= 1
        elif ";" in line:
            block.problem("Mermaid ends a line at a semicolon", number)
        elif not names and not re.match(
            r"^(sequenceDiagram|participant|actor|create|destroy|activate|deactivate|autonumber|else|and|option|title|$|%%)", line
        ):
            block.problem(f"not understood as a step: {line}", number)
    if depth:
        block.problem("loop, alt, opt … and end do not pair")


class Tools:
    """What is at hand for running blocks."""

    def __init__(self, bin_folder, scratch, folder):
        self.bin, self.scratch = bin_folder, scratch
        # Commands are run as the document says them, but build where everything else is built.
        swift = shutil.which("swift") or "swift"
        with open(os.path.join(folder, "swift"), "w", encoding="utf-8") as shim:
            shim.write(
                f'#!/bin/sh\ncase $1 in\nbuild|run|test|package) tool=$1; shift; exec {shlex.quote(swift)} "$tool" '
                f'--scratch-path {shlex.quote(scratch)} "$@" ;;\nesac\nexec {shlex.quote(swift)} "$@"\n')
        os.chmod(os.path.join(folder, "swift"), 0o755)
        self.path = folder + os.pathsep + os.environ["PATH"]
        done = subprocess.run([sys.executable, "-c", "import websockets"], capture_output=True)
        self.has_websockets = done.returncode == 0


def check_blocks(files, bin_folder, scratch):
    blocks = [block for file in files for block in parse(file)[0]]
    outputs = {}
    for before, block in zip([None] + blocks, blocks):
        if "output" in block.notes:
            if before is None or before.info not in ("python", "javascript"):
                block.problem("<!-- output --> follows a python or javascript block")
            else:
                outputs[before] = block
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tools = Tools(bin_folder, scratch, folder)
        check_swift([block for block in blocks if block.info == "swift"], tools)
        for block in blocks:
            try:
                if "from" in block.notes:
                    check_excerpt(block)
                elif block.info == "console":
                    check_console(block, tools)
                elif block.info == "python":
                    check_python(block, outputs.get(block), tools)
                elif block.info == "javascript":
                    check_javascript(block, outputs.get(block), tools)
                elif block.info == "json":
                    check_json(block)
                elif block.info == "mermaid":
                    check_mermaid(block)
                elif block.info not in ("swift", "text", "http"):
                    block.problem(f"unknown info string \"{block.info}\"" if block.info else "a block without info string")
            except LookupError as error:
                block.problem(str(error))
            except Exception as error:  # one block's trouble must not hide the others'
                block.problem(f"could not be checked: {type(error).__name__}: {error}")
    return f"Documents: {len(blocks)} code blocks"


def main():
    arguments = sys.argv[1:]
    kind = arguments.pop(0)
    options = {}
    while arguments and arguments[0].startswith("--"):
        options[arguments[0][2:]] = arguments[1]
        del arguments[:2]
    missing = [file for file in arguments if not os.path.exists(os.path.join(ROOT, file))]
    for file in missing:
        problem(file, 0, "there is no such document")
    files = [file for file in arguments if file not in missing]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    summary = check_links(files) if kind == "links" else check_blocks(files, options["bin"], options["scratch"])
    for line in problems:
        print(line)
    for notice in sorted(skipped):
        print(f"SKIPPED: {notice}")
    if not problems:
        print(summary)
    sys.exit(1 if problems else 0)


main()
