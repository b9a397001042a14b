# Format, scripts, build and tests of the package as a whole; to be sourced after levels.sh.

check_format() {
    within 120 swift format lint --strict -r Package.swift Engine Levels Solutions Tests
}

# Syntax of every shell and Python script, and of the tests of the commands.
check_scripts() {
    local file
    for file in scripts/* scripts/*/* .ci/* Tests/Commands/* Tests/Commands/*/*; do
        [ -f "$file" ] || continue
        case $(head -n 1 "$file") in
            *bats*) sed 's/^@test .* {$/a_test() {/' "$file" | bash -n ;;
            *bash*) bash -n "$file" ;;
            *) case $file in *.sh | *.bash) bash -n "$file" ;; esac ;;
        esac
        case $file in
            *.bats | *.bash | scripts/lib/* | scripts/benchmarks/* | *.py | *.html | *.js | *.swift | *.supp) ;;
            *) if [ ! -x "$file" ]; then echo "$file is not executable"; return 1; fi ;;
        esac
    done
    if command -v python3 >/dev/null; then
        python3 -c 'import ast, sys
for name in sys.argv[1:]: ast.parse(open(name, encoding="utf-8").read(), name)' scripts/*/*.py
        check_editors
    fi
    check_results
}

# What editors read is JSON, and the commands that it names are there.
check_editors() {
    python3 - .vscode/*.json .devcontainer/*.json <<'END'
import json, os, sys
for name in sys.argv[1:]:
    try:
        with open(name, encoding="utf-8") as file: content = json.load(file)
    except ValueError as error:
        sys.exit(f"{name} is not JSON: {error}")
    for task in content.get("tasks", []):
        if not os.access(task["command"], os.X_OK): sys.exit(f'{name}: there is no command {task["command"]}')
END
}

# A failure's text comes out of results.awk whole, however many steps it has.
check_results() {
    local steps i
    steps=$(for i in 1 2 3 4 5 6 7 8 9 10 11 12; do printf '%4d  Anna sends text "%d"\n' "$i" "$i"; done)
    mkdir -p "$work/steps"
    {
        echo "Test Case 'Level01Tests.testX' started at noon"
        echo "/A.swift:1: error: Level01Tests.testX : WRONG  a rule"
        echo "$steps"
        echo "Test Case 'Level01Tests.testX' failed (0.5 seconds)"
    } | awk -v folder="$work/steps" -f scripts/lib/results.awk >"$work/lines"
    [ "$(cat "$work/lines")" = "$(printf 'testX\tWRONG\t0.500\tLevel01Tests')" ] || { cat "$work/lines"; return 1; }
    [ "$(tail -n 12 "$work/steps/testX")" = "$steps" ] || { cat "$work/steps/testX"; return 1; }
}

# run_bats TITLE OPTION… FILE…: the tests of these files pass.
run_bats() {
    local title=$1 version
    shift
    version=$(bats --version 2>/dev/null | sed 's/[^0-9]*\([0-9]*\)\.\([0-9]*\).*/\1 \2/' || true)
    case $version in
        "" | "0 "* | "1 "[0-7])
            skip "bats 1.8 or later is missing. Debian: apt install bats. macOS: brew install bats-core." ;;
    esac
    # They build in a folder of their own, so that no warning is lost on check_build.
    within 1500 env SCRATCH="$scratch/commands" bats --formatter tap "$@" >"$work/commands" 2>&1 || {
        awk '/^(not )?ok / { failed = /^not/ } failed || !/^(ok |#|1\.\.)/' "$work/commands"
        return 1
    }
    awk -v title="$title" '
        /^ok / { if (/ # skip/) skipped++; else passed++ }
        END {
            print title ": " passed + 0 " tests pass" (skipped ? ", " skipped " could not be run here" : "")
            exit !passed
        }' "$work/commands" >"$work/summary"
}

# Each command of scripts/course, against recorded answers of the compiler and the graders.
check_course() { run_bats "scripts/course" Tests/Commands/course-*.bats; }

# The commands of scripts/ for those who teach.
check_desk() {
    local file files=()
    for file in Tests/Commands/*.bats; do
        case $file in */course-*) ;; *) files+=("$file") ;; esac
    done
    if [ -n "$quick" ]; then files=(--filter-tags '!build' "${files[@]}"); fi
    run_bats "The commands for those who teach" "${files[@]}"
}

check_pictures() {
    command -v python3 >/dev/null || skip "Python is missing. Debian: apt install python3. macOS: brew install python."
    within 120 scripts/pictures --check
}

# Everything compiles, without a warning. The compiler tells a warning once, when it compiles the file: after a build
# with warnings, or a broken-off one, the log remains and the next build starts afresh.
check_build() {
    local log="$scratch/check-build.log" status=0
    if [ -e "$log" ]; then rm -rf "$scratch/debug" "$scratch"/*/debug; fi
    : >"$log"
    within 900 swift build --build-tests --scratch-path "$scratch" >"$log" 2>&1 || status=$?
    if [ "$status" != 0 ] || grep -q 'warning: ' "$log"; then
        grep -E '(error|warning): ' "$log" | sort -u || tail -n 20 "$log"
        return 1
    fi
    rm "$log"
}

# note_warnings LOG: warnings that another build than check_build has printed must not be lost on it.
note_warnings() {
    grep 'warning: ' "$1" | grep -v "/$subject/" >>"$scratch/check-build.log" || true
    if [ ! -s "$scratch/check-build.log" ]; then rm -f "$scratch/check-build.log"; fi
}

# swift test as in a fresh clone: the engine's tests pass, and levels not begun are skipped.
check_tests() {
    local count
    within 300 swift test --disable-swift-testing --scratch-path "$scratch" >"$work/tests" 2>&1 || {
        grep -A 12 -E ': error: |error: ' "$work/tests" || tail -n 20 "$work/tests"
        return 1
    }
    awk -f "$root/scripts/lib/results.awk" "$work/tests" >"$work/every"
    expect_of_all_levels SKIPPED || return 1
    count=$(awk -F '\t' '$2 == "PASSED"' "$work/every" | wc -l | tr -d ' ')
    if [ "$count" = 0 ]; then echo "no test of the engine ran"; return 1; fi
    echo "swift test: $count tests of the engine pass, levels not begun are skipped" >"$work/summary"
}

# expect_of_all_levels VERDICT: every check of every level in $work/every ended with this verdict.
expect_of_all_levels() {
    local level
    for level in $(all_levels); do
        awk -F '\t' -v class="Level${level}Tests" '$4 == class' "$work/every" >"$work/results"
        expect_all "$1" "$level" || return 1
    done
}

# COURSE=solutions swift test --filter Level: every check of every level passes.
check_solutions() {
    local status=0
    COURSE=solutions within 900 swift test --disable-swift-testing --scratch-path "$scratch" --filter Level \
        >"$work/tests" 2>&1 || status=$?
    rm -rf "$work/texts"
    mkdir "$work/texts"
    awk -v folder="$work/texts" -f "$root/scripts/lib/results.awk" "$work/tests" >"$work/every"
    if [ ! -s "$work/every" ]; then explain_build; fi
    expect_of_all_levels PASSED || return 1
    if [ "$status" != 0 ]; then tail -n 20 "$work/tests"; return 1; fi
    echo "COURSE=solutions swift test: $(wc -l <"$work/every" | tr -d ' ') checks pass," \
        "in $(awk -F '\t' '{ sum += $3 } END { printf "%.2f", sum }' "$work/every") s" >"$work/summary"
}

# A wrong LEVEL or COURSE is answered with what is allowed.
check_switches() {
    refuses "Allowed: 01" LEVEL=99 && refuses "exercises" COURSE=nonsense
}

# refuses WORDS VARIABLE=VALUE: the package does not load, and says why.
refuses() {
    if within 120 env "$2" swift package --scratch-path "$work/refused" describe >"$work/refusal" 2>&1; then
        echo "$2 was taken for good"
        return 1
    fi
    grep -q "$1" "$work/refusal" || {
        echo "$2 does not say what is allowed (\"$1\"), but:"
        cat "$work/refusal"
        return 1
    }
}

# The graders, again and again, with every core busy: --flakes N.
check_flakes() {
    local times=$1 filter=Level of="every grader" cores core run failures=0 busy="" status
    shift
    if [ $# != 0 ]; then filter="Level($(echo "$*" | tr ' ' '|'))Tests" of="the graders of $*"; fi
    COURSE=solutions within 900 swift build --build-tests --scratch-path "$scratch" >"$work/tests" 2>&1 || explain_build
    note_warnings "$work/tests"
    cores=$(getconf _NPROCESSORS_ONLN)
    core=0
    while [ "$core" -lt "$cores" ]; do
        # Ends by itself should this script be killed.
        (while kill -0 "$$" 2>/dev/null; do for _ in 1 2 3 4 5 6 7 8 9; do :; done; done) &
        busy="$busy $!"
        core=$((core + 1))
    done
    run=0
    while [ "$run" -lt "$times" ]; do
        run=$((run + 1))
        status=0
        COURSE=solutions within 300 swift test --skip-build --disable-swift-testing --scratch-path "$scratch" \
            --filter "$filter" >"$work/tests" 2>&1 || status=$?
        if [ "$status" != 0 ] || ! grep -q "Test Case '.*passed" "$work/tests"; then
            failures=$((failures + 1))
            if [ "$failures" = 1 ]; then
                echo "run $run failed first:"
                grep -A 30 ': error: ' "$work/tests" | head -n 40 || tail -n 20 "$work/tests"
            fi
        fi
    done
    kill $busy
    wait $busy 2>/dev/null || true
    echo "$times runs of $of with $cores cores kept busy: $failures failed" >"$work/summary"
    if [ -n "${notes:-}" ]; then cp "$work/summary" "$notes/flakes"; fi
    [ "$failures" = 0 ]
}
