# What Course.md and README.md say must hold; to be sourced after servers.sh.

documents="README.md Course.md"

check_links() {
    command -v python3 >/dev/null || skip "Python is missing. Debian: apt install python3. macOS: brew install python."
    # shellcheck disable=SC2086
    python3 -B -X utf8 scripts/lib/documents.py links $documents
}

check_code_blocks() {
    command -v python3 >/dev/null || skip "Python is missing. Debian: apt install python3. macOS: brew install python."
    # shellcheck disable=SC2086
    within 900 python3 -B -X utf8 scripts/lib/documents.py blocks --bin "$(bin_folder)" --scratch "$scratch" $documents \
        >"$work/blocks" || {
        cat "$work/blocks"
        return 1
    }
    if grep '^SKIPPED' "$work/blocks" >"$work/skips"; then skip "$(sed 's/^SKIPPED: //' "$work/skips" | sort -u)"; fi
    tail -n 1 "$work/blocks" >"$work/summary"
}

# Every public declaration of the engine is documented, and docc accepts it.
check_documentation() {
    command -v python3 >/dev/null || skip "Python is missing. Debian: apt install python3. macOS: brew install python."
    command -v docc >/dev/null || skip "docc is missing, which comes with the Swift toolchain."
    SCRATCH=$scratch/docs within 600 scripts/docs "$work/site" >/dev/null
}
