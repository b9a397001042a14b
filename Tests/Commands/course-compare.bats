#!/usr/bin/env bats
# scripts/course compare.

load commands

@test "compare: no level, two levels, or an unknown option, is refused" {
    course 2 compare
    complains "compare needs a level"
    course 2 compare 01 02
    complains "One level at a time"
    course 2 compare 01 --nonsense
    complains "--nonsense"
    prints_nothing
}

@test "compare: the solution of a level not begun is shown only with --spoil" {
    course 1 compare 01
    says "Level 01 is not begun."
    says "--spoil"
    course 0 compare Levels/Level01-BasicEcho/ --spoil
    says '-        throw NotImplemented("answer every message on /ws")'
    says '+        try await socket.accept()'
    says_not "// solution"
    is_plain
}

@test "compare: the solution of a level that has not passed is not shown" {
    solve 01 "// fails: testBinaryComesBackAsItIs"
    course 1 compare 01
    says "Level 01 is not graded as it stands."
    graded 1 01
    course 1 compare 01
    says "Level 01 has not passed yet."
    rm -r "$one"
    course 2 compare 01
    complains "scripts/course reset 01"
}

@test "compare: a level that has passed, until it is changed" {
    one_passed
    course 0 compare 01
    says "word for word"
    echo "// changed" >>"$one/BasicEcho.swift"
    course 1 compare 01
    says "not graded as it stands"
    graded 0 01
    course 0 compare 01
    says "-// changed"
}

@test "compare: colours in a terminal, but not with NO_COLOR" {
    in_terminal 0 scripts/course compare 01 --spoil
    says "${escape}[32m+"
    NO_COLOR=1 in_terminal 0 scripts/course compare 01 --spoil
    is_plain
    says '+        try await socket.accept()'
}
