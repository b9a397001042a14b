#!/usr/bin/env bats
# The commands of scripts/ that have no tests of their own here: they run long, and scripts/check runs most of them.

load commands

setup() { begin whole; }

@test "the other commands: --help is its usage, and a wrong option is answered with 2" {
    for command in scripts/*; do
        if [ ! -f "$command" ] || [ ! -x "$command" ] || [ -e "$here/${command#scripts/}.bats" ]; then continue; fi
        if [ "$command" = scripts/course ]; then continue; fi
        runs 0 "$command" --help
        prints "$command"
        says_not "set -euo"
        complains_of_nothing
        is_plain
        runs 2 "$command" --nonsense
        prints_nothing
        complains .
    done
}
