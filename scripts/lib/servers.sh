# How a level's server behaves to the shell and to other people's clients; to be sourced after common.sh.
# The programs are those that check_build has built.

bin_folder() { swift build --scratch-path "$scratch" --show-bin-path 2>/dev/null; }

# start_server PROGRAM [OPTION…]: on a free port. Sets server (its pid) and port.
start_server() {
    local tries=0
    : >"$work/server"
    "$@" --port 0 >"$work/server" 2>"$work/server-errors" &
    server=$!
    port=""
    while [ -z "$port" ]; do
        port=$(sed -n 's/^.*http:\/\/[^ ]*:\([0-9][0-9]*\).*$/\1/p' "$work/server" | head -n 1)
        tries=$((tries + 1))
        if ! kill -0 "$server" 2>/dev/null || [ "$tries" -gt 100 ]; then
            echo "$1 does not listen:"
            cat "$work/server" "$work/server-errors"
            return 1
        fi
        [ -n "$port" ] || sleep 0.05
    done
}

# stop_server: asks it to end, which it must do with exit status 0.
stop_server() {
    local status=0 tries=0
    kill -TERM "$server"
    while kill -0 "$server" 2>/dev/null && [ "$tries" -lt 200 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    kill -KILL "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || status=$?
    if [ "$status" != 0 ]; then
        echo "after SIGTERM the server ended with $status, not with 0"
        return 1
    fi
}

# complains WORDS COMMAND…: ends with exit status 2 and one line on the standard error that has these words.
complains() {
    local words=$1 status=0
    shift
    within 10 "$@" >"$work/said" 2>"$work/complaint" || status=$?
    if [ "$status" != 2 ] || [ "$(wc -l <"$work/complaint" | tr -d ' ')" != 1 ] || [ -s "$work/said" ] ||
        ! grep -q -e "$words" "$work/complaint"; then
        echo "expected one line with \"$words\" and exit status 2 from $(basename "$1") ${*:2}"
        echo "     got exit status $status and:"
        cat "$work/said" "$work/complaint"
        return 1
    fi
}

# Every solution starts, ends well on SIGTERM, and says in one line what is wrong with its command line.
check_servers() {
    local bin level program
    bin=$(bin_folder)
    for level in $(all_levels); do
        program="$bin/Solution$level"
        start_server "$program"
        complains "Port $port is in use" "$program" --port "$port"
        complains "--port" "$program" --port 70000
        complains "--port" "$program" --port http
        complains "--port" "$program" --port
        complains "--nonsense" "$program" --nonsense
        "$program" --help | grep -q -- --port
        stop_server
    done
}

# Peers of other makes: those that are here. The summary names those that are not.
check_interoperability() {
    local missing
    BIN=$(bin_folder) scripts/interoperability >"$work/interoperability" 2>&1 || {
        cat "$work/interoperability"
        return 1
    }
    missing=$(sed -n 's/^– .*: skipped\. //p' "$work/interoperability" | sort -u | tr '\n' ' ')
    grep -q '^✔' "$work/interoperability" || skip "$missing"
    echo "Interoperability: $(tail -n 1 "$work/interoperability")${missing:+. $missing}" >"$work/summary"
}

# The page of every level in a real browser.
check_page() {
    local level status=0
    for level in $(all_levels); do
        SCRATCH=$scratch within 90 scripts/test-page "$level" >"$work/page" 2>&1 || status=$?
        if [ "$status" = 77 ]; then skip "$(sed 's/^SKIPPED: //' "$work/page")"; fi
        if [ "$status" != 0 ]; then
            echo "scripts/test-page $level:"
            cat "$work/page"
            return 1
        fi
    done
}

# The chat page of level 17, with two people.
check_chat() {
    local status=0
    SCRATCH=$scratch within 200 scripts/test-chat >"$work/chat" 2>&1 || status=$?
    if [ "$status" = 77 ]; then skip "$(sed 's/^SKIPPED: //' "$work/chat")"; fi
    if [ "$status" != 0 ]; then
        grep -v '^passed' "$work/chat"
        return 1
    fi
    echo "The chat page in Chromium: $(tail -n 1 "$work/chat")" >"$work/summary"
}

# A real server is told to stop while clients are connected: each is told 1001, and the server ends with 0, also when
# one of them does not answer.
check_shutdown() {
    local bin name status
    command -v python3 >/dev/null || skip "python3 is missing. Debian: apt install python3. macOS: brew install python."
    bin=$(bin_folder)
    for name in SIGINT SIGTERM; do
        start_server "$bin/EchoServer"
        status=0
        within 30 python3 -B "$root/scripts/lib/soak.py" shutdown "$port" "$server" "$name" \
            "$([ "$name" = SIGTERM ] && echo --silent || true)" || status=1
        # It has been told; a second signal would end it at once, with another status.
        within 5 wait_for_end "$server" || status=1
        kill -KILL "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || {
            echo "after $name the server ended with $?, not with 0"
            status=1
        }
        [ "$status" = 0 ] || return 1
    done
}

# The terminal client of level 16, in pseudo-terminals, in a pipe, and with its server killed in between.
check_terminal() {
    command -v python3 >/dev/null || skip "python3 is missing. Debian: apt install python3. macOS: brew install python."
    within 60 python3 -B -X utf8 "$root/scripts/lib/terminal.py" "$(bin_folder)/Solution16"
}

wait_for_end() { while kill -0 "$1" 2>/dev/null; do sleep 0.05; done; }
