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
                    ana, CloseCode(rawValue: UInt16(code)), reason,
                    "a WebSocketException says itself which code and reason it wants; 1011 is for "
                        + "what nobody foresaw")
            }
        }
    }

    func testAMessageOfAnotherKindIs1003() throws {
        try grade(CloseCodes.self, "binary where text is expected is told, and closes with 1003") { room in
            let ana = try room.connect("Ana", to: "/ws")
            try ana.send([0x00, 0xFF])
            try hinting(
                ifGotWith: [
                    "1007":
                        "1007 is for content that does not fit its kind. Here the kind itself is not taken"
                ]
            ) {
                try expectError(
                    ana, 1003, "Unexpected kind of message",
                    "binary is the client's mistake, not the server's: "
                        + "WebSocketError.unexpectedMessage is foreseen")
            }
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
                let isJSON = text.hasPrefix("{")
                try expectError(
                    ana, 1007, "Invalid message",
                    isJSON
                        ? "valid JSON may lack a key, or hold another value: these are DecodingErrors as well"
                        : "a client may send anything, and that is no error of the server: it is a "
                            + "DecodingError")
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
                    ana, 1008, "Not allowed: \(what)",
                    "who breaks a rule is to hear which: RuleError.notAllowed carries what is not allowed")
            }
            let ben = try room.connect("Ben", to: "/ws")
            let longest = String(repeating: "x", count: 1000)
            try ben.send(json: ["action": "echo", "text": .string(longest)])
            try ben.expect(json: ["type": "echo", "text": .string(longest)])
            try ben.send(json: ["action": "echo", "text": .string(longest + "x")])
            try hinting(
                ifGotWith: [
                    "1008": "1008 says only that a rule was broken; 1009 tells the client that less would do"
                ]
            ) {
                try expectError(
                    ben, 1009, "Longer than 1000 characters",
                    "who breaks a rule is to hear which: RuleError.tooLong carries the limit")
            }
        }
    }

    func testAnUnforeseenErrorIs1011AndGivesNothingAway() throws {
        try grade(CloseCodes.self, "any other error closes with 1011 Internal error and gives nothing away") {
            room in
            let eve = try room.connect("Eve", to: "/ws")
            try eve.send(json: ["action": "fail"])
            let hint = "the text of an error is for the operator: it may hold names, paths, even passwords"
            let wanted = #"{"code":1011,"message":"Internal error","type":"error"}"#
            let told = try eve.receiveJSON(
                wanted: wanted, "the engine only closes: tell the client first, and then throw the error on")
            if told.text.contains("hunter2") || told.text.contains("Database") {
                let type =
                    "even the name of a type tells how the server is built, and is for the operator "
                    + "alone"
                throw eve.wrong(expected: wanted, got: told.text, told.text.contains("hunter2") ? hint : type)
            }
            if !told.contains(["type": "error", "code": 1011, "message": "Internal error"]) {
                throw eve.wrong(
                    expected: wanted, got: told.text,
                    "what nobody foresaw is an Internal error, and no more is told")
            }
            try eve.expectClose(1011, reason: "Internal error", hint)
        }
    }

    func testReservedCodesAreNeverSent() throws {
        try grade(CloseCodes.self, "an exception with a code that must not be sent becomes 1011") { room in
            for code in [1005, 1006, 1004, 1015, 0, 999, 1016, 2999, 5000, 65535] {
                let ana = try room.connect("Ana", to: "/ws")
                try ana.send(json: ["action": "throw", "code": .number(Double(code)), "text": "reserved"])
                try hinting(
                    ifGotWith: [
                        "\"code\":1011":
                            "the exception is the server's own mistake: its text is for the operator"
                    ]
                ) {
                    try expectError(
                        ana, 1011, "Internal error",
                        "no frame may carry \(code): throwing it was the server's mistake. Ask "
                            + "code.mayBeSent")
                }
            }
        }
    }

    func testALongReasonIsCutBetweenCharacters() throws {
        try grade(
            CloseCodes.self, "the reason is cut to 123 bytes between two characters, the message is not"
        ) { room in
            let family = "👨‍👩‍👧"
            let fits = "a reason of 123 bytes fits: of this message take neither less nor more"
            let bytes = "add up character.utf8.count, and stop before 123 is passed (RFC 6455 §5.5.1)"
            let whole =
                "a cut inside of a character leaves half a character: stop before the first that does "
                + "not fit"
            let scalars =
                "what a reader takes for one letter may be many scalars, and is one Character: cut "
                + "between those"
            let beginning =
                "the reason is a beginning of the message: behind what does not fit, nothing is taken "
                + "any more"
            let cases: [(text: String, reason: String, hint: String)] = [
                (String(repeating: "x", count: 123), String(repeating: "x", count: 123), fits),
                (String(repeating: "x", count: 124), String(repeating: "x", count: 123), fits),
                (String(repeating: "é", count: 62), String(repeating: "é", count: 61), whole),
                (String(repeating: "日", count: 41) + "x", String(repeating: "日", count: 41), bytes),
                (String(repeating: family, count: 7), String(repeating: family, count: 6), scalars),
                (String(repeating: "x", count: 121) + "日x", String(repeating: "x", count: 121), beginning),
            ]
            for (text, reason, hint) in cases {
                let ana = try room.connect("Ana", to: "/ws")
                try ana.send(json: ["action": "throw", "code": 4000, "text": .string(text)])
                try ana.expect(
                    json: ["type": "error", "code": 4000, "message": .string(text)],
                    "only the reason must fit a Close frame: the message has room, and stays whole")
                try hinting(
                    ifGot: "close 1011",
                    text.utf8.count == text.count
                        ? "socket.close throws at a reason of more than 123 bytes: 125 fit a Close "
                            + "frame, and two are for the code"
                        : "socket.close throws at a reason of more than 123 bytes. Count bytes and "
                            + "cut between characters: half of one becomes a � of 3"
                ) {
                    try ana.expectClose(4000, reason: reason, hint)
                }
            }
        }
    }

    func testAnErrorBeforeTheHandshakeIsTold() throws {
        try grade(CloseCodes.self, "an error before accept() is told too: the wrapper accepts first") {
            room in
            let hint =
                "nothing can be sent while socket.state is .connecting: accept first, then tell, then "
                + "close"
            let ben = try room.connect("Ben", to: "/ws/door/guest", hint)
            try hinting(ifGot: "close 4003", hint) { try expectError(ben, 4003, "Members only", hint) }
        }
    }

    func testWhatIsNoErrorIsLeftAlone() throws {
        try grade(CloseCodes.self, "a refusal, the handler's return and a cancellation send no error") {
            room in
            try room.expectRefusal(
                "Robot", to: "/ws/door/robot", status: 403...403,
                "the handler decides whether to accept or to refuse: who accepts before it has run "
                    + "takes that away")
            let returned =
                "a handler that returns has thrown nothing: send nothing, and the engine closes with "
                + "1000"
            let member = try room.connect("Member", to: "/ws/door/member")
            try member.expectClose(1000, returned)
            for action in ["leave", "cancel"] {
                let ana = try room.connect("Ana", to: "/ws")
                try ana.send(json: ["action": "echo", "text": "hi"])
                try ana.expect(json: ["type": "echo", "text": "hi"])
                try ana.send(json: ["action": .string(action)])
                let cancelled =
                    "who is cancelled has done nothing wrong: throw a CancellationError on, and send "
                    + "nothing"
                try ana.expectClose(1000, action == "cancel" ? cancelled : returned)
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
                "after the close there is nothing to try again and nothing to wait for: the wrapper returns")
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
            let unheard = "what nobody hears of is never mended: throw on what you did not foresee"
            try room.expect("the operator hears of the DatabaseError", unheard) {
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
            let hint =
                "the connection is over, so telling the client throws: the operator is to hear of "
                + "the first error all the same"
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
                "/handlers", json: ["calls": 2, "running": 0],
                "who has left does not come back: WebSocketDisconnect ends the handler, and the "
                    + "wrapper with it")
            if let error = log.errors.first {
                throw room.wrong(
                    "the operator was told: \(error)",
                    hint:
                        "clients leave every day, and that is no news: throw WebSocketDisconnect on as "
                        + "it is")
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
            let hint =
                "a server that stops waits for its handlers: let WebSocketDisconnect end them, whatever "
                + "its code"
            try room.expect("the server stops", hint) { log.hasStopped }
            if let error = log.errors.first {
                throw room.wrong(
                    "the operator was told: \(error)",
                    hint:
                        "that a server stops is no error: throw it on as it is")
            }
        }
    }

    /// The client is told of an error, and then closed with the same code and the message as reason.
    private func expectError(_ client: Client, _ code: CloseCode, _ message: String, _ hint: String) throws {
        let number = JSONValue.number(Double(code.rawValue))
        try hinting(
            ifGotWith: ["\"code\":\"": "in JSON the code is a number: it stands without quotation marks"]
        ) {
            try hinting(
                ifGot: "close \(code.rawValue)",
                "no error message came before the close, and nothing may follow a Close frame: "
                    + "first tell, then close"
            ) {
                try client.expect(json: ["type": "error", "code": number, "message": .string(message)], hint)
            }
        }
        try hinting(
            ifGot: "close 1000",
            "1000 says that all went well: the close carries the code of the error"
        ) {
            try client.expectClose(
                code, reason: message,
                "after the error comes a close with the same code, and the message as its reason")
        }
    }
}
