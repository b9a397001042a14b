# Reads what `swift test` prints and writes one line for each test that began: name, verdict, seconds, between tabs.
# The verdict is PASSED, SKIPPED, one of the grader's own, or DIED when the process ended in the middle of the test.
# With -v folder=DIR the text of every failed check is written to DIR/NAME.
#
# XCTest writes "Level01Tests.testX" on Linux and "-[Graders.Level01Tests testX]" on macOS.

function test_name(text) {
    sub(/\]?'.*/, "", text)
    sub(/.*[. ]/, "", text)
    return text
}

/^Test Case '.*' started/ {
    name = $0
    sub(/^Test Case '/, "", name)
    name = test_name(name)
    if (!(name in verdict)) order[++count] = name
    verdict[name] = "DIED"
    seconds[name] = 0
    inside = 0
    next
}

/: error: .*Level[0-9]+Tests[. ]test[A-Za-z0-9_]*\]? : / {
    text = $0
    sub(/^.*: error: [^ ]*Level[0-9]+Tests[. ]test[A-Za-z0-9_]*\]? : /, "", text)
    found = "WRONG"
    if (match(text, /^(NOT STARTED|WRONG|CRASHED|TIMED OUT|BLOCKED)  /)) found = substr(text, 1, RLENGTH - 2)
    if (!(name in failure)) failure[name] = found
    if (folder != "") print text > (folder "/" name)
    inside = 1
    next
}

/^Test Case '.*' (passed|failed|skipped) \(/ {
    inside = 0
    ended = $0
    sub(/^Test Case '/, "", ended)
    ended = test_name(ended)
    result = $0
    sub(/^.*' /, "", result)
    split(result, words, " ")
    time = result
    sub(/^[a-z]* \(/, "", time)
    seconds[ended] = time + 0
    if (words[1] == "passed") verdict[ended] = "PASSED"
    else if (words[1] == "skipped") verdict[ended] = "SKIPPED"
    else verdict[ended] = (ended in failure) ? failure[ended] : "WRONG"
    next
}

# The grader indents the rest of a failure's text; what else is printed meanwhile is not part of it.
inside && /^  / { if (folder != "") print > (folder "/" name) }

END {
    for (i = 1; i <= count; i++) printf "%s\t%s\t%.3f\n", order[i], verdict[order[i]], seconds[order[i]]
}
