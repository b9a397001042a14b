#!/usr/bin/env bats
# scripts/course watch.

load commands

setup() {
    begin
    # A program in the background ignores Ctrl-C from its start, and only another language than the shell's undoes that.
    interrupt=TERM ended_by_it=143 interruptible=""
    if command -v python3 >/dev/null; then
        interrupt=INT ended_by_it=0
        cat >"$work/interruptible" <<'PYTHON'
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
PYTHON
        interruptible="$(command -v python3) $work/interruptible"
    fi
    watching=""
}

teardown() {
    if [ -n "$watching" ]; then end_tree "$watching"; fi
}

# watch NN: in the background.
watch() {
    asked="scripts/course watch $1"
    : >"$work/out"
    : >"$work/err"
    # shellcheck disable=SC2086
    WATCH_INTERVAL=${interval:-0.1} $interruptible scripts/course watch "$1" >>"$work/out" 2>&1 </dev/null 3>&- &
    watching=$!
}

# eventually COUNT WORDS: waits until these words stand in so many lines.
eventually() {
    local tries=0
    while [ "$(grep -cF -e "$2" "$work/out")" -lt "$1" ]; do
        tries=$((tries + 1))
        [ "$tries" -le 400 ] || failed "\"$2\" did not come $1 times" || return 1
        sleep 0.05
    done
}

# is_ended: Ctrl-C ends it at once, as the student's wish and not as a failure.
is_ended() {
    local ended=0
    kill "-$interrupt" "$watching"
    wait "$watching" || ended=$?
    watching=""
    [ "$ended" = "$ended_by_it" ] || failed "expected exit status $ended_by_it after Ctrl-C, got $ended"
    says_not "Terminated"
}

waits() { [ "$(grep -c 'Waiting for you' "$work/out")" = "$1" ] || failed "expected $1 gradings"; }

# polls: nothing tells of changes.
polls() {
    without inotifywait fswatch
    PATH=$here/stand-in:$PATH
}

# A stand-in for what tells of changes, which runs these commands.
notifier() {
    mkdir "$work/bin"
    printf '#!/usr/bin/env bash\n%s\n' "$1" >"$work/bin/inotifywait"
    chmod +x "$work/bin/inotifywait"
    PATH=$work/bin:$PATH
}

# sees_a_save: what has failed is mended and saved, and graded again.
sees_a_save() {
    solve 01 "// fails: testBinaryComesBackAsItIs"
    watch 01
    eventually 1 "Waiting for you to save"
    solve 01
    eventually 1 "All $(checks_in 01) checks passed."
    eventually 2 "Waiting for you to save"
}

# is_notified: a save is seen, though the next look would be in ten minutes.
is_notified() {
    interval=600
    sees_a_save
    echo "// again" >>"$one/BasicEcho.swift"
    eventually 3 "Waiting for you to save"
    is_ended
}

@test "watch: polling, grades at once and with each save, until Ctrl-C" {
    polls
    sees_a_save
    # A save without a change is a save too.
    touch -t 203001010000 "$one/BasicEcho.swift"
    eventually 3 "Waiting for you to save"
    is_ended
    waits 3
    is_plain
}

@test "watch: without a save nothing is graded again" {
    solve 01
    watch 01
    eventually 1 "Waiting for you to save"
    sleep 1
    is_ended
    waits 1
}

@test "watch: what tells of a change is heard at once, and ends with it" {
    notifier "echo \$\$ >'$work/notifier'
        while sleep 0.1; do if [ -e '$work/tell' ]; then rm '$work/tell'; echo changed; fi; done"
    interval=600
    solve 01 "// fails: testBinaryComesBackAsItIs"
    watch 01
    eventually 1 "Waiting for you to save"
    : >"$work/tell"
    sleep 0.5
    waits 1
    solve 01
    sleep 0.5
    waits 1
    : >"$work/tell"
    eventually 1 "All $(checks_in 01) checks passed."
    is_ended
    not kill -0 "$(cat "$work/notifier")"
}

@test "watch: where nothing is told, as in network folders, or cannot be, it polls" {
    for commands in "exec sleep 60" "exit 1"; do
        notifier "$commands"
        solve 01 "// fails: testBinaryComesBackAsItIs"
        watch 01
        eventually 1 "Waiting for you to save"
        solve 01
        eventually 1 "All $(checks_in 01) checks passed."
        is_ended
        rm -r "${work:?}/bin"
    done
}

@test "watch: inotifywait tells of a save" {
    command -v inotifywait >/dev/null || skip "inotifywait is missing"
    is_notified
}

@test "watch: fswatch tells of a save" {
    command -v fswatch >/dev/null || skip "fswatch is missing"
    without inotifywait
    PATH=$here/stand-in:$PATH
    is_notified
    waits 3
}

@test "watch: no colours with NO_COLOR in a terminal" {
    command -v python3 >/dev/null || skip "python3 is missing"
    polls
    solve 01
    # Ctrl-C is typed when the level is graded.
    cat >"$work/type" <<'PYTHON'
import os, pty, signal, sys
child, terminal = pty.fork()
if child == 0:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
signal.alarm(60)
text = b""
while b"Ctrl-C ends." not in text:
    text += os.read(terminal, 4096)
os.write(terminal, b"\x03")
try:
    while more := os.read(terminal, 4096): text += more
except OSError: pass  # how Linux tells of the end
sys.stdout.buffer.write(text)
sys.exit(os.waitpid(child, 0)[1] >> 8)
PYTHON
    NO_COLOR=1 TERM=xterm runs 0 python3 "$work/type" scripts/course watch 01
    says "All $(checks_in 01) checks passed."
    is_plain
    TERM=xterm runs 0 python3 "$work/type" scripts/course watch 01
    is_coloured
}
