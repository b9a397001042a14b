#!/usr/bin/env bats
# scripts/stubs.

load commands

@test "stubs: --help, and a wrong option" {
    helps scripts/stubs
    runs 2 scripts/stubs --print
    complains "scripts/stubs --print NN"
}

@test "stubs --check: names an exercise that is not what its solution makes of it" {
    runs 0 scripts/stubs --check
    echo "// changed" >>"$one/BasicEcho.swift"
    runs 1 scripts/stubs --check
    complains "$one/BasicEcho.swift is not what Solutions/Solution01-BasicEcho/BasicEcho.swift makes of it"
    is_plain
}

@test "stubs: writes what is missing, and leaves a student's work alone" {
    git init --quiet
    git add -A
    git -c user.name=Ana -c user.email=ana@localhost commit --quiet -m "The course"
    rm -r "$one"
    echo "// mine" >>Levels/Level04-Rooms/Rooms.swift
    NO_COLOR=1 in_terminal 1 scripts/stubs
    says "wrote $one/BasicEcho.swift"
    says "Levels/Level04-Rooms/Rooms.swift has been worked on and is left as it is"
    is_plain
    git diff --quiet -- "$one"
    grep -q "// mine" Levels/Level04-Rooms/Rooms.swift
}

@test "stubs --print: the exercise of one level" {
    runs 0 scripts/stubs --print 01
    cmp "$one/BasicEcho.swift" "$work/out"
}
