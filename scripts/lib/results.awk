# Reads what `swift test` prints and writes one line for each test that began: name, verdict, seconds, class, between
# tabs. Levels may have checks of the same name, in classes of their own.
# The verdict is PASSED, SKIPPED, one of the grader's own, or DIED when the process ended in the middle of the test.
# With -v folder=DIR the text of every failed check is written to DIR/NAME.
#
# XCTest writes "Level01Tests.testX" on Linux and "-[Graders.Level01Tests testX]" on macOS.

# "Level01Tests.testX", of either way to write it.
function test_key(text) {
    sub(/\]?'.*/, "", text)
    sub(/ /, ".", text)
    if (match(text, /[A-Za-z0-9_]+\.[A-Za-z0-9_]+$/)) text = substr(text, RSTART)
    return text
}

function name_of(key) {
    sub(/.*\./, "", key)
    return key
}

/^Test Case '.*' started/ {
    key = $0
    sub(/^Test Case '/, "", key)
    key = test_key(key)
    if (!(key in verdict)) order[++count] = key
    verdict[key] = "DIED"
    seconds[key] = 0
    inside = 0
    next
}

/: error: .*Level[0-9]+Tests[. ]test[A-Za-z0-9_]*\]? : / {
    text = $0
    sub(/^.*: error: [^ ]*Level[0-9]+Tests[. ]test[A-Za-z0-9_]*\]? : /, "", text)
    found = "WRONG"
    if (match(text, /^(NOT STARTED|WRONG|CRASHED|TIMED OUT|BLOCKED)  /)) found = substr(text, 1, RLENGTH - 2)
    if (!(key in failure)) failure[key] = found
    if (folder != "") print text > (folder "/" name_of(key))
    inside = 1
    next
}

/^Test Case '.*' (passed|failed|skipped) \(/ {
    inside = 0
    ended = $0
    sub(/^Test Case '/, "", ended)
    ended = test_key(ended)
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
inside && /^  / { if (folder != "") print > (folder "/" name_of(key)) }

END {
    for (i = 1; i <= count; i++) {
        key = order[i]
        class = key
        sub(/\..*/, "", class)
        printf "%s\t%s\t%.3f\t%s\n", name_of(key), verdict[key], seconds[key], class
    }
}
