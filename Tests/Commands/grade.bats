#!/usr/bin/env bats
# scripts/grade.

load commands

@test "grade: --help, and a wrong option" {
    helps scripts/grade
}

@test "grade: bad input is answered with a sentence or the usage, and 2" {
    runs 2 scripts/grade
    complains "scripts/grade LEVEL"
    runs 2 scripts/grade 99
    complains "There is no level 99"
    complains "01  Basic echo"
    runs 2 scripts/grade 01 02
    runs 2 scripts/grade 01 --all
    runs 2 scripts/grade 01 --json
    runs 2 scripts/grade --all --json "$work/nowhere/x.json"
    complains "cannot be written"
    runs 2 scripts/grade 01 --seconds soon
    complains "--seconds wants a number"
    prints_nothing
}

@test "grade: a swift that is too old, or none" {
    mkdir "$work/bin"
    printf '#!/bin/sh\necho "Swift version 6.1.2 (swift-6.1.2-RELEASE)"\n' >"$work/bin/swift"
    chmod +x "$work/bin/swift"
    PATH=$work/bin:$PATH runs 2 scripts/grade 01
    complains "This is Swift 6.1, which is too old."
    without swift
    runs 2 scripts/grade 01
    complains "The command swift is not found."
}

@test "grade: a line for each check, the first failure in full, and what comes next" {
    checks=$(checks_in 01)
    solve 01 "// fails: testBinaryComesBackAsItIs"
    runs 1 scripts/grade 01
    prints "^Level 01 – Basic echo$"
    [ "$(grep -c '^✔  ' "$work/out")" = $((checks - 1)) ]
    prints "^✘  WRONG: a binary message on /ws comes back as binary"
    prints "^WRONG  the rule$"
    prints "^$((checks - 1)) of $checks checks passed. Save your change, then: scripts/grade 01$"
    complains_of_nothing
    is_plain
    solve 01
    runs 0 scripts/grade 01
    prints "^All $checks checks passed.$"
    prints "^Next: level 02"
}

@test "grade: code that does not compile" {
    solve 01 "// does not compile"
    runs 1 scripts/grade 01
    prints "^Your code does not compile yet:$"
    prints "$one/Main.swift:3:5: error: cannot find 'x' in scope"
    prints "edit $one/Main.swift, line 3, then: scripts/grade 01"
}

@test "grade: a check that ends the process, or comes to no end, leaves the others alone" {
    checks=$(checks_in 01)
    solve 01 "// crashes: testBinaryComesBackAsItIs"
    runs 1 scripts/grade 01
    prints "^✘  CRASHED: a binary message on /ws comes back as binary"
    prints "^$((checks - 1)) of $checks checks passed."
    solve 01 "// never ends: testBinaryComesBackAsItIs"
    runs 1 scripts/grade 01 --seconds 2
    prints "^✘  TIMED OUT: a binary message on /ws comes back as binary"
    prints "the check did not end within 2 s"
    prints "^$((checks - 1)) of $checks checks passed."
}

@test "grade: colours in a terminal, but not with NO_COLOR, nor in a dumb one" {
    solve 01 "// fails: testBinaryComesBackAsItIs"
    in_terminal 1 scripts/grade 01
    says "${escape}[32m✔${escape}[0m  "
    says "${escape}[31m✘  WRONG${escape}[0m: "
    says "${escape}[31mWRONG${escape}[0m  the rule"
    TERM_WANTED=dumb in_terminal 1 scripts/grade 01
    is_plain
    NO_COLOR=1 in_terminal 1 scripts/grade 01
    says "✘  WRONG: "
    is_plain
}

# A level with texts that are hard to write down.
make_verdicts() {
    mkdir -p "$work/texts"
    printf 'testTextIsAnsweredWithEcho\tPASSED\t0.25\ntestEveryMessageIsAnsweredInOrder\tWRONG\t0.5\n' >"$work/results"
    {
        printf 'WRONG  "quoted" \\back <b>&amp; ]]> \001 \033[31m tab\tend\r\n'
        printf '   1  Anna sends text "日本語 👩‍👩‍👧" \377\376 \000 and \357\277\277\n'
    } >"$work/texts/testEveryMessageIsAnsweredInOrder"
    printf 'it said: "\\u"\n' | write_verdicts "$work/verdicts" 01 failed
}

@test "grade --json, --junit: hold any text" {
    command -v python3 >/dev/null || skip "python3 is missing"
    . "$root/scripts/lib/verdicts.sh"
    make_verdicts
    verdicts_as json "$work/verdicts" >"$work/one.json"
    verdicts_as junit "$work/verdicts" >"$work/one.xml"
    python3 - "$work" "$(checks_in 01)" <<'PYTHON'
import json, sys, xml.etree.ElementTree
work, count = sys.argv[1], int(sys.argv[2])
level = json.load(open(f"{work}/one.json", encoding="utf-8"))["levels"][0]
checks = {check["name"]: check for check in level["checks"]}
assert level["points"] == 1 and level["maxPoints"] == len(checks) == count, level
assert level["graderDigest"].startswith("sha256:") and len(level["graderDigest"]) == 71
assert level["message"] == 'it said: "\\u"'
assert checks["testTextIsAnsweredWithEcho"]["status"] == "PASSED"
assert checks["testTextIsAnsweredWithEcho"]["seconds"] == 0.25
wrong = checks["testEveryMessageIsAnsweredInOrder"]
assert wrong["status"] == "WRONG" and wrong["points"] == 0
assert wrong["message"].startswith('WRONG  "quoted" \\back <b>&amp; ]]> \x01 \x1b[31m tab\tend\r\n'), wrong
assert "日本語 👩‍👩‍👧" in wrong["message"], wrong
assert checks["testAnEmptyTextIsAMessageToo"]["status"] == "NOT RUN"
suite = xml.etree.ElementTree.parse(f"{work}/one.xml").getroot()[0]
assert suite.get("tests") == str(count) and suite.get("failures") == "1" and suite.get("errors") == str(count - 2)
assert '"quoted" \\back <b>&amp; ]]>' in suite.find(".//failure").text
PYTHON
}

# In a clone where nobody has written anything, nothing has to be built.
@test "grade --all: levels not begun" {
    runs 1 scripts/grade --all --json "$work/all.json" --junit "$work/all.xml"
    prints "–  01  Basic echo: not begun"
    prints "^0 of 5 levels passed"
    is_plain
    grep -q '"status": "NOT STARTED"' "$work/all.json"
    grep -q '<skipped' "$work/all.xml"
}

@test "grade --all: passed, failed, and not compiling, each with its line, in all files" {
    checks=$(checks_in 01)
    solve 01
    solve 02 "// fails: testQuitCloses"
    solve 03 "// does not compile"
    runs 1 scripts/grade --all --json "$work/all.json" --junit "$work/all.xml"
    prints "^✔  01  Basic echo: $checks of $checks checks$"
    prints "^✘  02  Disconnect handling: .* checks. WRONG: "
    prints "^✘  03  .*: does not compile. .*error: cannot find 'x' in scope"
    prints "^–  04  Rooms: not begun$"
    prints "^1 of 5 levels passed"
    complains_of_nothing
    command -v python3 >/dev/null || skip "python3 is missing: the files are not read"
    python3 - "$work" <<'PYTHON'
import json, sys, xml.etree.ElementTree
work = sys.argv[1]
levels = json.load(open(f"{work}/all.json", encoding="utf-8"))["levels"]
assert len(levels) == 5, levels
assert [check["status"] for check in levels[0]["checks"]] == ["PASSED"] * len(levels[0]["checks"])
assert {check["name"]: check["status"] for check in levels[1]["checks"]}["testQuitCloses"] == "WRONG"
assert "cannot find 'x' in scope" in levels[2]["message"]
suites = xml.etree.ElementTree.parse(f"{work}/all.xml").getroot()
assert [suite.get("failures") for suite in suites][:2] == ["0", "1"]
PYTHON
}

@test "grade --all: 0 when all pass, 2 when a level cannot be graded" {
    grep -v '^    "0[2345]-' Package.swift >"$work/Package.swift"
    mv "$work/Package.swift" Package.swift
    solve 01
    runs 0 scripts/grade --all
    prints "^1 of 1 levels passed"
    sed 's/func test/func tested/' Tests/Graders/Level01Tests.swift >"$work/grader"
    grep -v 'func test' "$work/grader" >Tests/Graders/Level01Tests.swift
    runs 2 scripts/grade --all
    prints "^✘  01  Basic echo: not graded. The grader of level 01 has no checks"
}

@test "grade: an edited grader has another digest" {
    . "$root/scripts/lib/verdicts.sh"
    before=$(grader_digest 01)
    root=$PWD
    [ "$(grader_digest 01)" = "$before" ]
    echo "// easier" >>Tests/Graders/Level01Tests.swift
    [ "$(grader_digest 01)" != "$before" ]
}

@test "grade: points stand above a check" {
    . "$root/scripts/lib/verdicts.sh"
    root=$PWD
    printf '    /// Points: 3\n    func testA() throws {\n    func testB() throws {\n' >Tests/Graders/Level98Tests.swift
    [ "$(points_of 98)" = "$(printf 'testA\t3\ntestB\t1')" ]
}
