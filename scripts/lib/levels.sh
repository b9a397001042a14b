# Grades the grader of one level: solution, stub, mutants and alternates; to be sourced after common.sh.
#
# Whatever is graded, the subject, is copied into one and the same folder inside the package, to which COURSE points:
# so the manifest is read once, and a build compiles nothing but the level.
#
# Set by the caller: scratch (for --scratch-path), subject (that folder, from the package's root), work (temporary),
# notes (a folder in which the trust report finds what was seen, or empty), sampling (yes: no more mutants than it takes
# for every check to catch one; empty or unset: all).

subject_deadline=90    # seconds for a subject, built and graded, on a machine that has other things to do

# place FOLDER…: the files of these folders, the later ones over the earlier, become the level's module.
# Unchanged files are left alone, so that they are not compiled again.
place() {
    local level=$1 target="$root/$subject/Level$1" file
    shift
    rm -rf "$work/placed"
    mkdir -p "$work/placed" "$target"
    for folder in "$@"; do cp -R "$folder/." "$work/placed/"; done
    (cd "$work/placed" && find . -type f) | while read -r file; do
        if ! cmp -s "$work/placed/$file" "$target/$file"; then
            mkdir -p "$(dirname "$target/$file")"
            cp "$work/placed/$file" "$target/$file"
        fi
    done
    (cd "$target" && find . -type f) | while read -r file; do
        if [ ! -e "$work/placed/$file" ]; then rm "$target/$file"; fi
    done
}

# build_subject NN: what the level's subjects have in common, which may take long the first time.
build_subject() {
    LEVEL=$1 COURSE=$subject within 600 swift build --build-tests --package-path "$root" --scratch-path "$scratch" \
        >"$work/tests" 2>&1 || explain_build || return 1
    note_warnings "$work/tests"
}

explain_build() {
    echo "  does not compile:"
    { grep -E 'error: ' "$work/tests" || tail -n 5 "$work/tests"; } | head -n 5 | sed 's/^/    /'
    return 1
}

# grade_subject NN [FILTER]: builds and grades what was placed, and writes $work/results (see results.awk).
# Fails, after telling why, if there are no results.
grade_subject() {
    local status=0
    LEVEL=$1 COURSE=$subject within "$subject_deadline" swift test --disable-swift-testing --package-path "$root" \
        --scratch-path "$scratch" --filter "${2:-Level$1Tests/}" >"$work/tests" 2>&1 || status=$?
    rm -rf "$work/texts"
    mkdir "$work/texts"
    awk -v folder="$work/texts" -f "$root/scripts/lib/results.awk" "$work/tests" >"$work/results"
    if [ "$status" = 124 ]; then
        echo "  took longer than $subject_deadline s and was ended"
        return 1
    fi
    if [ ! -s "$work/results" ]; then explain_build; fi
}

# verdict_of CHECK: its verdict in $work/results, or NOT RUN.
verdict_of() { awk -F '\t' -v name="$1" '$1 == name { v = $2 } END { print (v ? v : "NOT RUN") }' "$work/results"; }

# The text of a failed check, or how it ended.
show_check() {
    if [ -s "$work/texts/$1" ]; then sed 's/^/    /' "$work/texts/$1"; else echo "    $1: $(verdict_of "$1")"; fi
}

# head_line NAME PATCH: the value of a line such as "Caught by: testX".
head_line() { sed -n "/^--- /q; s/^$1: *//p" "$2" | head -n 1; }

# note NN FIELD…: a line of what was seen, fields between tabs.
note() {
    local level=$1 tab
    [ -n "${notes:-}" ] || return 0
    tab=$(printf '\t')
    shift
    (IFS=$tab; printf '%s\n' "$*") >>"$notes/$level"
}

# What a failed check says, without what differs from run to run: the folder that was graded, ports, how long was
# waited, and lines of Swift's own library.
normal_text() {
    sed -E -e "s|$root/||g; s|$subject/Level$1/|$(folder_of Levels "$1")/|g" \
        -e 's|Swift/[A-Za-z]+\.swift:[0-9]+|Swift/FILE.swift:N|g' \
        -e 's/(nothing came within) [0-9.]+ s/\1 N s/g' \
        -e 's/(localhost|127\.0\.0\.1):[0-9]+/\1:PORT/g' "$work/texts/$2"
}

# check_text NN CHECK FILE: the text of the failed check is the one that is kept.
check_text() {
    normal_text "$1" "$2" >"$work/text"
    if ! diff -u "$3" "$work/text" >"$work/difference"; then
        echo "  the failure no longer says what ${3#"$root/"} says; scripts/check --texts $1 writes it anew:"
        sed '1,2d; s/^/    /' "$work/difference"
        return 1
    fi
}

# update_texts NN…: writes the kept failure texts anew. An empty file is the way to begin one.
update_texts() {
    local level file patch check
    for level in "$@"; do
        [ -d "$root/Tests/FailureTexts/Level$level" ] || continue
        place "$level" "$root/$(folder_of Solutions "$level")"
        build_subject "$level" || return 1
        for file in "$root/Tests/FailureTexts/Level$level/"*.txt; do
            [ -e "$file" ] || break
            patch=$root/Tests/Mutants/Level$level/$(basename "$file" .txt).patch
            [ -e "$patch" ] || { echo "$file belongs to no mutant" >&2; return 1; }
            check=$(head_line 'Caught by' "$patch" | sed 's/,.*//')
            place_mutant "$level" "$patch" && grade_subject "$level" "Level${level}Tests/$check\$" || return 1
            if [ ! -s "$work/texts/$check" ]; then echo "$patch is not caught by $check" >&2; return 1; fi
            normal_text "$level" "$check" >"$file"
            echo "wrote ${file#"$root/"}"
        done
    done
}

# expect_all VERDICT NN: every check of the level ended with this verdict.
expect_all() {
    local wanted=$1 check failed=0
    for check in $(checks_of "$2"); do
        if [ "$(verdict_of "$check")" != "$wanted" ]; then
            echo "  $check: expected $wanted, got $(verdict_of "$check")"
            if [ "$failed" = 0 ]; then show_check "$check"; fi
            failed=1
        fi
    done
    return "$failed"
}

check_solution() {
    place "$1" "$root/$(folder_of Solutions "$1")"
    build_subject "$1" || return 1
    grade_subject "$1" || return 1
    expect_all PASSED "$1" || return 1
    grader_seconds=$(awk -F '\t' '{ sum += $3 } END { printf "%.2f", sum }' "$work/results")
}

check_stub() {
    place "$1" "$root/$(folder_of Levels "$1")"
    grade_subject "$1" || return 1
    expect_all "NOT STARTED" "$1"
}

# place_mutant NN PATCH: the solution with this mistake becomes the subject.
place_mutant() {
    rm -rf "$work/mutant"
    cp -R "$root/$(folder_of Solutions "$1")" "$work/mutant"
    # Without a repository around it, git applies a patch to the folder it stands in.
    (cd "$work/mutant" && GIT_DIR=/dev/null git apply -p1 "$2") 2>"$work/apply" || {
        echo "  the patch does not fit the solution:"
        sed 's/^/    /' "$work/apply"
        return 1
    }
    place "$1" "$work/mutant"
}

# check_mutant NN PATCH: the mistake is caught by the checks that the patch names, with the verdict that it names.
check_mutant() {
    local level=$1 patch=$2 checks check verdict text failed=0
    checks=$(head_line 'Caught by' "$patch" | tr ',' ' ')
    verdict=$(head_line Verdict "$patch")
    verdict=${verdict:-WRONG}
    if [ -z "$checks" ]; then echo "  the line \"Caught by: testX\" is missing"; return 1; fi
    if [ -z "$(head_line Misunderstood "$patch")" ]; then
        echo "  the line \"Misunderstood: …\" is missing"
        return 1
    fi
    for check in $checks; do
        if ! checks_of "$level" | grep -qx "$check"; then
            echo "  the grader has no check $check"
            return 1
        fi
    done
    place_mutant "$level" "$patch" || return 1
    grade_subject "$level" "Level${level}Tests/($(echo $checks | tr ' ' '|'))\$" || return 1
    for check in $checks; do
        if [ "$(verdict_of "$check")" != "$verdict" ]; then
            echo "  $check: expected $verdict, got $(verdict_of "$check")"
            if [ "$(verdict_of "$check")" != PASSED ]; then show_check "$check"; fi
            failed=1
        fi
    done
    text=$root/Tests/FailureTexts/Level$level/$(basename "$patch" .patch).txt
    if [ "$failed" = 0 ] && [ -e "$text" ]; then
        # shellcheck disable=SC2086
        check_text "$level" "$(printf '%s\n' $checks | head -n 1)" "$text" || failed=1
    fi
    for check in $checks; do echo "$check" >>"$work/catching"; done
    return "$failed"
}

# The chapter of a level in Course.md.
chapter_of() {
    awk -v chapter="$((10#$1))" '
        /^```/ { fenced = !fenced }
        !fenced && /^##? / { inside = (/^## Chapter / && $3 + 0 == chapter + 0) }
        inside { print }' "$root/Course.md"
}

# mutants_in_turn NN: the patches of a level. Each commit begins with another one, so that in time all have their turn.
mutants_in_turn() {
    local first
    first=$(git -C "$root" rev-parse HEAD 2>/dev/null | cksum | cut -d ' ' -f 1)
    find "$root/Tests/Mutants/Level$1" -name '*.patch' | LC_ALL=C sort | awk -v first="$first" '
        { file[NR] = $0 }
        END { for (i = 0; i < NR; i++) print file[(first + i) % NR + 1] }'
}

# is_spare NN PATCH: each check that must catch it has caught another one already, and no kept text waits for it.
is_spare() {
    local check
    if [ -e "$root/Tests/FailureTexts/Level$1/$(basename "$2" .patch).txt" ]; then return 1; fi
    for check in $(head_line 'Caught by' "$2" | tr ',' ' '); do
        grep -qx "$check" "$work/catching" || return 1
    done
}

# The whole of one level. Writes its summary to $work/summary.
check_level() {
    local level=$1 file name check found verdict failed=0 mutants=0 spared=0 alternates=0 grader_seconds=0
    : >"$work/catching"
    if [ -z "$(checks_of "$level")" ]; then
        echo "Tests/Graders/Level${level}Tests.swift holds no check."
        return 1
    fi
    if rules_of "$level" | awk -F '\t' '$1 == $2 { print "  " $1; found = 1 } END { exit !found }' >"$work/why"; then
        failed=1
        echo "scripts/grade finds no rule for these checks; write it as the first text of the check:"
        cat "$work/why"
    fi
    if chapter_of "$level" | grep -q '^\*To be written\.\*$'; then
        failed=1
        echo "Chapter $((10#$level)) of Course.md is not written yet: *To be written.*"
    fi
    check_solution "$level" >"$work/why" || { failed=1; echo "The solution does not pass:"; cat "$work/why"; }
    note "$level" grader "$grader_seconds"
    check_stub "$level" >"$work/why" || { failed=1; echo "The stub is not simply NOT STARTED:"; cat "$work/why"; }
    for file in "$root/Tests/FailureTexts/Level$level/"*.txt; do
        if [ -e "$file" ] && [ ! -e "$root/Tests/Mutants/Level$level/$(basename "$file" .txt).patch" ]; then
            failed=1
            echo "${file#"$root/"} belongs to no mutant."
        fi
    done
    for file in $(mutants_in_turn "$level"); do
        name=${file#"$root/"}
        if [ -n "${sampling:-}" ] && is_spare "$level" "$file"; then
            spared=$((spared + 1))
            continue
        fi
        if check_mutant "$level" "$file" >"$work/why"; then
            mutants=$((mutants + 1))
            found=caught
        else
            failed=1
            found="not caught"
            echo "$name is not caught as it should be:"
            cat "$work/why"
        fi
        verdict=$(head_line Verdict "$file")
        note "$level" mutant "$(basename "$file" .patch)" "$found" "$(head_line 'Caught by' "$file")" "${verdict:-WRONG}" \
            "$(head_line Misunderstood "$file")"
    done
    for check in $(checks_of "$level"); do
        if ! grep -qx "$check" "$work/catching"; then
            note "$level" idle "$check"
            failed=1
            echo "$check catches nothing: no patch in Tests/Mutants/Level$level says \"Caught by: $check\"."
        fi
    done
    for file in "$root/Tests/Alternates/Level$level/"*/; do
        [ -d "$file" ] || break
        name=${file#"$root/"}
        place "$level" "$root/$(folder_of Solutions "$level")" "${file%/}"
        if { grade_subject "$level" && expect_all PASSED "$level"; } >"$work/why"; then
            alternates=$((alternates + 1))
            note "$level" alternate "$(basename "$file")" accepted
        else
            failed=1
            note "$level" alternate "$(basename "$file")" "not accepted"
            echo "$name is a valid answer, but is not accepted:"
            cat "$work/why"
        fi
    done
    if [ "$spared" != 0 ]; then mutants="$mutants of $((mutants + spared))"; fi
    echo "Level $level – $(title_of "$level"): $(checks_of "$level" | wc -l | tr -d ' ') checks," \
        "$mutants mutants caught, $alternates alternates accepted, grader $grader_seconds s" >"$work/summary"
    return "$failed"
}

# check_levels NN…: each level is a part of its own. One more is checked at once than there are cores, as a mistake that
# makes a server fall silent costs seconds of waiting. Each lane has folders of its own; a lane that is done with a
# level takes the next one that nobody has taken.
check_levels() {
    local lanes lane all=$work lane_passed lane_failed
    lanes=$(($(getconf _NPROCESSORS_ONLN) + 1))
    if [ "$lanes" -gt "$#" ]; then lanes=$#; fi
    lane=0
    while [ "$lane" -lt "$lanes" ]; do
        lane=$((lane + 1))
        check_lane "$lane" "$@" &
    done
    wait
    for lane in "$all"/lane-*; do
        read -r lane_passed lane_failed <"$lane/counts"
        passed=$((passed + lane_passed)) failed=$((failed + lane_failed))
    done
}

# check_lane LANE NN…: in a shell of its own.
check_lane() {
    local lane=$1 all=$work level
    shift
    passed=0 failed=0
    work=$all/lane-$lane
    mkdir "$work"
    if [ "$lane" != 1 ]; then scratch=$scratch/lane-$lane subject=$subject-$lane; fi
    for level in "$@"; do
        mkdir "$all/taken-$level" 2>/dev/null || continue
        part "Level $level – $(title_of "$level")" check_level "$level" >"$work/lines"
        cat "$work/lines"
    done
    echo "$passed $failed" >"$work/counts"
}
