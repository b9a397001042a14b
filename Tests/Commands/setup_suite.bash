# Run once before all tests: the copies of the course that each test begins with a copy of.

setup_suite() {
    # bats 1.8 leaves a comma in it when tests are chosen by tag.
    local IFS=$' \t\n'
    local here whole=$BATS_SUITE_TMPDIR/whole five=$BATS_SUITE_TMPDIR/five
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    . "$here/commands.bash"

    mkdir "$whole" "$five"
    for file in "$root"/* "$root"/.ci "$root"/.devcontainer "$root"/.github "$root"/.gitignore "$root"/.swift-format \
        "$root"/.vscode
    do
        case $file in "$root/Levels" | "$root/Saved") ;; *) echo "${file#"$root"/}" ;; esac
    done >"$BATS_SUITE_TMPDIR/names"
    # Without what was built.
    tar -cf - -C "$root" --exclude .build -T "$BATS_SUITE_TMPDIR/names" | tar -xf - -C "$whole"
    (cd "$whole" && scripts/stubs >/dev/null)

    # No more than the tests need, for it is copied for each of them.
    for name in Course.md .gitignore Engine Levels Solutions; do cp -R "$whole/$name" "$five/$name"; done
    mkdir "$five/scripts" "$five/Tests"
    for name in check class course grade lib new-level stubs; do
        cp -R "$whole/scripts/$name" "$five/scripts/$name"
    done
    for name in Graders GraderKit; do cp -R "$whole/Tests/$name" "$five/Tests/$name"; done
    awk '/^    "[0-9][0-9]-/ && ++level > 5 { next } { print }' "$whole/Package.swift" >"$five/Package.swift"
    for level in $(all_levels | sed 1,5d); do
        rm -r "$five"/Levels/Level"$level"-* "$five"/Solutions/Solution"$level"-*
        rm "$five/Tests/Graders/Level${level}Tests.swift"
    done

    # The records of one_failed and one_passed. In a shell of its own, as what is set here is set for all tests.
    cp -R "$five" "$BATS_SUITE_TMPDIR/graded"
    (
        cd "$BATS_SUITE_TMPDIR/graded" || exit 1
        PATH=$here/stand-in:$PATH
        solve 01 "// fails: testBinaryComesBackAsItIs"
        scripts/grade 01 >/dev/null || mv .build/course/01 "$BATS_SUITE_TMPDIR/failed"
        solve 01
        scripts/grade 01 >/dev/null
        mv .build/course/01 "$BATS_SUITE_TMPDIR/passed"
    )
}
