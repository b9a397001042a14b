#!/usr/bin/env bats
# scripts/class.

load commands

# student NAME [LINE…]: a clone whose level 01 is the solution, with these lines below it.
student() {
    local name=$1
    shift
    solve 01 "$@"
    mkdir -p "$work/class/$name/Levels"
    mv "$one" "$work/class/$name/Levels/"
    mkdir "$one"
}

@test "class: --help, and a wrong option" {
    helps scripts/class
}

@test "class: bad input is answered with a sentence or the usage, and 2" {
    runs 2 scripts/class
    complains "scripts/class DIR"
    runs 2 scripts/class --level 99 "$work"
    complains "There is no level 99"
    runs 2 scripts/class --csv "$work/nowhere/x.csv" "$work"
    complains "cannot be written"
    runs 2 scripts/class --seconds soon "$work"
    complains "want a number"
    runs 2 scripts/class --csv
    prints_nothing
}

# They need no build: nothing there, no such folder, and the untouched exercise.
@test "class: clones without files, or not begun" {
    total=$(checks_in 01)
    mkdir -p "$work/none/=2+2/Levels" "$work/none/empty"
    cp -R "$one" "$work/none/=2+2/Levels/"
    runs 1 scripts/class --level 01 --csv "$work/none.csv" --html "$work/none.html" "$work/none/"* "$work/none/<gone>"
    prints "^=2+2  *-  *0 of $total$"
    prints "^empty  *?  *0 of $total$"
    prints "there is no folder $work/none/empty/Levels"
    complains_of_nothing
    is_plain
    grep -q "^\"'=2+2\",0,$total,\"not begun\",0$" "$work/none.csv"
    grep -q '&lt;gone&gt;' "$work/none.html"
    not grep -q '<gone>' "$work/none.html"
}

@test "class: right, wrong, crash, endless loop, compile error: a row each" {
    total=$(checks_in 01)
    student anna
    student ben "// crashes: testBinaryComesBackAsItIs"
    student carla "// never ends: testBinaryComesBackAsItIs"
    student dora "// does not compile"
    student emil "// fails: testBinaryComesBackAsItIs"
    runs 0 scripts/class --level 01 --seconds 3 --csv "$work/class.csv" --html "$work/class.html" "$work/class/"*
    prints "^anna  *$total/$total  *$total of $total$"
    prints "^ben  *$((total - 1))/$total C  *$((total - 1)) of $total$"
    prints "^carla  *$((total - 1))/$total T "
    prints "^dora  *N  *0 of $total$"
    prints "^emil  *$((total - 1))/$total  "
    is_plain
    grep -q "^\"anna\",$total,$total,\"passed\",$total$" "$work/class.csv"
    grep -q "^\"dora\",0,$total,\"does not compile\",0$" "$work/class.csv"
    grep -q "error: cannot find 'x' in scope" "$work/class.html"
    [ "$(wc -l <"$work/class.csv" | tr -d ' ')" = 6 ]
}

@test "class: no colours in a terminal with NO_COLOR" {
    student anna
    NO_COLOR=1 in_terminal 0 scripts/class --level 01 "$work/class/anna"
    says "anna "
    is_plain
}

# bats test_tags=build
@test "class: what students' code really does, built and run: a row each" {
    cd "$root"
    PATH=$real_path
    export SCRATCH=$build_folder
    # built NAME [SED-SCRIPT]: the solution, changed by the script.
    built() {
        mkdir -p "$work/class/$1/$one"
        sed "${2:-}" Solutions/Solution01-BasicEcho/BasicEcho.swift >"$work/class/$1/$one/BasicEcho.swift"
    }
    built anna
    built ben 's/case .text(let text): try await socket.send("Echo/case .text(let text): exit(text.isEmpty ? 3 : 0); ("Echo/;
        s/^import LevelKit/import Foundation\nimport LevelKit/'
    built dora 's/try await socket.accept()/try await socket.accept(/'
    built emil 's/try await socket.send("Echo: /try await socket.send("echo: /'
    local more='UnsafeMutableRawPointer.allocate(byteCount: 1 << 30, alignment: 1)'
    built finn "s/let app = Application()/let app = Application(); while true { _ = $more }/"
    mkdir -p "$work/class/gone"
    runs 1 scripts/class --level 01 --csv "$work/class.csv" --html "$work/class.html" "$work/class/"*
    prints "^anna  *9/9  *9 of 9$"
    prints "^ben  *[0-9]/9 C "
    prints "^dora  *N  *0 of 9$"
    prints "^emil  *[1-8]/9  "
    prints "^finn  *0/9 C "
    prints "^gone  *? "
    grep -q '^"anna",9,9,"passed",9$' "$work/class.csv"
    grep -q '^"dora",0,9,"does not compile",0$' "$work/class.csv"
    grep -q '^ *Levels/Level01-BasicEcho/BasicEcho.swift:.*error: ' "$work/class.html"
    is_plain
    built carla 's/let app = Application()/let app = Application(); while true {}/'
    runs 0 scripts/class --level 01 --seconds 15 "$work/class/carla"
    prints "^carla  *0/9 T "
}
