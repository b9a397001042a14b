#!/usr/bin/env bats
# scripts/course: help, progress, --grade, next, grade.

load commands

@test "course: --help, and a command that there is not" {
    helps scripts/course
    course 0 --help
    says "scripts/course watch [LEVEL]"
    says "Exit status"
    course 0 help
    prints "Exit status"
    course 2 frobnicate
    complains "scripts/course knows no command frobnicate"
    complains "scripts/course hint"
    prints_nothing
}

@test "course: each command answers a level that there is not with those that there are" {
    for command in grade watch hint run compare reset; do
        course 2 "$command" 99
        complains "There is no level 99. The levels are:"
        complains "01  Basic echo"
        prints_nothing
    done
    course 2 grade scripts
    says "There is no level scripts."
}

@test "course grade, watch, run: more than one level, or an unknown option, is refused" {
    for command in grade watch; do
        course 2 "$command" 01 02
        says "One level at a time"
        course 2 "$command" --nonsense
        says "There is no level --nonsense"
    done
}

@test "course progress, next: what they do not know is refused" {
    course 2 progress nonsense
    complains "nonsense"
    course 2 --grade nonsense
    complains "nonsense"
    course 2 next nonsense
    complains "next takes no argument"
    prints_nothing
}

@test "course grade, watch, run: without swift they say where to get it" {
    without swift
    for command in grade watch run; do
        course 2 "$command" 01
        complains "The command swift is not found."
        complains "https://www.swift.org/install"
    done
}

@test "course: in a new clone nothing is begun, and it says where to begin" {
    course 0
    says "0 of 5 levels"
    says "01  Basic echo               not begun"
    says "Next: level 01 – Basic echo"
    says "write  $one/BasicEcho.swift"
    line=$(sed -n 's/.*Course.md, line //p' "$work/out")
    sed -n "${line}p" Course.md | grep -q "^## Chapter 1 "
    says_not "--grade"
    is_plain
}

@test "course: a level that is begun is not graded yet" {
    solve 01 "// fails: testBinaryComesBackAsItIs"
    course 0
    says "01  Basic echo               not graded yet"
    says "To grade what is not graded: scripts/course --grade"
}

@test "course --grade: grades each level by itself, and counts" {
    checks=$(checks_in 01)
    solve 01 "// fails: testBinaryComesBackAsItIs"
    solve 02 "// does not compile"
    rm -r Levels/Level03-*
    solve 04
    course 0 --grade
    says "01  Basic echo               $((checks - 1)) of $checks checks passed"
    says "02  Disconnect handling      does not compile"
    says "scripts/course reset 03 brings it back"
    says "04  Rooms                    all"
    says "1 of 5 levels"
    says "Next: level 01"
    says_not "To grade"
    is_plain
}

@test "course grade: is scripts/grade, and takes a level's number or folder" {
    checks=$(checks_in 01)
    solve 01 "// fails: testBinaryComesBackAsItIs"
    # A task of VS Code names the folder of the file that is open; without a level, the next one is meant.
    for level in Level01-BasicEcho 1 ""; do
        # shellcheck disable=SC2086
        course 1 grade $level
        says "$((checks - 1)) of $checks checks passed."
        is_plain
    done
}

@test "course: a level that has passed is ticked, and the next one is named" {
    checks=$(checks_in 01)
    solve 01
    course 0 grade 01
    course 0
    says "✔  01  Basic echo               all $checks checks passed"
    says "1 of 5 levels"
    says "Next: level 02"
    course 0 next
    says "Next: level 02"
    says_not "01"
    is_plain
}

@test "course: a verdict is that of these files, this grader and this engine" {
    checks=$(checks_in 01)
    one_passed
    echo "// changed" >>"$one/BasicEcho.swift"
    course 0
    says "changed since it was graded (then $checks of $checks)"
    solve 01
    course 0
    says "all $checks checks passed"
    for file in Tests/GraderKit/Check.swift Engine/LevelKit/Level.swift; do
        cp "$file" "$work/kept"
        echo "// changed" >>"$file"
        course 0
        says "0 of 5 levels"
        says "changed since it was graded (then $checks of $checks)"
        cp "$work/kept" "$file"
    done
    # Nothing is kept in a new clone, and the files say what was begun.
    rm -r .build
    course 0
    says "01  Basic echo               not graded yet"
}

@test "course: a solution that was graded is not taken for the student's level" {
    solve 01
    COURSE=solutions graded 0 01
    course 0
    says "01  Basic echo               not graded yet"
}

@test "course: when all levels have passed, there is nothing next" {
    grep -v '^    "0[345]-' Package.swift >"$work/Package.swift"
    mv "$work/Package.swift" Package.swift
    one_passed
    solve 02
    course 0 --grade
    says "2 of 2 levels"
    says "That was the course."
    course 0 next
    says "That was the course."
}

@test "course: colours in a terminal, but not with NO_COLOR, nor in a dumb one" {
    one_passed
    in_terminal 0 scripts/course
    says "${escape}[32m"
    NO_COLOR=1 in_terminal 0 scripts/course
    is_plain
    says "1 of 5 levels"
    TERM_WANTED=dumb in_terminal 0 scripts/course
    is_plain
}
