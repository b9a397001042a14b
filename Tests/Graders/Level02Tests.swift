import GraderKit
import Level02
import XCTest

/// Level 02 – Disconnect handling. Chapter 2 of Course.md.
final class Level02Tests: XCTestCase {
    func testNobodyHasBeenHereAtFirst() throws {
        try grade(
            DisconnectHandling.self, "GET /stats answers zeros, and null for last, before anyone has come"
        ) { room in
            let nobody = stats(0, of: 0)
            let answer = try room.get("/stats")
            guard answer.status == 200, answer.json?.contains(nobody) == true else {
                throw room.wrong(
                    "expected \(nobody.text)",
                    "     got \(answer.status) \(answer.text)",
                    hint: "all three members are always there; the Stats of the exercise is encoded so")
            }
        }
    }

    func testMessagesAreEchoed() throws {
        try grade(DisconnectHandling.self, "every message but the text \"quit\" is echoed as in level 01") {
            room in
            let anna = try room.connect("Anna", to: "/ws")
            for text in ["hello", "", "Quit", " quit", "quit!", "quit quit"] { try anna.send(text) }
            try anna.send(Array("quit".utf8))
            for text in ["hello", "", "Quit", " quit", "quit!", "quit quit"] {
                try anna.expect("Echo: \(text)", "only the text quit, to the letter, ends the conversation")
            }
            try anna.expect(Array("quit".utf8), "four bytes are no text: they come back as they are")
        }
    }

    func testOpenConnectionsAreCounted() throws {
        try grade(DisconnectHandling.self, "active and total count each accepted connection once") { room in
            let anna = try room.connect("Anna", to: "/ws")
            try room.expectGet("/stats", json: stats(1, of: 1))
            let ben = try room.connect("Ben", to: "/ws")
            for client in [anna, ben, anna] {
                try client.send("hi")
                try client.expect("Echo: hi")
            }
            try room.expectGet(
                "/stats", json: stats(2, of: 2),
                "a client is counted once, when it is accepted, and not again with each message")
        }
    }

    func testACloseIsReportedAsItCame() throws {
        try grade(DisconnectHandling.self, "last holds code and reason of the client's Close frame") { room in
            let hint = "socket.disconnect has the code and the reason that came"
            let anna = try room.connect("Anna", to: "/ws")
            try anna.close(code: 4001, reason: "Lunch – à bientôt")
            try room.expectStats(stats(0, of: 1, last: 4001, "Lunch – à bientôt"), hint)
            let ben = try room.connect("Ben", to: "/ws")
            try ben.close(code: 1000)
            try hinting("last is still Anna's end: the latest end takes the place of the one before") {
                try room.expectStats(stats(0, of: 2, last: 1000, ""), hint)
            } when: { findings in
                findings.contains { $0.hasPrefix("     got {\"active\":0,") && $0.contains("Lunch") }
            }
            let carla = try room.connect("Carla", to: "/ws")
            try carla.close(code: 1001, reason: "Tab closed")
            try room.expectStats(stats(0, of: 3, last: 1001, "Tab closed"), hint)
        }
    }

    func testACloseWithoutACodeIs1005() throws {
        try grade(DisconnectHandling.self, "a Close frame without a code counts as 1005, without a reason") {
            room in
            let anna = try room.connect("Anna", to: "/ws")
            try anna.closeWithoutCode()
            try room.expectStats(
                stats(0, of: 1, last: 1005, ""),
                "socket.disconnect tells 1005: take its code as it is")
        }
    }

    func testADropIs1006() throws {
        try grade(DisconnectHandling.self, "an end without a Close frame counts as 1006") { room in
            let hint = "a client may be cut off without a word: count it down on every way out of converse()"
            let anna = try room.connect("Anna", to: "/ws")
            let ben = try room.connect("Ben", to: "/ws")
            try anna.send("hi")
            try anna.expect("Echo: hi")
            anna.drop()
            try hinting(
                ifBlocked: "once a connection is over, receive() throws at each call: "
                    + "a loop that catches this and goes on never ends"
            ) {
                try room.expectStats(stats(1, of: 2, last: 1006), hint)
            }
            ben.drop(reset: true)
            try room.expectStats(stats(0, of: 2, last: 1006), hint)
        }
    }

    func testQuitCloses() throws {
        try grade(DisconnectHandling.self, "quit closes with 1000 Goodbye, and no other connection") { room in
            let anna = try room.connect("Anna", to: "/ws")
            let ben = try room.connect("Ben", to: "/ws")
            try anna.send("one")
            try anna.send("quit")
            try anna.expect("Echo: one")
            try hinting(
                ifGot: [
                    "close 1000": "the close needs its reason too: close(code:reason:)",
                    "close 1011": "an error has left the handler: quit is no error, but an order to close",
                    "close":
                        "closed, but with another code: 1000 says that the conversation has served its purpose",
                    "text \"Goodbye\"":
                        "Goodbye is the reason inside the close; as a message of its own it closes nothing",
                ]
            ) {
                try anna.expectClose(1000, reason: "Goodbye", "quit is not echoed; the close is the answer")
            }
            try hinting(
                "socket.disconnect is nil until the connection is closed: call close() in converse, do not throw"
            ) {
                try room.expectStats(
                    stats(1, of: 2, last: 1000, "Goodbye"),
                    ifTooHigh:
                        quitNotCounted,
                    ifTooLow: quitCountedTwice)
            } when: { findings in
                findings.contains { $0.hasPrefix("     got ") && $0.contains("\"last\":null") }
            }
            try ben.send("still here")
            try ben.expect("Echo: still here", "quit is for the one who says it")
        }
    }

    func testEachEndCountsDownOnce() throws {
        try grade(DisconnectHandling.self, "each end counts down once; total never goes down") { room in
            let zoe = try room.connect("Zoe", to: "/ws")
            var others: [Client] = []
            for name in ["Anna", "Ben", "Carla", "Dora"] { others.append(try room.connect(name, to: "/ws")) }
            try others[0].close(code: 4000)
            try room.expectStats(stats(4, of: 5, last: 4000))
            others[1].drop()
            try room.expectStats(stats(3, of: 5, last: 1006))
            try others[2].send("quit")
            try others[2].expectClose(1000)
            try room.expectStats(
                stats(2, of: 5, last: 1000),
                ifTooHigh:
                    quitNotCounted,
                ifTooLow: quitCountedTwice)
            try others[3].closeWithoutCode()
            try room.expectStats(stats(1, of: 5, last: 1005))
            // The server has had time for a second thought when it has answered this.
            try zoe.send("fence")
            try zoe.expect("Echo: fence")
            try room.expectStats(["active": 1, "total": 5], "count down in one place only")
        }
    }

    func testAClientThatVanishesBeforeAcceptIsNotCounted() throws {
        try grade(
            DisconnectHandling.self, "a client that vanishes before it is accepted is never counted",
            prepare: { $0.letClientsVanish() }
        ) { room in
            try room.vanish("Eve", at: "/ws")
            let anna = try room.connect("Anna", to: "/ws")
            try anna.send("hi")
            try anna.expect("Echo: hi")
            try room.expectStats(
                stats(1, of: 1),
                "accept() throws when the client is gone: count after it, not before")
        }
    }

    func testAnEndWhileSendingIsNoticed() throws {
        try grade(
            DisconnectHandling.self, "a client that is cut off while the server sends to it is counted down"
        ) { room in
            let anna = try room.connect("Anna", to: "/ws")
            let ben = try room.connect("Ben", to: "/ws", receiveBuffer: 4096)
            // Ben never reads: once the system's buffers are full of answers, the handler has to wait in send().
            let long = String(repeating: "long ", count: 200_000)
            for _ in 0..<8 { try ben.send(long) }
            for _ in 0..<60 {
                try anna.send("turn")
                try anna.expect("Echo: turn", "one client that does not read must not stop the others")
            }
            ben.drop(reset: true)
            try room.expectStats(
                stats(1, of: 2, last: 1006),
                "Ben has read nothing, so his handler waited in send(), which throws when the connection ends: "
                    + "what comes after the loop is not reached then",
                ifTooLow:
                    "counted down twice: unless the catch throws the error on, the code after it runs too")
        }
    }

    func testAHundredComeAndGo() throws {
        try grade(
            DisconnectHandling.self, "of 100 clients that come and go at once none is lost or doubled",
            loops: 2
        ) { room in
            let crowd = try room.connectSimultaneously((1...100).map { ("Client \($0)", "/ws") })
            let hint = "nothing may come between reading a number and writing it: no await in the middle"
            try room.expectGet("/stats", json: stats(100, of: 100), hint)
            try room.simultaneously {
                for (number, client) in crowd.enumerated() where number >= 10 {
                    if number % 2 == 0 { client.drop() } else { try client.send("quit") }
                }
            }
            try room.expectGet("/stats", json: ["active": 10, "total": 100], hint)
        }
    }
}

/// The answer to `GET /stats`, as far as it is checked.
private func stats(_ active: Int, of total: Int) -> JSONValue {
    ["active": .number(Double(active)), "total": .number(Double(total)), "last": nil]
}

private func stats(_ active: Int, of total: Int, last code: Int, _ reason: String? = nil) -> JSONValue {
    var last: [String: JSONValue] = ["code": .number(Double(code))]
    if let reason { last["reason"] = .string(reason) }
    return ["active": .number(Double(active)), "total": .number(Double(total)), "last": .object(last)]
}

private let quitNotCounted =
    "a close of the server's own ends a connection too: it is counted down as any other"

private let quitCountedTwice =
    "counted down twice: after close() the conversation ends as after any other end, and is counted down there"

extension Classroom {
    /// What `GET /stats` must answer after an end. Each number that is wrong has causes of its own.
    fileprivate func expectStats(
        _ wanted: JSONValue, _ hint: String = "",
        ifTooHigh: String = "the end is in last, but active is who is here now: it must be counted down too",
        ifTooLow: String =
            "counted down twice: let every way out lead through one place, and count down there"
    ) throws {
        do {
            try expectGet("/stats", json: wanted, hint)
        } catch let failure as Failure {
            let got = failure.findings.first { $0.hasPrefix("     got {") }
            guard let got = got.flatMap({ JSONValue(text: String($0.dropFirst(9))) }),
                let closer = closerHint(wanted: wanted, got: got, ifTooHigh, ifTooLow)
            else { throw failure }
            try hinting(closer) {
                throw failure
            } when: { _ in
                true
            }
        }
    }

    private func closerHint(
        wanted: JSONValue, got: JSONValue, _ ifTooHigh: String, _ ifTooLow: String
    ) -> String? {
        guard let active = got["active"]?.int, let total = got["total"]?.int, let last = wanted["last"],
            let wantedActive = wanted["active"]?.int, let wantedTotal = wanted["total"]?.int
        else { return nil }
        if total < wantedTotal { return "total is how many have ever come: nobody's end makes it smaller" }
        if active < wantedActive { return ifTooLow }
        let isNoted = got["last"]?.contains(last) ?? false
        if active > wantedActive { return isNoted && total == wantedTotal && last != .null ? ifTooHigh : nil }
        if !isNoted, last["code"] == 1006, got["last"] != .null {
            return "the end was noticed, but it has another code: take the code of socket.disconnect as it is"
        }
        return nil
    }
}
