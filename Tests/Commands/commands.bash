# Shared by the tests of the commands.
#
# A test begins in a copy of the course that has five levels, for what holds for them holds for more; the exercises are
# untouched. The command swift is a stand-in there, so that nothing is built. Tests that do build have the tag build.
#
#   bats Tests/Commands                              all of them
#   bats --filter-tags '!build' Tests/Commands       without those that build
#   bats -f 'word for word' Tests/Commands           those whose title says so

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/../../scripts/lib/common.sh"
# Set by the first that reads this, as SCRATCH is gone for the others.
export build_folder=${build_folder:-${SCRATCH:-$root/.build/check/commands}}
unset SCRATCH NO_COLOR
one=Levels/Level01-BasicEcho

# begin [COPY]: the test goes on in a copy of the course of its own.
begin() {
    work=$BATS_TEST_TMPDIR
    cp -R "$BATS_SUITE_TMPDIR/${1:-five}" "$work/course"
    cd "$work/course" || return 1
    real_path=$PATH
    PATH=$here/stand-in:$PATH
}

setup() { begin; }

# MARK: What a command prints

failed() {
    echo "$asked: $1. It printed:"
    sed 's/^/    /' "$work/out" "$work/err"
    return 1
}

# runs STATUS COMMAND…: it ends with this exit status, without a terminal. What it prints is left in $work/out and
# $work/err.
runs() {
    local wanted=$1 ended=0
    shift
    asked=$*
    "$@" >"$work/out" 2>"$work/err" </dev/null 3>&- || ended=$?
    [ "$ended" = "$wanted" ] || failed "expected exit status $wanted, got $ended"
}

course() {
    local wanted=$1
    shift
    runs "$wanted" scripts/course "$@"
}

# says WORDS: word for word, on whichever output.
says() { cat "$work/out" "$work/err" | grep -qF -e "$1" || failed "expected \"$1\""; }
says_not() { if cat "$work/out" "$work/err" | grep -qF -e "$1"; then failed "did not expect \"$1\""; fi; }

# prints PATTERN, complains PATTERN: on the standard output, and on the one for errors.
prints() { grep -q -e "$1" "$work/out" || failed "expected \"$1\" on the standard output"; }
complains() { grep -q -e "$1" "$work/err" || failed "expected \"$1\" on the standard error"; }
prints_nothing() { [ ! -s "$work/out" ] || failed "expected nothing on the standard output"; }
complains_of_nothing() { [ ! -s "$work/err" ] || failed "expected nothing on the standard error"; }

escape=$(printf '\033')

is_coloured() { says "${escape}["; }
is_plain() { says_not "$escape"; }

not() { if "$@"; then echo "did not expect: $*"; return 1; fi; }

# in_terminal STATUS COMMAND…: as runs does, but in a terminal of its own.
in_terminal() {
    local wanted=$1 spawn='import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)'
    command -v python3 >/dev/null || skip "python3 is missing"
    shift
    TERM=${TERM_WANTED:-xterm} runs "$wanted" python3 -c "$spawn" "$@"
}

# helps COMMAND…: --help is the usage on the standard output, whatever the terminal; a wrong option is the usage, or a
# sentence, and 2.
helps() {
    runs 0 "$@" --help
    prints "^  $1"
    says_not "set -euo"
    complains_of_nothing
    is_plain
    runs 0 "$@" -h
    prints "^  $1"
    NO_COLOR=1 in_terminal 0 "$@" --help
    is_plain
    runs 2 "$@" --nonsense
    prints_nothing
    complains .
}

# MARK: What a student does

# solve NN [LINE…]: the level becomes its solution, with these lines below it.
solve() {
    local level=$1 folder solution file line
    shift
    folder=$(echo Levels/Level"$level"-*) solution=$(echo Solutions/Solution"$level"-*)
    for file in "$solution"/*.swift; do
        awk '!/^ *\/\/ (solution$|end$|stub:)/' "$file" >"$folder/$(basename "$file")"
    done
    for line in "$@"; do echo "$line" >>"$folder/${folder#*-}.swift"; done
}

# graded STATUS NN: the level is graded as it stands.
graded() { runs "$1" scripts/grade "$2"; }

# one_failed, one_passed: level 01 is written and graded; in the first, testBinaryComesBackAsItIs fails. What the grading
# leaves is taken from setup_suite.bash, as grading takes a while.
one_failed() {
    solve 01 "// fails: testBinaryComesBackAsItIs"
    mkdir -p .build/course
    cp "$BATS_SUITE_TMPDIR/failed" .build/course/01
}

one_passed() {
    solve 01
    mkdir -p .build/course
    cp "$BATS_SUITE_TMPDIR/passed" .build/course/01
}

checks_in() { checks_of "$1" | wc -l | tr -d ' '; }

# without COMMAND…: as if they were not installed.
without() {
    local command
    mkdir "$work/tools"
    ln -s /usr/bin/* /bin/* "$work/tools/" 2>/dev/null || true
    for command in "$@"; do rm -f "$work/tools/$command"; done
    PATH=$work/tools
}
