import GraderKit
import Level14
import WebSocketEngine
import XCTest

/// Level 14 – Heartbeat. Chapter 14 of Course.md.
final class Level14Tests: XCTestCase {
    func testEveryMessageComesBack() throws {
        try grade(Heartbeat.self, "every message comes back as it is; the text ping is answered with pong") {
            room in
            let ana = try room.connect("Ana", to: "/ws", acceptFirst)
            for text in ["hi", "", "Ping", "ping ", "ping\n", "pong", "日本語 👩‍👩‍👧"] {
                try ana.send(text)
                let hint = "only the text that is exactly ping is not simply sent back"
                try hinting(ifGot: "close", text == "hi" ? acceptFirst : hint) { try ana.expect(text, hint) }
            }
            for bytes in [[0, 255, 16], [], Array("ping".utf8)] as [[UInt8]] {
                try ana.send(bytes)
                try ana.expect(bytes, "binary comes back as binary, whatever it says")
            }
            for number in 1...3 {
                try ana.send("ping")
                try ana.expect(
                    "pong",
                    number == 1
                        ? "compare the message with .text(\"ping\")"
                        : "one answer to one message: pong comes in the place of the echo")
            }
        }
    }

    func testAPingComesAfter30SecondsOfSilence() throws {
        try check("a client that was silent for 30 s is sent a Ping, not earlier and not later") {
            room, ends in
            let ana = try connect(room, "Ana")
            try pass(.milliseconds(29_999), room, ends)
            try ends.send("from the server, 29.999 s after the handshake", to: ana)
            try hinting(ifGot: "a Ping", tooEarly) {
                try ana.expect("from the server, 29.999 s after the handshake")
            }
            try pass(.milliseconds(1), room, ends)
            try expectPing(
                ana, ends, "30 s after the handshake",
                "a Ping is due as soon as the last sign of life is 30 s ago: sleep until then, and not longer"
            )
        }
    }

    func testSilenceIsCountedFromTheLastSignOfLife() throws {
        try check("the 30 s begin anew with every sign of life, at any time") { room, ends in
            let ana = try connect(room, "Ana")
            for seconds in [20, 7, 29, 13] {
                try pass(.seconds(seconds), room, ends)
                try talk(ana, "after \(seconds) s")
            }
            try pass(.milliseconds(29_999), room, ends)
            try ends.send("29.999 s after the last text", to: ana)
            try hinting(ifGot: "a Ping", tooEarly) { try ana.expect("29.999 s after the last text") }
            try pass(.milliseconds(1), room, ends)
            try expectPing(
                ana, ends, "30 s after the last text",
                "it is due 30 s after the last sign of life, not at the next tick of a clock: sleep until then"
            )
        }
    }

    func testTheTalkativeAreLeftInPeace() throws {
        try check("who sends something every 20 s is never pinged and never closed") { room, ends in
            let ana = try connect(room, "Ana")
            for number in 1...10 {
                try pass(.seconds(20), room, ends)
                try hinting(
                    ifGot: [
                        "close 1000": "count from the last message, not from the beginning",
                        "a Ping":
                            "Ana spoke 20 s ago: count from what came last, whatever it was, and not from the "
                            + "handshake. Or is it the engine's own Ping? Switch that off: step 1",
                    ]
                ) {
                    try talk(ana, "\(number * 20) s")
                }
            }
        }
    }

    func testEverySignOfLifeCounts() throws {
        try check("text, binary, Ping and Pong are signs of life, one like the other") { room, ends in
            let ana = try connect(room, "Ana")
            let signs: [(name: String, give: () throws -> Void)] = [
                ("a text", { try self.talk(ana, "hi") }),
                ("the text ping", { try self.exchange(ana, "ping", "pong") }),
                ("an empty text", { try self.talk(ana, "") }),
                (
                    "a binary message",
                    {
                        try ana.send([1, 2, 3])
                        try self.noPing(ana) { try ana.expect([1, 2, 3], "binary comes back as it is") }
                    }
                ),
                (
                    "a Ping frame",
                    {
                        try ana.ping([7])
                        try self.noPing(ana) { try ana.expectPong([7]) }
                    }
                ),
                ("a Pong frame that nobody asked for", { try ana.send(raw: [0x8A, 0x80, 0, 0, 0, 0]) }),
            ]
            for sign in signs {
                try pass(.seconds(29), room, ends)
                try sign.give()
                try pass(.seconds(29), room, ends)
                try hinting(
                    ifGot: "a Ping",
                    "29 s ago there was a sign of life: \(sign.name). socket.lastActivity knows of all kinds, and "
                        + "a Ping is due 30 s after it"
                ) { try talk(ana, "29 s after \(sign.name)") }
            }
        }
    }

    func testWhoAnswersPingsLivesOn() throws {
        try check("who says nothing but answers every Ping is pinged every 30 s and never closed") {
            room, ends in
            let ana = try connect(room, "Ana")
            for number in 1...8 {
                try pass(.seconds(30), room, ends)
                // The client answers as soon as it reads, as browsers do.
                try expectPing(
                    ana, ends, "after \(number * 30) s",
                    number == 1
                        ? "Ana has said nothing for 30 s: ask her with a Ping"
                        : "each silence is asked about, not only the first",
                    ifClosed: number == 1
                        ? silenceIsNoDeath
                        : number == 2
                            ? "the Pong to your Ping is a sign of life as well: the silence ends with it"
                            : "Pings that were answered do not add up: with each Pong all begins anew")
            }
            try pass(.seconds(29), room, ends)
            try talk(ana, "still here")
        }
    }

    func testWhoGivesNoSignOfLifeIsClosedAfter60Seconds() throws {
        try check("after 60 s without any sign of life: close 1000 Timeout, not earlier and not later") {
            room, ends in
            // Ana reads nothing, and so answers no Ping, until it is over.
            let ana = try connect(room, "Ana")
            try pass(.seconds(30), room, ends)
            try pass(.milliseconds(29_999), room, ends)
            try ends.send("from the server, 59.999 s after the handshake", to: ana)
            try pass(.milliseconds(1), room, ends)
            try ends.send("from the server, 60 s after the handshake", to: ana)
            try ana.expectPing("30 s before the end there is a Ping")
            let early = "the end is due 60 s after the last sign of life, which is 30 s after the Ping"
            try hinting(ifGot: "a Ping", "one Ping for one silence: after it, sleep until the end is due") {
                try ana.expect("from the server, 59.999 s after the handshake", early)
            }
            try hinting(
                ifGot: [
                    "a Ping": noFurtherPing, "text": early,
                    "close 1000": "a client should learn why: the reason is Timeout, letter for letter",
                ]
            ) {
                try ana.expectClose(
                    1000, reason: "Timeout",
                    "after 60 s of silence: try await socket.close(reason: \"Timeout\")")
            }
        }
    }

    func testTheSecondSilenceIsLikeTheFirst() throws {
        try check("who has answered Pings for a while and then dies is pinged once and closed") {
            room, ends in
            let ana = try connect(room, "Ana")
            for number in 1...3 {
                try pass(.seconds(30), room, ends)
                try expectPing(
                    ana, ends, "30 s later", "after each further 30 s of silence there is another Ping",
                    ifClosed: number == 1
                        ? silenceIsNoDeath
                        : "the Ping before was answered: with its Pong a new silence begins")
            }
            try pass(.seconds(30), room, ends)
            try pass(.seconds(29), room, ends)
            try ends.send("59 s after the last Pong", to: ana)
            try pass(.seconds(1), room, ends)
            try ends.send("60 s after the last Pong", to: ana)
            try ana.expectPing("after each further 30 s of silence there is another Ping")
            try ana.expect("59 s after the last Pong", "count from the last Pong")
            try hinting(ifGot: "a Ping", noFurtherPing) {
                try ana.expectClose(
                    1000, reason: "Timeout", "an answered Ping says nothing about the next silence")
            }
        }
    }

    func testEveryoneHasTheirOwnSilence() throws {
        try check("one client's words are no sign of life of another") { room, ends in
            let ana = try connect(room, "Ana")
            let ben = try connect(room, "Ben")
            for seconds in [10, 20, 20, 10] {
                try pass(.seconds(seconds), room, ends)
                try ends.send("\(seconds) s later", to: ben)
                try hinting(ifGot: "a Ping", "the silence is Ben's: each connection has its own") {
                    try talk(ana, "hi")
                }
            }
            let hint =
                "Ben has been silent since his handshake: each connection has its own time, counted from its last "
                + "sign of life"
            try ben.expect("10 s later")
            try ben.expectPing(hint)
            for text in ["20 s later", "20 s later"] { try ben.expect(text, hint) }
            try ben.expectClose(1000, reason: "Timeout", hint)
            try talk(ana, "still here")
        }
    }

    func testWhoDoesNotReadIsClosedAsWell() throws {
        try check(
            "a client that neither reads nor speaks is closed after 60 s, also while a send to it waits"
        ) {
            room, ends in
            let ana = try connect(room, "Ana")
            try ends.fill(ana)
            try ana.send("the answer to this has to wait")
            try room.settle()
            let hint =
                "the handler waits in send(): a time limit around receive() alone does not see that. Let a task of "
                + "its own watch the time"
            try hinting(hint) {
                try pass(.seconds(30), room, ends)
                try pass(.seconds(30), room, ends)
            } when: { _ in
                true
            }
            while true {
                switch try hinting(hint, { try ana.receiveNext() }, when: { _ in true }) {
                case .message: continue
                case .close(1000, reason: "Timeout"): return
                case .close(let code, let reason):
                    throw ana.wrong(
                        expected: "close 1000 \"Timeout\"", got: "close \(code) \"\(reason)\"", hint)
                }
            }
        }
    }

    func testMessagesDoNotPileUpTimers() throws {
        try check("a hundred messages leave no more timers behind than one") { room, ends in
            let ana = try connect(room, "Ana")
            for number in 1...100 { try talk(ana, "\(number)") }
            let hint =
                "do not start a timer for each message: one that looks at lastActivity when it wakes is enough"
            // Timers that were cancelled may take a moment to go.
            for _ in 0..<20 where room.clock.sleeperCount > 5 { try room.settle() }
            let sleepers = room.clock.sleeperCount
            if sleepers > 5 {
                throw room.wrong(
                    "expected no more than a few tasks to sleep on the clock, however much Ana says",
                    "     got \(sleepers)", hint: hint)
            }
            // Neither do they wake up later.
            try pass(.seconds(30), room, ends)
            try expectPing(ana, ends, "30 s after the last text", hint)
        }
    }

    func testNothingSleepsForAConnectionThatIsOver() throws {
        try check("when a client has left, in whatever way, nothing sleeps for it any more") { room, ends in
            let ways: [(Client) throws -> Void] = [
                { try $0.close() }, { try $0.closeWithoutCode() }, { $0.drop() }, { $0.drop(reset: true) },
                {
                    try ends.fill($0)
                    try $0.send("the answer to this has to wait")
                    try room.settle()
                    $0.drop(reset: true)
                },
            ]
            for (number, leave) in ways.enumerated() {
                let ana = try connect(room, "Ana")
                try talk(ana, "hi")
                try room.expect("a task sleeps until Ana may have to be pinged", useTheClock) {
                    room.clock.sleeperCount > 0
                }
                try leave(ana)
                try room.expect(
                    "nothing sleeps on the clock any more",
                    number < ways.count - 1
                        ? "the echo is over, but a timer goes on: end the watching task with it, by cancelling"
                        : "the echo ended in send(), which threw: what stands after it is not reached. A task group "
                            + "ends its tasks on every way out"
                ) { room.clock.sleeperCount == 0 }
            }
        }
    }

    func testManyAtOnce() throws {
        try check("of many silent clients each is pinged, and those who do not answer are closed") {
            room, ends in
            let crowd = try room.connectSimultaneously((1...40).map { ("Client \($0)", "/ws") })
            for client in crowd { client.noticesPings = true }
            try pass(.seconds(30), room, ends)
            let (alive, dead) = (crowd[..<20], crowd[20...])
            for client in alive { try client.expectPing("every connection has a watching task of its own") }
            try pass(.seconds(30), room, ends)
            for client in alive { try client.expectPing("a Pong keeps the connection open") }
            for client in dead {
                try client.expectPing("every connection has a watching task of its own")
                try hinting(ifGot: "a Ping", noFurtherPing) {
                    try client.expectClose(1000, reason: "Timeout", "one that does not answer is closed")
                }
            }
            for client in alive { try talk(client, "still here") }
        }
    }

    // MARK: - Steps

    private let tooEarly =
        "this Ping is too early. Yours? It is due 30 s after the last sign of life. The engine's own? Switch that off: step 1"
    private let useTheClock =
        "each open connection is watched, while its echo goes on, by a task that sleeps until something may be due: "
        + "clock.sleep(until: …) and not Task.sleep"
    private let acceptFirst =
        "before accept() nothing can be received and nothing sent: accept, and then begin"
    private let silenceIsNoDeath =
        "silence alone is no death, as many clients only listen: ask after 30 s, and close after 60 s"
    private let noFurtherPing =
        "the Ping after 30 s was not answered: 60 s after the last sign of life it is time to close"

    /// A check in which time stands still but for ``pass(_:_:_:)``.
    private func check(_ rule: String, _ script: (Classroom, ServerEnds) throws -> Void) throws {
        let ends = ServerEnds()
        try grade(
            Heartbeat.self, rule,
            prepare: {
                $0.clock.useManualTime()
                ends.watch($0)
            }
        ) { try script($0, ends) }
    }

    /// Connects a client for whom a Ping is a mistake unless it is expected.
    private func connect(_ room: Classroom, _ name: String) throws -> Client {
        let client = try room.connect(name, to: "/ws", receiveBuffer: 128 << 10, acceptFirst)
        client.noticesPings = true
        return client
    }

    /// Lets time pass, once the server has read everything and a task sleeps for each open connection. Returns when
    /// what is due has happened: whoever was woken sleeps again, or has closed.
    private func pass(_ duration: Duration, _ room: Classroom, _ ends: ServerEnds) throws {
        try room.settle()
        try waitForSleepers(room, ends)
        let before = (open: ends.openCount, sleepers: room.clock.sleeperCount)
        try room.advance(by: duration)
        try explainingUnrest {
            try waitForSleepers(room, ends)
            // Whoever has more than one timer gets the time to set all of them.
            for _ in 0..<100 where room.clock.sleeperCount < before.sleepers && ends.openCount == before.open
            {
                try room.settle()
            }
            try room.settle()
        }
    }

    /// Whoever slept before time moved on, and does not sleep after it, has ended or does not wait.
    private func explainingUnrest(_ part: () throws -> Void) throws {
        do {
            try part()
        } catch var failure as Failure where [.blocked, .timedOut].contains(failure.verdict) {
            failure.findings.removeAll { $0.hasPrefix("hint: ") }
            failure.findings.append(
                (failure.verdict == .blocked
                    ? "hint: the loop in watch goes round without waiting: "
                    : "hint: the watching task woke and does not sleep again: it has ended, or goes round without waiting. ")
                    + "sleep(until:) a moment that is past returns at once. Compare with >=, and after the Ping sleep "
                    + "until 60 s, and then close")
            throw failure
        }
    }

    private func waitForSleepers(_ room: Classroom, _ ends: ServerEnds) throws {
        try room.expect("a task sleeps on the application's clock for each open connection", useTheClock) {
            room.clock.sleeperCount >= ends.openCount
        }
    }

    /// The Ping that is due now, one and no more.
    private func expectPing(
        _ client: Client, _ ends: ServerEnds, _ when: String, _ hint: String, ifClosed: String? = nil
    ) throws {
        try ends.send("from the server, \(when)", to: client)
        let frame = "a Ping is a control frame, which every client answers by itself: try await socket.ping()"
        try hinting(ifGot: ["text \"ping\"": frame, "close 1000": ifClosed ?? silenceIsNoDeath]) {
            try client.expectPing(hint)
        }
        try hinting(ifGot: "a Ping", "one Ping for one silence") {
            try client.expect("from the server, \(when)")
        }
    }

    /// Sends a text twice, which must come back, and nothing else with it: had a Ping been sent meanwhile, it would be
    /// here before the second.
    private func talk(_ client: Client, _ text: String) throws { try exchange(client, text, text) }

    private func exchange(_ client: Client, _ text: String, _ answer: String) throws {
        for _ in 1...2 {
            try client.send(text)
            try noPing(client) { try client.expect(answer) }
        }
    }

    private func noPing(_ client: Client, _ part: () throws -> Void) throws {
        try hinting(ifGot: "a Ping", tooEarly, part)
    }
}
