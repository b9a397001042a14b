#!/usr/bin/env bats
# scripts/pictures.

load commands

setup() { begin whole; }

@test "pictures: --help, and a wrong option" {
    helps scripts/pictures
}

@test "pictures --check: a picture that is not what the commands print is named; a longer Course.md changes none" {
    command -v python3 >/dev/null || skip "python3 is missing"
    { echo; cat "$root/Course.md"; } >Course.md
    runs 0 scripts/pictures --check
    sed 's/not begun/untouched/' "$root/scripts/course" >scripts/course
    runs 1 scripts/pictures --check
    complains ".github/progress.svg is not what the commands print now"
    says_not "failure.svg"
    is_plain
    cmp "$root/.github/progress.svg" .github/progress.svg
}

@test "pictures: writes what is not there, in colours even with NO_COLOR" {
    command -v python3 >/dev/null || skip "python3 is missing"
    rm .github/progress.svg
    NO_COLOR=1 in_terminal 0 scripts/pictures
    says "wrote .github/progress.svg"
    says_not "failure.svg"
    is_plain
    cmp "$root/.github/progress.svg" .github/progress.svg
    grep -q "prefers-color-scheme: dark" .github/progress.svg
    python3 -c 'import sys, xml.etree.ElementTree as tree
for name in sys.argv[1:]: tree.parse(name)' .github/progress.svg .github/failure.svg
}
