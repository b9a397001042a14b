import Foundation
import GraderKit
import Level16
import WebSocketEngine
import XCTest

/// Level 16 – The client. Chapter 16 of Course.md.
final class Level16Tests: XCTestCase {
    // MARK: - The server, for plain clients

    func testATextIsToldToAllOthers() throws {
        try grade(TheClient.self, "a text is told to all others as [Alice]: Hello, and never to oneself") {
            room in
            let alice = try enter(room, "Alice")
            let bob = try enter(room, "Bob")
            let cy = try room.connect("Cy", to: chat)
            try cy.send([1, 2, 3])
            try cy.send("Cy")
            try cy.expect("[Server]: Welcome, Cy.", "binary is ignored also before the name: await a text")
            let texts = ["Hello", " two  spaces ", "", #"{"type":"hello"}"#, "日本語 👩‍👩‍👧\n\"quoted\"", "last"]
            for text in texts { try alice.send(text) }
            try alice.send([1, 2, 3])
            for other in [bob, cy] {
                for text in texts {
                    try hinting(
                        ifGot: "text \"[Cy]: Cy\"",
                        "the first text is the name, and only that: nobody is told"
                    ) {
                        try other.expect("[Alice]: \(text)", "unchanged, with the name before it")
                    }
                }
            }
            try bob.send("Hi")
            let hint = "whoever says something knows it: only the others are told"
            try alice.expect("[Bob]: Hi", hint)
            try cy.expect("[Bob]: Hi", "binary messages are ignored")
        }
    }

    func testALeaveIsAnnounced() throws {
        try grade(TheClient.self, "those who stay are told who has left, and the name is free") { room in
            let bob = try enter(room, "Bob")
            let leaves: [(Client) throws -> Void] = [
                { try $0.close() }, { try $0.closeWithoutCode() }, { try $0.close(code: 4000) },
                { $0.drop() },
                { $0.drop(reset: true) },
            ]
            for leave in leaves {
                let alice = try hinting(
                    ifGot: "close 4009",
                    "Alice has left, and whoever has left needs no name any more: set it free"
                ) { try enter(room, "Alice") }
                try leave(alice)
                try bob.expect(
                    "[Server]: Alice has left the chat.",
                    "whichever way its connection has ended, a plain client cannot come back: it has left")
            }
            // Those who never had a name were never here.
            try room.connect("Nobody", to: chat).close()
            let cy = try enter(room, "Cy")
            try cy.send("Hi")
            try bob.expect("[Cy]: Hi", "whoever has no name yet is not in the chat")
        }
    }

    func testNamesAreChecked() throws {
        try grade(
            TheClient.self, "a name that is taken, empty or too long is refused, and nobody else notices"
        ) {
            room in
            let alice = try enter(room, "Alice")
            let longest = String(repeating: "é", count: 32)
            let bob = try enter(room, longest, as: "Bob")
            for name in ["Alice", longest, "Server"] {
                try expectRefusal(
                    room, name, 4009, "Username taken",
                    name == "Server"
                        ? "as Server, anybody could announce anything: the name is the server's own"
                        : "one name is one person, and this one is here already")
            }
            for name in ["", longest + "é"] {
                try expectRefusal(room, name, 1008, "Invalid username", "1 to 32 characters")
            }
            try bob.send("Hi")
            try alice.expect(
                "[\(longest)]: Hi", "a client that is refused was never here: it cannot leave either")
            _ = try enter(room, "alice")
        }
    }

    // MARK: - The client

    func testTypesAndListensAtOnce() throws {
        try grade(TheClient.self, "the client sends each line as it is typed, and shows at once what comes") {
            room in
            let server = try ScriptedServer(in: room)
            let alice = start("Alice", at: server, in: room)
            let line = try server.nextCaller("connect at once, before anything is typed").accept()
            try line.expect(
                "Alice", "the name is the first text, if the server does not choose the subprotocol")
            for text in ["one", "", "  two  ", "{three}"] {
                alice.types(text)
                try line.expect(text, "every line is sent, as it was typed")
            }
            let hint = "receiving must not wait for the keyboard, nor for anything else"
            for text in ["[Bob]: Hi", "", "{not JSON", "[1,2]"] {
                try line.send(text)
                try alice.expect(sees: text, hint)
            }
            try line.send([1, 2, 3])
            try line.send(#"{"type":"message","room":"tea","user":"bob","message":"hi","time":"…"}"#)
            try alice.expect(sees: "[bob]: hi", "an event of level 17 is shown as readable(text) has it")
            for n in 1...50 { alice.types("\(n)") }
            for n in 1...50 { try line.send("\(n)") }
            for n in 1...50 { try alice.expect(sees: "\(n)", "in the order in which they came") }
            for n in 1...50 { try line.expect("\(n)", "in the order in which they were typed") }
            // Without a name the client says nothing by itself.
            let anna = start(nil, at: server, in: room)
            let caller = try server.nextCaller()
            if !caller.offers.isEmpty {
                throw room.wrong("a client without a name cannot say hello: offer nothing")
            }
            let second = caller.accept()
            anna.types("first")
            try second.expect("first", "without a name, nothing is sent but what is typed")
        }
    }

    func testPausesGrowAndAreRandom() throws {
        let rule = "each pause is random, up to 1 s, then 2, 4, 8, 16, and 30 s from there on"
        try grade(TheClient.self, rule, prepare: { $0.clock.useManualTime() }) { room in
            let server = try ScriptedServer(in: room, listening: false)
            let limits = [1.0, 2, 4, 8, 16] + [Double](repeating: 30, count: 66)
            func check(_ pause: Duration, after failures: Int) throws {
                let limit = limits[failures]
                if pause > .seconds(limit) {
                    throw room.wrong(
                        "expected a pause of at most \(limit) s after failure \(failures + 1) in a row",
                        "     got \(pause)",
                        hint: "min(cap, base · 2ⁿ) is the limit, with n = 0 for the first")
                }
            }
            // Many clients with different seeds, and then one that finds no server for long.
            var pauses: [[Duration]] = []
            for seed in 1...20 {
                let person = start("Alice", at: server, in: room, seed: UInt64(seed))
                pauses.append(
                    try limits.prefix(6).indices.map { failures in
                        let pause = try server.pause(
                            "after each failure, sleep on the clock that you were given")
                        try check(pause, after: failures)
                        return pause
                    })
                try person.expectNotices(6, "say what is going on")
                person.interrupts()
                try person.expectEnd()
            }
            for failures in limits.prefix(6).indices {
                let all = pauses.map { $0[failures] }
                let hint =
                    Set(all).count > 1 || all.contains(.seconds(limits[failures]))
                    ? "full jitter: any time from 0 up to the limit, or all clients come back together"
                    : "all 20 waited equally long: the seed that init is given decides the pauses"
                if all.allSatisfy({ $0 > .seconds(limits[failures] / 2) }) {
                    throw room.wrong(
                        "of 20 clients, none waited less than \(limits[failures] / 2) s after failure \(failures + 1)",
                        hint: hint)
                }
                if all.allSatisfy({ $0 < .seconds(limits[failures] / 2) }) {
                    throw room.wrong(
                        "of 20 clients, none waited more than \(limits[failures] / 2) s after failure \(failures + 1)",
                        hint: Set(all).count == 1 ? hint : "the limit doubles after each failure, up to 30 s")
                }
                if Set(all).count < 15 {
                    throw room.wrong(
                        "expected 20 clients with different seeds to wait differently long",
                        "     got \(Set(all).count) different pauses after failure \(failures + 1)",
                        hint: hint)
                }
            }
            let alice = start("Alice", at: server, in: room)
            for failures in limits.indices {
                try hinting(
                    ifCrashed: failures < 60
                        ? nil : "after 63 failures in a row a doubled Int overflows: stop doubling at the cap"
                ) { try check(try server.pause(), after: failures) }
            }
            server.listen()
            _ = try server.pause()
            try server.nextConnection().expect("Alice", "however long it takes, it goes on trying")
            _ = alice
        }
    }

    func testPausesBeginAnewAfterASuccess() throws {
        let rule = "the pauses begin anew when the server has said something, not with the handshake"
        try grade(TheClient.self, rule, prepare: { $0.clock.useManualTime() }) { room in
            let server = try ScriptedServer(in: room)
            _ = start("Alice", at: server, in: room)
            var longest = Duration.zero
            for _ in 1...12 {
                let line = try server.nextConnection()
                try line.expect("Alice")
                line.drop()
                longest = max(longest, try server.pause())
            }
            if longest <= .seconds(1) {
                throw room.wrong(
                    "12 connections broke before the server said anything, and no pause was longer than 1 s",
                    hint: "a server that accepts and fails at once is no success: wait until it speaks")
            }
            for round in 1...12 {
                let caller = try server.nextCaller()
                if round % 2 == 0 {
                    try caller.accept(subprotocol: "chat.resume.v1").welcome(received: 0, from: 1).drop()
                } else {
                    let line = caller.accept()
                    try line.expect("Alice")
                    try line.send("Hi")
                    try line.close(code: 1001)
                }
                let pause = try server.pause()
                if pause > .seconds(1) {
                    throw room.wrong(
                        "expected a pause of at most 1 s after a connection that worked", "     got \(pause)",
                        hint: "begin with the shortest again as soon as the server has said something")
                }
            }
        }
    }

    func testNothingIsLostOrDoubledWhereverItBreaks() throws {
        let rule = "nothing is lost, doubled or out of order, wherever and however the connection breaks"
        try grade(TheClient.self, rule, prepare: { $0.clock.useManualTime() }) { room in
            let typed = (1...8).map { "line \($0)" }
            for place in Place.allCases {
                for cut in Cut.allCases {
                    let server = try ScriptedServer(in: room)
                    let alice = start("Alice", at: server, in: room)
                    var record = Record()
                    for text in typed[..<6] { alice.types(text) }
                    let line = try hintingIfADisconnectWasThrown {
                        for _ in 1...2 {
                            try record.lose(at: place, cut, server, room)
                            _ = try server.pause()
                        }
                        alice.types(typed[6])
                        return try record.connect(to: server, room)
                    }
                    alice.types(typed[7])
                    while record.heard.count < typed.count { try record.hear(line, room) }
                    alice.endsTyping()
                    try line.expectClose(1000, "with everything acknowledged, the client may leave")
                    line.drop()
                    if record.heard != typed {
                        throw room.wrong(
                            "expected the server to hear \(typed)", "     got \(record.heard)",
                            hint: "in the order in which it was typed, also when it is sent again")
                    }
                    let hint =
                        "every event is shown once: seen follows each of them, and the next hello says "
                        + "from where to go on"
                    for text in record.said { try alice.expect(sees: text, hint) }
                    try alice.expectEnd(hint)
                }
            }
        }
    }

    func testAServerThatForgot() throws {
        let rule =
            "a server that was started anew gets what was not acknowledged, and numbers its events anew"
        try grade(TheClient.self, rule, prepare: { $0.clock.useManualTime() }) { room in
            let server = try ScriptedServer(in: room)
            let alice = start("Alice", at: server, in: room)
            var line = try server.nextCaller().accept(subprotocol: "chat.resume.v1").welcome(
                received: 0, from: 1)
            for n in 1...3 { try line.send(json: .event(n, "before \(n)")) }
            for n in 1...3 { try alice.expect(sees: "before \(n)") }
            for text in ["one", "two"] { alice.types(text) }
            try line.expect(json: .message(1, "one"))
            try line.expect(json: .message(2, "two"))
            try line.send(json: ["type": "ack", "n": 1])
            try line.close(code: 1012)
            _ = try server.pause()
            line = try server.nextCaller().accept(subprotocol: "chat.resume.v1")
            try line.welcome(received: 0, from: 1)
            try line.expect(
                json: .message(2, "two"), "what was acknowledged is done with; what was not is sent again")
            try line.send(json: .event(1, "after 1"))
            try alice.expect(sees: "after 1", "the welcome says from which number on events come: go by that")
            try line.close(code: 1012)
            _ = try server.pause()
            // Started anew once more, and gone again before it has said anything.
            try server.nextCaller().accept(subprotocol: "chat.resume.v1").welcome(
                seen: 1, received: 0, from: 1
            ).drop()
            _ = try server.pause()
            line = try server.nextCaller().accept(subprotocol: "chat.resume.v1")
            // The other way round: a gap.
            let hint =
                "the last welcome said from 1, so nothing of that server was seen: seen follows "
                + "each welcome, too"
            try line.welcome(seen: 0, received: 2, from: 4322, hint)
            try line.send(json: .event(4322, "after the gap"))
            try alice.expect(sees: "after the gap")
            try alice.expectNotice("4321", "a loss is never silent: say how many were missed")
            alice.types("three")
            try line.expect(
                json: .message(3, "three"),
                "the welcome says what was heard: it acknowledges as an ack does, and nothing is sent "
                    + "before it")
            // What is said about no gap at all, and about the smallest.
            func notices(seen: Int, gap: Int) throws -> [String] {
                line.drop()
                _ = try server.pause()
                let before = alice.noticeCount
                let from = seen + 1 + gap
                line = try server.nextCaller().accept(subprotocol: "chat.resume.v1")
                try line.welcome(seen: seen, received: 3, from: from)
                try line.send(json: .event(from, "number \(from)"))
                try alice.expect(sees: "number \(from)")
                return Array(alice.notices.dropFirst(before))
            }
            let none = try notices(seen: 4322, gap: 0)
            let losses = alice.notices.filter { $0.contains("4321") }
            if let wrong = none.first(where: { notice in
                losses.contains { $0.replacingOccurrences(of: "4321", with: "0") == notice }
            }) {
                throw room.wrong(
                    "expected no notice of a loss, with from at seen + 1", "     got \(wrong)",
                    hint: "what comes next is the event after the last one seen: nothing was lost")
            }
            if try notices(seen: 4323, gap: 1).allSatisfy(none.contains) {
                throw room.wrong(
                    "expected a notice with the number of lost events, with from at seen + 2",
                    "     got none",
                    hint: "one event that was lost is a loss, too: say so if from is higher than seen + 1")
            }
        }
    }

    func testAPlainServerGetsWhatWasKept() throws {
        let rule = "at a plain server, what is typed without a connection is kept, and sent after the name"
        try grade(TheClient.self, rule, prepare: { $0.clock.useManualTime() }) { room in
            let server = try ScriptedServer(in: room)
            let alice = start("Alice", at: server, in: room)
            var expected = ["early"]
            alice.types("early")
            for cut in Cut.allCases {
                let caller = try server.nextCaller()
                if caller.offers != ["chat.resume.v1"] {
                    throw room.wrong("expected the offer chat.resume.v1")
                }
                let line = caller.accept()
                try line.expect("Alice", "the name comes first, on every connection")
                let hint = "keep what is typed without a connection, and send it after the name, in order"
                let double =
                    "this was sent before, and a plain server knows no doubles: what is sent is done "
                    + "with"
                try hinting(ifGot: ["text \"early": double, "text \"now": double]) {
                    for text in expected { try line.expect(text, hint) }
                }
                alice.types("now \(cut)")
                try line.expect("now \(cut)", "what is typed on a connection is sent at once")
                try line.send("Hi")
                try alice.expect(sees: "Hi")
                let notices = alice.noticeCount
                try line.end(cut)
                try alice.expectNotices(notices + 1, "say that the connection is lost, and how")
                expected = ["kept 1, \(cut)", "kept 2, \(cut)"]
                for text in expected { alice.types(text) }
                try alice.expectNotices(notices + 2, "say that it is kept")
                _ = try server.pause()
            }
        }
    }

    func testARefusalIsFinal() throws {
        let rule =
            "after a refusal the client ends and tells what the server said; after a failure it tries again"
        try grade(TheClient.self, rule, prepare: { $0.clock.useManualTime() }) { room in
            for status in ["404 Not Found", "401 Unauthorized", "403 Forbidden", "400 Bad Request"] {
                let server = try ScriptedServer(in: room)
                let alice = start("Alice", at: server, in: room)
                try server.nextCaller().refuse(status)
                try expectFailure(alice, server, room, saying: String(status.prefix(3)))
            }
            for code in [4001, 4003, 4009, 4010, 1008, 1002, 1003, 1007, 1009, 1000] as [CloseCode] {
                let server = try ScriptedServer(in: room)
                let alice = start("Alice", at: server, in: room)
                try server.nextConnection().close(code: code, reason: "Reason \(code)")
                try expectFailure(alice, server, room, saying: "Reason \(code)")
            }
            for url in ["http://localhost:1/", "wss://localhost:1/", "nonsense"] {
                let server = try ScriptedServer(in: room)
                let alice = start("Alice", at: server, in: room, url: url)
                try expectFailure(alice, server, room, saying: "")
            }
            let server = try ScriptedServer(in: room)
            _ = start("Alice", at: server, in: room)
            for status in ["503 Service Unavailable", "500 Internal Server Error", "429 Too Many Requests"] {
                try server.nextCaller("this may be over soon").refuse(status)
                _ = try server.pause("after \(status) another attempt may succeed")
            }
            for code in [1001, 1011, 1012, 1013, 1014] as [CloseCode] {
                try server.nextConnection("this may be over soon").close(code: code)
                _ = try server.pause("after close \(code) another attempt may succeed")
            }
            try server.nextConnection().closeWithoutCode()
            _ = try server.pause("after a close without a code (1005) another attempt may succeed")
            try server.nextCaller().drop()
            _ = try server.pause("without an answer to the handshake, another attempt may succeed")
            _ = try server.nextCaller()
        }
    }

    func testLeaving() throws {
        let rule = "whoever leaves closes with 1000, and does not come back"
        try grade(TheClient.self, rule, prepare: { $0.clock.useManualTime() }) { room in
            let hint =
                "whoever leaves says so, with a close of their own: else the server waits for their "
                + "return"
            let stays = """
                nothing more is typed, and nothing waits for its delivery: look at that after every change, \
                and leave
                """
            let leaves: [(Person) -> Void] = [{ $0.endsTyping() }, { $0.interrupts() }]
            for leave in leaves {
                for subprotocol in ["chat.resume.v1", nil] {
                    let server = try ScriptedServer(in: room)
                    let alice = start("Alice", at: server, in: room)
                    let line = try server.nextCaller().accept(subprotocol: subprotocol)
                    if subprotocol == nil {
                        try line.expect("Alice")
                    } else {
                        try line.welcome(received: 0, from: 1)
                    }
                    try line.send(subprotocol == nil ? "Hi" : JSONValue.event(1, "Hi").text)
                    try alice.expect(sees: "Hi")
                    leave(alice)
                    try hinting(ifSilent: stays) { try line.expectClose(1000, hint) }
                    line.drop()
                    try expectDeparture(alice, server, room)
                }
                // While it waits, there is no connection to close.
                let server = try ScriptedServer(in: room)
                let alice = start("Alice", at: server, in: room)
                try server.nextCaller().drop()
                try room.advance(by: .zero, onceAsleep: 1)
                leave(alice)
                try expectDeparture(alice, server, room)
                // While the handshake is not answered.
                let silent = try ScriptedServer(in: room)
                let bob = start("Bob", at: silent, in: room)
                let caller = try silent.nextCaller()
                leave(bob)
                try expectDeparture(bob, silent, room)
                _ = caller
            }
            let server = try ScriptedServer(in: room)
            let alice = start("Alice", at: server, in: room)
            let line = try server.nextCaller().accept(subprotocol: "chat.resume.v1").welcome(
                received: 0, from: 1)
            alice.types("last words")
            try line.expect(json: .message(1, "last words"))
            alice.endsTyping()
            try line.send(json: .event(1, "Bye"))
            try alice.expect(
                sees: "Bye",
                "the end of the typing is not the end of the sending: stay until all is acknowledged")
            line.drop()
            _ = try server.pause("what was typed is delivered first, if it needs another connection")
            let again = try server.nextCaller().accept(subprotocol: "chat.resume.v1")
            try again.welcome(received: 0, from: 2)
            try again.expect(json: .message(1, "last words"))
            try again.send(json: ["type": "ack", "n": 1])
            try again.expectClose(1000, "with everything delivered, leave")
            again.drop()
            try expectDeparture(alice, server, room)
        }
    }

    // MARK: - The server, for clients that come back

    func testAMessageIsToldOnceHoweverOftenItComes() throws {
        try grade(
            TheClient.self, "a message of a session is told once, however often it comes, and acknowledged"
        ) {
            room in
            let bob = try enter(room, "Bob")
            let alice = try resume(room, "Alice", "s1", received: 0, from: 1)
            for (n, text) in [(1, "one"), (2, "two"), (2, "two"), (1, "one"), (3, "three")] {
                try alice.send(json: .message(n, text))
                // An ack is for all up to its number, so that a double may get a higher one.
                let ack = try hintingIfAnEventCame {
                    try alice.expect(json: ["type": "ack"], "acknowledge the double too")
                }
                guard let acknowledged = ack["n"]?.int, (n...3).contains(acknowledged) else {
                    throw alice.wrong(
                        expected: "an ack with n = \(n)", got: ack.text,
                        "an ack has at least the message's number")
                }
            }
            for text in ["one", "two", "three"] {
                try bob.expect("[Alice]: \(text)", "what has a number that came before is a double")
            }
            alice.drop()
            let again = try resume(room, "Alice", "s1", received: 3, from: 1)
            try again.send(json: .message(3, "three"))
            try again.send(json: .message(4, "four"))
            try bob.expect("[Alice]: four", "the numbers of a session go on when it comes back")
            // A client whose server was started anew does not begin with 1 again.
            let dora = try resume(room, "Dora", "s2", seen: 9, received: 0, from: 1)
            try dora.send(json: .message(5, "five"))
            try bob.expect("[Dora]: five", "any number is new that is higher than all before it")
            try dora.close()
            try bob.expect("[Server]: Dora has left the chat.")
            for (n, nonsense) in ["Alice", "{}", #"{"type":"message","n":"1","message":"x"}"#].enumerated() {
                let client = try room.connect("Client \(n)", to: chat, subprotocols: ["chat.resume.v1"])
                try client.send(nonsense)
                try hinting(
                    ifGot: "close 1011",
                    "1011 says that the server is in trouble. Here the data is wrong: 1007"
                ) { try client.expectClose(1007, "what does not fit the subprotocol is closed with 1007") }
            }
            try bob.send("Hi")
            for _ in 3...4 { try again.expect(json: ["type": "ack"]) }
            try again.expect(json: .event(1, "[Dora]: five"), "never to oneself, and numbered from 1")
            try again.expect(json: .event(2, "[Server]: Dora has left the chat."))
            try again.expect(json: .event(3, "[Bob]: Hi"))
        }
    }

    func testWhatWasMissedIsSentOnReturn() throws {
        try grade(
            TheClient.self, "whoever comes back is sent what was said meanwhile, in order, and nothing twice"
        ) {
            room in
            let bob = try enter(room, "Bob")
            let cy = try enter(room, "Cy")
            func say(_ text: String) throws {
                try bob.send(text)
                try cy.expect("[Bob]: \(text)")
            }
            let hint = "every event of the session has a number and is kept, with a connection or without"
            var alice = try resume(room, "Alice", "s1", received: 0, from: 1)
            for n in 1...3 {
                try say("\(n)")
                try alice.expect(json: .event(n, "[Bob]: \(n)"))
            }
            alice.drop()
            for n in 4...6 { try say("\(n)") }
            for seen in [2, 3, 5] {
                alice = try resume(
                    room, "Alice", "s1", seen: seen, received: 0, from: seen + 1,
                    "what was seen is not sent again: the event after it comes next, and from is its number")
                for n in seen + 1...6 { try alice.expect(json: .event(n, "[Bob]: \(n)"), hint) }
                alice.drop(reset: true)
            }
            alice = try resume(room, "Alice", "s1", seen: 6, received: 0, from: 7)
            try say("7")
            try alice.expect(json: .event(7, "[Bob]: 7"), hint)
            alice.drop()
            // What Dora has seen is of an earlier server. The first welcome of this one does not reach her.
            try resume(room, "Dora", "s2", seen: 7, received: 0, from: 1).drop()
            for n in 8...9 { try say("\(n)") }
            let tooHigh =
                "a seen that is too high is of another server: this client has seen nothing of yours"
            let dora = try resume(room, "Dora", "s2", seen: 7, received: 0, from: 1, tooHigh)
            for n in 8...9 { try dora.expect(json: .event(n - 7, "[Bob]: \(n)"), tooHigh) }
            // More than a server has to keep.
            for n in 10...1010 { try bob.send("\(n)") }
            for n in 10...1010 { try cy.expect("[Bob]: \(n)") }
            let limit =
                "what others can make grow needs a limit: the last 1,000 are kept, and from names the "
                + "oldest"
            alice = try resume(room, "Alice", "s1", seen: 7, received: 0, from: 11, limit)
            for n in 11...1010 {
                try alice.expect(
                    json: .event(n, "[Bob]: \(n)"),
                    "the last 1,000 are kept: when there is no more room, the oldest go")
            }
        }
    }

    func testTheAbsentAreWaitedFor() throws {
        try grade(
            TheClient.self,
            "a session whose connection broke is waited for: 60 s, by the application's clock",
            prepare: {
                $0.clock.useManualTime()
                // When minutes pass at once, nobody has the time to answer the engine's pings.
                $0.limits.pingInterval = nil
            }
        ) { room in
            let bob = try enter(room, "Bob")
            let cy = try enter(room, "Cy")
            // A timer that rings too soon has the time to say so.
            func talkForAWhile(_ hint: String) throws {
                for n in 1...50 {
                    try cy.send("Still here? \(n)")
                    try bob.expect("[Cy]: Still here? \(n)", hint)
                }
            }
            var hint = "the name is kept for as long"
            for leave in [{ $0.drop() }, { try $0.close(code: 1001) }] as [(Client) throws -> Void] {
                let alice = try resume(room, "Alice", "s1", received: 0)
                try leave(alice)
                try room.advance(
                    by: .seconds(59), onceAsleep: 1,
                    "no close with 1000 came: whose connection breaks may come back, and is waited for")
                try talkForAWhile(hint)
                try expectRefusal(room, "Alice", 4009, "Username taken", hint)
                hint =
                    "60 s begin anew with each break: whoever comes back cancels the expiry of the time before"
            }
            let alice = try resume(room, "Alice", "s1", received: 0)
            try room.advance(by: .seconds(120))
            try talkForAWhile("whoever comes back in time has not left: stop the timer")
            alice.drop()
            try room.advance(by: .seconds(60), onceAsleep: 1)
            try bob.expect("[Server]: Alice has left the chat.", "after 60 s, those who stay are told")
            try cy.expect("[Server]: Alice has left the chat.")
            // The same session is unknown now.
            let again = try resume(room, "Alice", "s1", seen: 5, received: 0, from: 1)
            try again.close(code: 1000)
            try bob.expect("[Server]: Alice has left the chat.", "close 1000 says that the user has left")
            _ = try enter(room, "Alice")
        }
    }

    func testASessionReplacesItsOwnConnection() throws {
        try grade(
            TheClient.self, "a session that connects again replaces its old connection; another one may not"
        ) {
            room in
            let bob = try enter(room, "Bob")
            let first = try resume(room, "Alice", "s1", received: 0, from: 1)
            let stranger = try room.connect("Mallory", to: chat, subprotocols: ["chat.resume.v1"])
            try stranger.send(json: .hello("Alice", "s2", seen: 0))
            try stranger.expectClose(
                4009, reason: "Username taken", "who knows a name does not own it yet: the session proves it")
            let second = try hinting(
                ifGot: "close 4009",
                "the name belongs to this very session: ask that first, and only then whether the name is free"
            ) { try resume(room, "Alice", "s1", received: 0, from: 1) }
            try first.expectClose(
                4010, reason: "Resumed elsewhere",
                "nobody listens at the other end of the old connection any more: close it")
            try second.send(json: .message(1, "Hi"))
            try bob.expect("[Alice]: Hi", "the end of the old connection is not the end of the session")
            try second.expect(
                json: ["type": "ack", "n": 1], "the end of the old connection is not the end of the session")
            try bob.send("Hi Alice")
            try second.expect(json: .event(1, "[Bob]: Hi Alice"), "events go to the new connection")
        }
    }

    // MARK: - Steps

    private let chat = "/ws/chat"

    /// A plain client that has said its name and was welcomed.
    private func enter(_ room: Classroom, _ name: String, as person: String? = nil) throws -> Client {
        let client = try room.connect(person ?? name, to: chat)
        try client.send(name)
        try client.expect("[Server]: Welcome, \(name).", "whoever has a name is welcomed, alone")
        return client
    }

    private func expectRefusal(
        _ room: Classroom, _ name: String, _ code: CloseCode, _ reason: String, _ hint: String
    ) throws {
        let client = try room.connect("Another", to: chat)
        try client.send(name)
        try client.expectClose(code, reason: reason, hint)
    }

    /// A client that begins a session or goes on with it.
    private func resume(
        _ room: Classroom, _ name: String, _ session: String, seen: Int = 0, received: Int, from: Int? = nil,
        _ hint: String = "received: the last message heard; from: the event that comes next"
    ) throws -> Client {
        let client = try room.connect(name, to: chat, subprotocols: ["other", "chat.resume.v1"])
        if client.responseHeaders["sec-websocket-protocol"] != "chat.resume.v1" {
            throw room.wrong("expected the server to choose the subprotocol chat.resume.v1")
        }
        try client.send(json: .hello(name, session, seen: seen))
        var welcome: JSONValue = ["type": "welcome", "received": .number(Double(received))]
        if let from {
            welcome = [
                "type": "welcome", "received": .number(Double(received)), "from": .number(Double(from)),
            ]
        }
        _ = try hintingIfAnEventCame {
            try hinting(
                ifGotWith: [
                    #""type":"event""#: "the welcome comes first: it says what the numbers after it mean"
                ]
            ) { try client.expect(json: welcome, hint) }
        }
        return client
    }

    private func hintingIfAnEventCame<Result>(_ part: () throws -> Result) throws -> Result {
        try hinting("a session is welcomed by the frame, not by an event", part) { findings in
            findings.contains { $0.hasPrefix("     got ") && $0.contains(#""[Server]: Welcome"#) }
        }
    }

    private func start(
        _ name: String?, at server: ScriptedServer, in room: Classroom, seed: UInt64 = 7, url: String? = nil
    ) -> Person {
        let url = url ?? "ws://127.0.0.1:\(server.port)\(chat)"
        let client = ChatClient(to: url, name: name, clock: room.clock, seed: seed)
        return room.start(name ?? "Anna") { typed, chat, notice in
            try await client.run(typing: typed) { output in
                switch output {
                case .chat(let text): chat(text)
                case .notice(let text): notice(text)
                }
            }
        }
    }

    private func expectFailure(
        _ person: Person, _ server: ScriptedServer, _ room: Classroom, saying words: String
    ) throws {
        let hint = "this server does not want us, and will not next time: throw the error from run"
        guard let error = try person.expectEnd(hint) else {
            throw room.wrong("expected run to throw", "     got its return", hint: hint)
        }
        if !words.isEmpty, !"\(error)".contains(words) {
            throw room.wrong("expected the error to contain \(words)", "     got \(error)", hint: hint)
        }
        try server.expectNobody("an end that is final is not followed by an attempt")
    }

    /// A connection that broke ended the program.
    private func hintingIfADisconnectWasThrown<Result>(_ part: () throws -> Result) throws -> Result {
        let hint =
            "run threw an error after which it should connect again: does sendOutbox pass over WebSocketDisconnect, and does stayConnected catch it?"
        return try hinting(hint, part) { findings in
            findings.contains { $0.hasPrefix("the program of Alice threw: ") && $0.contains("1006") }
        }
    }

    private func expectDeparture(_ person: Person, _ server: ScriptedServer, _ room: Classroom) throws {
        if let error = try person.expectEnd("run returns when the user has left") {
            throw room.wrong(
                "expected run to return", "     got the error \(error)", hint: "leaving is no failure")
        }
        if room.clock.sleeperCount > 0 {
            throw room.wrong(
                "run has returned, but something still sleeps on the clock",
                hint: "what run has begun must end with it: cancel it, and wait for it")
        }
        try server.expectNobody("whoever has left does not come back")
    }
}

/// Where a connection breaks.
private enum Place: CaseIterable {
    case beforeTheAnswer, afterTheAnswer, afterTheHello, afterTheWelcome, amidTheEvents, beforeTheAck,
        afterTheAck
    case amidTheBacklog
}

/// How it breaks.
private enum Cut: CaseIterable { case end, reset, goingAway, restart }

/// What a right server of the subprotocol knows of its one client.
private struct Record {
    /// What it has heard; the first has number 1.
    private(set) var heard: [String] = []
    /// What it has said; the first has number 1.
    private(set) var said: [String] = []
    private var session: JSONValue?

    /// A connection that breaks at this place.
    mutating func lose(at place: Place, _ cut: Cut, _ server: ScriptedServer, _ room: Classroom) throws {
        let caller = try server.nextCaller("after a failure, connect again")
        if place == .beforeTheAnswer { return caller.drop() }
        let line = caller.accept(subprotocol: "chat.resume.v1")
        if place == .afterTheAnswer { return try line.end(cut) }
        let seen = try takeHello(line, room)
        if place == .afterTheHello { return try line.end(cut) }
        try welcome(line, seen)
        if place == .afterTheWelcome { return try line.end(cut) }
        try tell(line, "event \(said.count + 1)")
        if place == .amidTheEvents { return try line.end(cut) }
        try hear(line, room, answers: place != .beforeTheAck)
        if place == .amidTheBacklog { try hear(line, room, answers: false) }
        try line.end(cut)
    }

    /// A connection that lasts.
    mutating func connect(to server: ScriptedServer, _ room: Classroom) throws -> Client {
        let line = try server.nextCaller("after a failure, connect again").accept(
            subprotocol: "chat.resume.v1")
        try welcome(line, try takeHello(line, room))
        try tell(line, "the last event")
        return line
    }

    /// Takes a message, which may be one that was heard before.
    mutating func hear(_ line: Client, _ room: Classroom, answers: Bool = true) throws {
        let message = try line.expect(json: ["type": "message"], "with the welcome, send what waits")
        guard let n = message["n"]?.int, let text = message["message"]?.string, n >= 1 else {
            throw room.wrong("the client sent a message without n or message")
        }
        if n > heard.count + 1 {
            let isTheRightOne = text == "line \(heard.count + 1)"
            throw room.wrong(
                "expected message number \(heard.count + 1)", "     got number \(n)",
                hint: isTheRightOne
                    ? "the text is right, its number is not: a message gets it when it is typed, and "
                        + "keeps it for ever"
                    : "a message stays in the outbox until its ack: on each connection begin with the "
                        + "oldest that has none")
        }
        if n == heard.count + 1 { heard.append(text) }
        if heard[n - 1] != text {
            throw room.wrong(
                "expected number \(n) to be \(heard[n - 1])", "     got \(text)",
                hint: "a message has one number for ever: the server knows doubles by it")
        }
        if answers { try line.send(json: ["type": "ack", "n": .number(Double(n))]) }
    }

    /// Takes the hello, and returns what the client has seen.
    private mutating func takeHello(_ line: Client, _ room: Classroom) throws -> Int {
        let hello = try line.expect(json: ["type": "hello", "user": "Alice"], "the hello is the first frame")
        guard hello["session"]?.string?.isEmpty == false, session == nil || session == hello["session"] else {
            throw room.wrong(
                "expected the same session as before",
                hint:
                    "by its session the server knows who comes back: it is chosen once, and outlives "
                    + "its connections")
        }
        session = hello["session"]
        guard let seen = hello["seen"]?.int, (0...said.count).contains(seen) else {
            throw room.wrong("expected seen to be a number from 0 to \(said.count)")
        }
        return seen
    }

    private func welcome(_ line: Client, _ seen: Int) throws {
        try line.send(json: .welcome(received: heard.count, from: seen + 1))
        for n in said.indices.dropFirst(seen) { try line.send(json: .event(n + 1, said[n])) }
    }

    private mutating func tell(_ line: Client, _ text: String) throws {
        said.append(text)
        try line.send(json: .event(said.count, text))
    }
}

extension Client {
    /// Takes the client's hello and answers it.
    @discardableResult
    fileprivate func welcome(
        seen: Int? = nil, received: Int, from: Int, _ hint: String = ""
    ) throws -> Client {
        let hello = try expect(json: ["type": "hello"], "with the subprotocol, say hello first")
        if let seen, hello["seen"]?.int != seen {
            throw wrong(expected: "seen: \(seen)", got: "\(hello["seen"]?.text ?? "nothing")", hint)
        }
        try send(json: .welcome(received: received, from: from))
        return self
    }

    fileprivate func end(_ cut: Cut) throws {
        switch cut {
        case .end: drop()
        case .reset: drop(reset: true)
        case .goingAway: try close(code: 1001)
        case .restart: try close(code: 1012)
        }
    }
}

extension JSONValue {
    fileprivate static func hello(_ user: String, _ session: String, seen: Int) -> JSONValue {
        ["type": "hello", "user": .string(user), "session": .string(session), "seen": .number(Double(seen))]
    }
    fileprivate static func welcome(received: Int, from: Int) -> JSONValue {
        ["type": "welcome", "received": .number(Double(received)), "from": .number(Double(from))]
    }
    fileprivate static func message(_ n: Int, _ text: String) -> JSONValue {
        ["type": "message", "n": .number(Double(n)), "message": .string(text)]
    }
    fileprivate static func event(_ n: Int, _ text: String) -> JSONValue {
        ["type": "event", "n": .number(Double(n)), "message": .string(text)]
    }
}
