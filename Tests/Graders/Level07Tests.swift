import GraderKit
import Level07
import WebSocketEngine
import XCTest

/// Level 07 – Close codes. Chapter 7 of Course.md.
final class Level07Tests: XCTestCase {
    func testAnExceptionIsToldAndThenClosesWithItsCode() throws {
        try grade(CloseCodes.self, "a WebSocketException is told as an error, then closes with its code") {
            room in
            for (code, reason) in [
                (4018, "I am a teapot"), (4000, ""), (4999, "Zürich"), (3000, "?"), (1008, "No"),
            ] {
                let ana = try room.connect("Ana", to: "/ws")
                try ana.send(json: [
                    "action": "throw", "code": .number(Double(code)), "text": .string(reason),
                ])
                try expectError(
                    ana, CloseCode(rawValue: UInt16(code)), reason, "code and reason are the exception's")
            }
        }
    }

    func testAMessageOfAnotherKindIs1003() throws {
        try grade(CloseCodes.self, "binary where text is expected is told, and closes with 1003") { room in
            let ana = try room.connect("Ana", to: "/ws")
            try ana.send([0x00, 0xFF])
            try expectError(
                ana, 1003, "Unexpected kind of message", "receiveJSON throws WebSocketError.unexpectedMessage"
            )
        }
    }

    func testAMessageThatCannotBeDecodedIs1007() throws {
        try grade(CloseCodes.self, "what cannot be decoded is told, and closes with 1007") { room in
            let texts = [
                "no JSON", "", #"{"text":"hi"}"#, #"{"action":"dance"}"#, #"{"action":"throw","code":"x"}"#,
            ]
            for text in texts {
                let ana = try room.connect("Ana", to: "/ws")
                try ana.send(text)
                try expectError(
                    ana, 1007, "Invalid message", "JSONDecoder throws a DecodingError, whatever is wrong")
            }
        }
    }

    func testABrokenRuleIs1008Or1009() throws {
        try grade(CloseCodes.self, "what is not allowed closes with 1008, what is too long with 1009") {
            room in
            for what in ["admin", "Änderungen"] {
                let ana = try room.connect("Ana", to: "/ws")
                try ana.send(json: ["action": "admin", "text": .string(what)])
                try expectError(
                    ana, 1008, "Not allowed: \(what)", "RuleError.notAllowed carries what is not allowed")
            }
            let ben = try room.connect("Ben", to: "/ws")
            let longest = String(repeating: "x", count: 1000)
            try ben.send(json: ["action": "echo", "text": .string(longest)])
            try ben.expect(json: ["type": "echo", "text": .string(longest)])
            try ben.send(json: ["action": "echo", "text": .string(longest + "x")])
            try expectError(ben, 1009, "Longer than 1000 characters", "RuleError.tooLong carries the limit")
        }
    }

    func testAnUnforeseenErrorIs1011AndGivesNothingAway() throws {
        try grade(CloseCodes.self, "any other error closes with 1011 Internal error and gives nothing away") {
            room in
            let eve = try room.connect("Eve", to: "/ws")
            try eve.send(json: ["action": "fail"])
            let hint = "the text of an error is for the operator: it may hold names, paths, even passwords"
            let told = try eve.receiveJSON()
            if told.text.contains("hunter2") || told.text.contains("Database") {
                throw room.wrong("the client was told \(told.text)", hint: hint)
            }
            if !told.contains(["type": "error", "code": 1011, "message": "Internal error"]) {
                throw room.wrong(
                    #"expected {"code":1011,"message":"Internal error","type":"error"}"#,
                    "     got \(told.text)")
            }
            try eve.expectClose(1011, reason: "Internal error", hint)
        }
    }

    func testReservedCodesAreNeverSent() throws {
        try grade(CloseCodes.self, "an exception with a code that must not be sent becomes 1011") { room in
            for code in [1005, 1006, 1004, 1015, 0, 999, 1016, 2999, 5000, 65535] {
                let ana = try room.connect("Ana", to: "/ws")
                try ana.send(json: ["action": "throw", "code": .number(Double(code)), "text": "reserved"])
                try expectError(
                    ana, 1011, "Internal error", "ask code.mayBeSent; throwing \(code) is our mistake")
            }
        }
    }

    func testALongReasonIsCutBetweenCharacters() throws {
        try grade(
            CloseCodes.self, "the reason is cut to 123 bytes between two characters, the message is not"
        ) { room in
            let family = "👨‍👩‍👧"
            let cases: [(text: String, reason: String)] = [
                (String(repeating: "x", count: 123), String(repeating: "x", count: 123)),
                (String(repeating: "x", count: 124), String(repeating: "x", count: 123)),
                (String(repeating: "é", count: 62), String(repeating: "é", count: 61)),
                (String(repeating: "日", count: 41) + "x", String(repeating: "日", count: 41)),
                (String(repeating: family, count: 7), String(repeating: family, count: 6)),
                (String(repeating: "x", count: 121) + "日x", String(repeating: "x", count: 121)),
            ]
            for (text, reason) in cases {
                let ana = try room.connect("Ana", to: "/ws")
                try ana.send(json: ["action": "throw", "code": 4000, "text": .string(text)])
                try ana.expect(
                    json: ["type": "error", "code": 4000, "message": .string(text)],
                    "only the reason is cut; the message stays whole")
                let hint = "add up character.utf8.count, and stop before 123 is passed (RFC 6455 §5.5.1)"
                try ana.expectClose(4000, reason: reason, hint)
            }
        }
    }

    func testAnErrorBeforeTheHandshakeIsTold() throws {
        try grade(CloseCodes.self, "an error before accept() is told too: the wrapper accepts first") {
            room in
            let ben = try room.connect("Ben", to: "/ws/door/guest")
            try expectError(
                ben, 4003, "Members only", "while socket.state is .connecting, nothing can be sent")
        }
    }

    func testWhatIsNoErrorIsLeftAlone() throws {
        try grade(CloseCodes.self, "a refusal, the handler's return and a cancellation send no error") {
            room in
            try room.expectRefusal(
                "Robot", to: "/ws/door/robot", status: 403...403, "the handler has refused: so be it")
            let member = try room.connect("Member", to: "/ws/door/member")
            try member.expectClose(1000, "a handler that returns has done its work")
            for action in ["leave", "cancel"] {
                let ana = try room.connect("Ana", to: "/ws")
                try ana.send(json: ["action": "echo", "text": "hi"])
                try ana.expect(json: ["type": "echo", "text": "hi"])
                try ana.send(json: ["action": .string(action)])
                try ana.expectClose(
                    1000, "CancellationError and WebSocketDisconnect are no errors: throw them on")
            }
        }
    }

    func testAfterTheCloseNothingRuns() throws {
        try grade(
            CloseCodes.self, "the handler is called once for each client, and nothing runs after the close"
        ) { room in
            let ben = try room.connect("Ben", to: "/ws")
            let ana = try room.connect("Ana", to: "/ws")
            for action in ["admin", "echo", "fail"] { try ana.send(json: ["action": .string(action)]) }
            try expectError(
                ana, 1008, "Not allowed: admin", "one error and one close; what came after is not obeyed")
            try room.expectGet(
                "/handlers", json: ["calls": 2, "running": 1],
                "when the close is sent, return; do not call again")
            try ben.send(json: ["action": "echo", "text": "still here"])
            try ben.expect(json: ["type": "echo", "text": "still here"], "Ana's error is not Ben's")
        }
    }

    func testTheOperatorHearsOfUnforeseenErrorsAlone() throws {
        let log = OperatorLog()
        let rule = "unforeseen errors are thrown on, so that the operator hears of them, and no others"
        try grade(CloseCodes.self, rule, prepare: { log.listen(to: $0) }) { room in
            for text in ["no JSON", #"{"action":"admin"}"#, #"{"action":"throw"}"#, #"{"action":"fail"}"#] {
                let ana = try room.connect("Ana", to: "/ws")
                try ana.send(text)
                try ana.expect(json: ["type": "error"])
                try ana.close()
                try room.expectGet("/handlers", json: ["running": 0])
            }
            try room.expect("the operator hears of the DatabaseError", "throw on what you did not foresee") {
                log.errors.contains { $0.contains("hunter2") }
            }
            if log.errors.count != 1 {
                throw room.wrong(
                    "expected the operator to hear of one error",
                    "     got \(log.errors.joined(separator: "; "))",
                    hint: "a client's mistakes are no news: anyone could fill the log with them")
            }
        }
    }

    func testTheOperatorHearsEvenIfTheClientCannotBeTold() throws {
        let log = OperatorLog()
        let rule = "the operator hears of an unforeseen error also if the client cannot be told any more"
        try grade(CloseCodes.self, rule, prepare: { log.listen(to: $0) }) { room in
            let ana = try room.connect("Ana", to: "/ws")
            try ana.send(json: ["action": "bye"])
            try ana.expectClose(1000, reason: "Bye", "the handler has closed; nothing more can be sent")
            let hint = "what throws while you tell the client must not hide the error: throw that one on"
            try room.expectGet("/handlers", json: ["calls": 1, "running": 0], hint)
            try room.expect("the operator hears of the DatabaseError", hint) {
                log.errors.contains { $0.contains("hunter2") }
            }
        }
    }

    func testALeavingClientIsNoError() throws {
        let log = OperatorLog()
        let rule = "a client that leaves, or vanishes, ends its handler, and the operator hears nothing of it"
        try grade(CloseCodes.self, rule, prepare: { log.listen(to: $0) }) { room in
            let ana = try room.connect("Ana", to: "/ws")
            let ben = try room.connect("Ben", to: "/ws")
            try ana.close(code: 4000, reason: "Bye")
            ben.drop()
            try room.expectGet(
                "/handlers", json: ["calls": 2, "running": 0], "WebSocketDisconnect ends the handler")
            if let error = log.errors.first {
                throw room.wrong("the operator was told: \(error)", hint: "clients leave every day: no news")
            }
        }
    }

    func testAShutdownClosesEveryoneWith1001() throws {
        let log = OperatorLog()
        let rule = "when the server stops, everyone is closed with 1001, and no error is told to anyone"
        try grade(CloseCodes.self, rule, prepare: { log.listen(to: $0) }) { room in
            let ana = try room.connect("Ana", to: "/ws")
            let ben = try room.connect("Ben", to: "/ws")
            for client in [ana, ben] {
                try client.send(json: ["action": "echo", "text": "hi"])
                try client.expect(json: ["type": "echo", "text": "hi"])
            }
            room.beginShutdown()
            for client in [ana, ben] {
                try client.expectClose(1001, "the engine closes; the handler gets a WebSocketDisconnect")
            }
            try room.expect("the server stops", "WebSocketDisconnect ends the handler") { log.hasStopped }
            if let error = log.errors.first { throw room.wrong("the operator was told: \(error)") }
        }
    }

    /// The client is told of an error, and then closed with the same code and the message as reason.
    private func expectError(_ client: Client, _ code: CloseCode, _ message: String, _ hint: String) throws {
        let number = JSONValue.number(Double(code.rawValue))
        try hinting(
            ifGot: "close \(code.rawValue)",
            "first the error message, then the close: nothing may follow a Close frame"
        ) {
            try client.expect(json: ["type": "error", "code": number, "message": .string(message)], hint)
        }
        try client.expectClose(code, reason: message, hint)
    }
}
