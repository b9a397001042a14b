#!/usr/bin/env bats
# scripts/course hint.

load commands

@test "hint: every level has hints" {
    rm -r "$work/course"
    cp -R "$BATS_SUITE_TMPDIR/whole" "$work/course"
    cd "$work/course"
    for level in $(all_levels); do
        course 0 hint "$level"
        says "NOT STARTED: "
        says "Hint 1 of "
    done
}

@test "hint: the checks that hints are for exist" {
    cd "$root"
    for level in $(all_levels); do checks_of "$level" | sed "s/^/$((10#$level)) /"; done >"$work/checks"
    awk '
        NR == FNR { known[$0] = 1; next }
        /^### [0-9]+\.7 / { split($2, n, "."); level = n[1] }
        /^<!-- for: .* -->$/ {
            for (i = 3; i < NF; i++) {
                keys++
                if ($i == "NOT_STARTED" || (level " " $i) in known) continue
                print "level " level " has no check " $i
                failed = 1
            }
        }
        END { exit failed || !keys }' "$work/checks" Course.md
}

@test "hint: more than one level, or an unknown option, is refused" {
    course 2 hint 01 02
    complains "One level at a time"
    course 2 hint --nonsense
    complains "--nonsense"
    prints_nothing
}

@test "hint: a level not begun" {
    course 0 hint 05
    says "NOT STARTED"
    says "Where do I begin?"
}

@test "hint: a level that is not graded, does not compile, is missing, or has passed" {
    solve 01
    course 1 hint 01
    says "First: scripts/grade 01"
    graded 0 01
    course 0 hint 01
    says "nothing to hint at"
    solve 02 "// does not compile"
    graded 1 02
    course 1 hint 02
    says "does not compile"
    rm -r Levels/Level03-*
    course 2 hint 03
    complains "scripts/course reset 03"
}

@test "hint: one at a time for the check that failed, and again from the first" {
    one_failed
    course 0 hint 01
    says "WRONG: a binary message on /ws comes back as binary"
    says "Hint 1 of 3: Binary messages end the connection with 1011"
    says "\`receiveText()\` throws"
    says "Still stuck?"
    says_not "<"
    is_plain
    course 0 hint
    says "Hint 2 of 3: The shape of \`echo\`"
    says "    accept"
    says_not "\`\`\`"
    course 0 hint 01
    says "Hint 3 of 3: Nearly the code"
    says_not "Still stuck?"
    course 0 hint 01
    says "You have seen all hints for this check."
    course 0 hint 01 --again
    says "Hint 1 of 3"
}

@test "hint: says when the level has changed since" {
    one_failed
    course 0 hint 01
    says_not "(That was before your last change.)"
    echo "// changed" >>"$one/BasicEcho.swift"
    course 0 hint 01
    says "(That was before your last change.)"
    course 0
    says "changed since it was graded (then $(($(checks_in 01) - 1)) of $(checks_in 01))"
}

@test "hint: a chapter without hints" {
    solve 01 "// fails: testTextComesBackUnchanged"
    awk '/^### 1.7 Hints/ { print; skipping = 1; next } /^### 1.8/ { skipping = 0 } !skipping' \
        Course.md >"$work/Course.md"
    mv "$work/Course.md" Course.md
    course 1 grade 01
    course 0 hint 01
    says "Chapter 1 has no hint for this check. What is asked for is said in 1.4."
}

@test "hint: no colours with NO_COLOR in a terminal" {
    NO_COLOR=1 in_terminal 0 scripts/course hint 01
    says "Hint 1 of "
    is_plain
}
