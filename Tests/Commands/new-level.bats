#!/usr/bin/env bats
# scripts/new-level, in a copy of the whole course: a level 98 is made in it.

load commands

setup() { begin whole; }

@test "new-level: --help, and a wrong option" {
    helps scripts/new-level
}

@test "new-level: a wrong name, or a level that is there, changes nothing" {
    for name in 98 Sample 98-sample 98_Sample 98-Two/Three 00-Zero "98-A B" 998-Sample; do
        runs 2 scripts/new-level "$name"
        prints_nothing
    done
    runs 2 scripts/new-level
    complains "scripts/new-level NN-Name"
    runs 2 scripts/new-level 01-Again
    complains "Level 01 is there already"
    cmp "$root/Package.swift" Package.swift
    cmp "$root/Course.md" Course.md
}

@test "new-level: makes solution, exercise, grader, chapter, and a line in Package.swift" {
    runs 0 scripts/new-level 98-SampleLevel
    prints "Level 98 – Sample level is begun"
    complains_of_nothing
    is_plain
    runs 2 scripts/new-level 98-Other
    grep -q '^    "98-SampleLevel",$' Package.swift
    grep -q '^### 98.9 Questions$' Course.md
    grep -q 'NotImplemented' Levels/Level98-SampleLevel/SampleLevel.swift
    scripts/stubs --check
    PATH=$real_path swift format lint --strict Package.swift {Levels,Solutions}/*98-*/*.swift \
        Tests/Graders/Level98Tests.swift
    if command -v python3 >/dev/null; then python3 -B -X utf8 scripts/lib/documents.py links Course.md; fi
}

@test "new-level: no colours in a terminal with NO_COLOR" {
    NO_COLOR=1 in_terminal 0 scripts/new-level 98-SampleLevel
    says "Level 98 – Sample level is begun"
    is_plain
}

# The new level compiles, its solution passes and its exercise does not; what is missing is named.
# bats test_tags=build
@test "new-level: scripts/check, built and run, names what is missing" {
    PATH=$real_path
    runs 0 scripts/new-level 98-SampleLevel
    SCRATCH=$work/scratch runs 1 scripts/check 98
    prints "testTextIsAnswered catches nothing"
    prints "Chapter 98 of Course.md is not written yet"
    not grep -e "does not compile" -e "does not pass" -e "NOT STARTED" "$work/out"
}
