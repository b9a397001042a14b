#!/usr/bin/env bats
# scripts/course upgrade: from a version without level 05, in which some exercises and scripts were different.

load commands

echo_solution=Solutions/Solution01-BasicEcho/BasicEcho.swift

# publish WORDS: commits all, with the exercises that belong to it.
publish() {
    rm -rf Levels
    scripts/stubs >/dev/null
    git add -A
    git -c user.name=Teacher -c user.email=teacher@localhost commit --quiet -m "$1"
}

# older FILE FROM TO: replaces these words.
older() {
    sed "s|$2|$3|" "$1" >"$BATS_FILE_TMPDIR/older"
    if cmp -s "$1" "$BATS_FILE_TMPDIR/older"; then echo "$1 does not have the words $2"; return 1; fi
    cat "$BATS_FILE_TMPDIR/older" >"$1"
}

quiet_git() { export HOME=$BATS_FILE_TMPDIR GIT_CONFIG_NOSYSTEM=1; }

setup_file() {
    local new=$BATS_SUITE_TMPDIR/five name
    quiet_git
    cp -R "$new" "$BATS_FILE_TMPDIR/published"
    cd "$BATS_FILE_TMPDIR/published" || return 1
    git init --quiet
    older $echo_solution 'NotImplemented("answer every message on /ws")' 'NotImplemented("echo")'
    older Solutions/Solution02-DisconnectHandling/DisconnectHandling.swift 'import LevelKit' 'import LevelKit  // old'
    older Package.swift '.*"05-JSONProtocol",' ''
    older scripts/grade '# Grades one level of yours' '# Judges one level of yours'
    # The script that upgrades is itself replaced meanwhile.
    older scripts/course '# Accompanies you through the course.' '# Goes with you.'
    rm -r Solutions/Solution05-JSONProtocol
    echo "// an older helper" >Solutions/Solution03-Connections/Helper.swift
    publish "The old version"
    git clone --quiet "$PWD" "$BATS_FILE_TMPDIR/student" 2>/dev/null
    git clone --quiet "file://$PWD" "$BATS_FILE_TMPDIR/shallow" --depth 1 2>/dev/null

    for name in $echo_solution Solutions/Solution02-DisconnectHandling/DisconnectHandling.swift Package.swift \
        scripts/grade scripts/course
    do
        cp "$new/$name" "$name"
    done
    cp -R "$new/Solutions/Solution05-JSONProtocol" Solutions/
    rm Solutions/Solution03-Connections/Helper.swift
    publish "The new version"
}

# in_clone NAME: the test goes on in a clone of the old version.
in_clone() {
    work=$BATS_TEST_TMPDIR
    published=$BATS_FILE_TMPDIR/published
    cp -R "$BATS_FILE_TMPDIR/$1" "$work/clone"
    cd "$work/clone" || return 1
}

setup() {
    quiet_git
    in_clone student
}

# commit WORDS: what is staged, as a student.
commit() { git -c user.name=Ana -c user.email=ana@localhost commit --quiet -m "$1"; }

# half_done: level 01 is half done where the exercise has changed, level 03 in a file that is gone, and level 04 is
# committed.
half_done() {
    solve 01 "// fails: testBinaryComesBackAsItIs"
    echo "// mine" >"$one"/Notes.swift
    echo "// mine" >>Levels/Level03-Connections/Helper.swift
    solve 04
    git add Levels/Level04-Rooms
    commit "Level 04"
    cp -R Levels "$work/mine"
}

levels_are_mine() {
    local level
    for level in 01-BasicEcho 03-Connections 04-Rooms; do diff -r "$work/mine/Level$level" "Levels/Level$level"; done
}

@test "upgrade: levels that are begun stay, and all else is the new version" {
    half_done
    course 0 upgrade
    says "New: level 05 – JSON protocol."
    says "The exercise in Levels/Level01-BasicEcho has changed. Yours is kept as it is."
    says_not "Levels/Level04-Rooms has changed"
    is_plain
    levels_are_mine
    for name in Package.swift scripts Solutions Tests Levels/Level02-DisconnectHandling Levels/Level05-JSONProtocol; do
        diff -r "$published/$name" "$name"
    done
    test -z "$(git status --porcelain)"
    course 0
    says "not graded yet"
    says "of 5 levels"
}

@test "upgrade: the way back that it names leads back" {
    half_done
    course 0 upgrade
    back=$(sed -n 's/^To go back.*: //p' "$work/out")
    $back >/dev/null
    levels_are_mine
    grep -q "Goes with you" scripts/course
}

@test "upgrade: again, when there is nothing new" {
    course 0 upgrade
    course 0 upgrade
    says "the newest version of the course already"
}

@test "upgrade: a shallow clone in which nothing was done yet" {
    rm -rf "$work/clone"
    in_clone shallow
    course 0 upgrade
    says "New: level 05"
    test "$(git rev-parse HEAD)" = "$(git -C "$published" rev-parse HEAD)"
}

@test "upgrade: changes outside Levels/ are not overwritten, committed or not" {
    solve 01
    cp -R Levels "$work/own"
    echo "# mine" >>scripts/grade
    course 2 upgrade
    complains "You have changed files outside Levels/:"
    complains "scripts/grade"
    older scripts/grade '# Judges one level of yours' '# My level'
    git add -A scripts
    commit "Mine"
    course 2 upgrade
    complains "have been changed by you and by the course"
    complains "scripts/grade"
    diff -r "$work/own" Levels
    test -z "$(git status --porcelain)"
}

@test "upgrade: a folder that is no clone, a place that is not there, too many words" {
    course 2 upgrade "$work/nowhere"
    complains "could not be fetched from $work/nowhere"
    course 2 upgrade a b c
    complains "at most"
    git remote remove origin
    course 2 upgrade
    complains "does not know where it came from"
    rm -rf .git
    course 2 upgrade
    complains "not a clone of the course"
    prints_nothing
}

@test "upgrade: no colours with NO_COLOR in a terminal" {
    NO_COLOR=1 in_terminal 0 scripts/course upgrade
    says "New: level 05"
    is_plain
}
