#!/usr/bin/env bats
# scripts/check: its options, the trust report, and the failure texts that are kept.

load commands

setup() {
    begin
    for file in stubs levels pages trust; do . "$root/scripts/lib/$file.sh"; done
}

@test "check: --help, and a wrong option" {
    helps scripts/check
}

@test "check: bad input is answered with 2" {
    runs 2 scripts/check 99
    complains "99 is not a level. Levels are:"
    runs 2 scripts/check --flakes
    runs 2 scripts/check --flakes many
    prints_nothing
}

@test "check --report: bad input is answered with 2" {
    runs 2 scripts/check --report
    runs 2 scripts/check --report "$work/nowhere/x.html" 01
    complains "cannot be written"
    runs 2 scripts/check --quick --report "$work/x.html"
    not test -e "$work/x.html"
    prints_nothing
}

@test "check --report: the page tells what was seen" {
    notes=$work/notes
    mkdir "$notes"
    note 01 mutant forgets-it caught "testShoutKnowsEveryAlphabet, testTextIsAnsweredWithEcho" WRONG "a < b & c"
    note 01 mutant escapes "not caught" testShoutKnowsEveryAlphabet WRONG "nothing"
    note 01 alternate actor accepted
    note 01 grader 0.25
    echo "20 runs: 0 failed" >"$notes/flakes"
    trust_report 01 02 >"$work/trust.html"
    for line in '<td class="number broken">1 of 2</td><td class="number passed">1 of 1</td><td class="number">0.25 s</td>' \
        'a &lt; b &amp; c' 'testShoutKnowsEveryAlphabet: not caught' '20 runs: 0 failed' 'actor: accepted' \
        '<td><code>testTextIsAnsweredWithEcho</code></td><td>each text m on /ws .*</td><td class="number ">1</td>'
    do
        grep -q -e "$line" "$work/trust.html" || { echo "no $line"; cat "$work/trust.html"; return 1; }
    done
    not grep -q 'level-02' "$work/trust.html"
}

@test "check: no colours in a terminal with NO_COLOR" {
    NO_COLOR=1 in_terminal 2 scripts/check 99
    says "99 is not a level"
    is_plain
}

# It is the same on another machine, port and day, and one that says something else is told of.
@test "check: a failure text is compared with the one that is kept" {
    subject=.build/check/subject-x
    mkdir -p "$work/texts"
    printf '%s\n' "edit $subject/Level01/BasicEcho.swift on localhost:41234" \
        "nothing came within 2.5 s" "Swift/Array.swift:12: Fatal error" >"$work/texts/testX"
    printf '%s\n' "edit Levels/Level01-BasicEcho/BasicEcho.swift on localhost:PORT" \
        "nothing came within N s" "Swift/FILE.swift:N: Fatal error" >"$work/kept"
    check_text 01 testX "$work/kept"
    echo more >>"$work/texts/testX"
    not check_text 01 testX "$work/kept" >"$work/told"
    grep -q '^    +more$' "$work/told"
}
