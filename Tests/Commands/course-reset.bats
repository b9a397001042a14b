#!/usr/bin/env bats
# scripts/course reset.

load commands

saved_in() { sed -n 's/^Your work is in \(.*\)\.$/\1/p' "$work/out"; }

@test "reset: no level, or two, is refused" {
    course 2 reset
    complains "reset needs one level"
    course 2 reset 01 02
    complains "reset needs one level"
    prints_nothing
}

@test "reset: an exercise as it was handed out stays" {
    course 0 reset 01
    says "nothing to reset"
    not test -e Saved
}

@test "reset: the work is saved, and the exercise is back" {
    solve 01
    echo "my own" >"$one"/Notes.swift
    course 0 reset 1
    is_plain
    saved=$(saved_in)
    test -f "$saved/Notes.swift"
    not test -e "$one/Notes.swift"
    scripts/stubs --check
    # The same day again.
    echo "again" >"$one"/Notes.swift
    course 0 reset 1
    says "Your work is in $saved-2."
    grep -qx again "$saved-2/Notes.swift"
    grep -qx "my own" "$saved/Notes.swift"
}

@test "reset: what was graded is forgotten" {
    one_passed
    course 0 reset 01
    solve 01
    course 0
    says "01  Basic echo               not graded yet"
}

@test "reset: a folder that is missing is brought back" {
    rm -r Levels/Level03-*
    course 0 reset 03
    test -f Levels/Level03-Connections/Connections.swift
    says_not "Your work"
    course 0 reset 03
    says "nothing to reset"
}

@test "reset: no colours with NO_COLOR in a terminal" {
    solve 01
    NO_COLOR=1 in_terminal 0 scripts/course reset 01
    says "is the exercise again"
    is_plain
}
