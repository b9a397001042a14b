#!/usr/bin/env bats
# scripts/course run.

load commands

@test "run: builds and starts the student's server, with its options" {
    course 0 run 1 --port 8001
    says "LEVEL=01 swift run --scratch-path $PWD/.build Level01 --port 8001"
    is_plain
}

@test "run: --solution starts the reference" {
    course 0 run 01 --solution --port 8001
    says "Solution01 --port 8001"
}

@test "run: without a level, the next one is meant" {
    course 0 run
    says " Level01"
    one_passed
    course 0 run
    says " Level02"
    course 0 run --solution
    says " Solution02"
}

@test "run: no colours with NO_COLOR in a terminal" {
    NO_COLOR=1 in_terminal 0 scripts/course run 01
    says " Level01"
    is_plain
}
