import GraderKit
import Level08
import WebSocketEngine
import XCTest

/// Level 08 – Private messages. Chapter 8 of Course.md.
final class Level08Tests: XCTestCase {
    func testJoinsAndLeavesAreAnnounced() throws {
        try grade(PrivateMessages.self, "who comes and who goes is told to everyone who is here") { room in
            let ana = try enter(room, "ana")
            let bob = try enter(room, "bob", meeting: ana)
            let cy = try enter(room, "cy", meeting: ana, bob)
            try bob.close()
            try expect([ana, cy], .system("bob left"), "announce the leave when the client's loop has ended")
            cy.drop()
            try ana.expect(json: .system("cy left"), "a connection that is cut off is a leave as well")
        }
    }

    func testOrdinaryTextReachesEveryone() throws {
        try grade(PrivateMessages.self, "a text that is no command is sent to all, the sender too") { room in
            let ana = try enter(room, "ana")
            let bob = try enter(room, "bob", meeting: ana)
            let texts = ["hello", " two  spaces ", "", "日本語 👩‍👩‍👧\n\"quoted\"", "last"]
            for text in texts { try ana.send(text) }
            let hint = "every text is for all, the sender too, and unchanged"
            let hints = [
                "": "an empty text is a message too",
                " two  spaces ": "spaces belong to the message, also at its ends",
            ]
            for text in texts { try bob.expect(json: .message(text, from: "ana"), hints[text] ?? hint) }
            try bob.send("hi ana")
            try hinting(ifGotWith: [
                "hi ana": "the sender too sees a message when it comes back from the server"
            ]) {
                for text in texts { try ana.expect(json: .message(text, from: "ana"), hint) }
            }
            try expect([bob, ana], .message("hi ana", from: "bob"), hint)
        }
    }

    func testOnlyPmIsACommand() throws {
        try grade(PrivateMessages.self, "only /pm alone, and /pm with a space after it, are commands") {
            room in
            let ana = try enter(room, "ana")
            let bob = try enter(room, "bob", meeting: ana)
            let slash = "the only command is /pm: a text that begins with another slash is for all"
            let hints = [
                "/pmx bob hi":
                    "/pmx begins with /pm, but is another word: compare all that stands before the space",
                " /pm bob hi": "a text that begins with a space is no command; see omittingEmptySubsequences",
                "/help": slash, "/": slash,
            ]
            for text in ["/pmx bob hi", "/help", "pm bob hi", "hi /pm bob hi", " /pm bob hi", "/"] {
                try ana.send(text)
                try expect(
                    [ana, bob], .message(text, from: "ana"),
                    hints[text]
                        ?? "a command stands at the very beginning; this text is for all, as any other")
            }
        }
    }

    func testAPrivateMessageReachesSenderAndRecipientAlone() throws {
        try grade(PrivateMessages.self, "/pm bob hi reaches the sender and bob, and no third") { room in
            let ana = try enter(room, "ana")
            let bob = try enter(room, "bob", meeting: ana)
            let cy = try enter(room, "cy", meeting: ana, bob)
            for text in ["/pm bob hi", "for all"] { try ana.send(text) }
            try hintingIfPublic {
                try hinting(
                    ifGotWith: [
                        #""type":"pm""#:
                            "the event says from whom and to whom; a copy tells its sender nothing else"
                    ]
                ) {
                    try bob.expect(
                        json: .pm("hi", from: "ana", to: "bob"),
                        "the recipient got nothing: the handler's own socket is the sender's; look up the other one"
                    )
                }
                try ana.expect(
                    json: .pm("hi", from: "ana", to: "bob"),
                    "the sender gets a copy, as of every message: a client shows what comes from the server")
            }
            // Had cy heard the private message, it would have come before this one.
            let hint = "a private message goes to two sockets, once to each; cy is neither"
            try expect([ana, bob, cy], .message("for all", from: "ana"), hint)
            for text in ["/pm ana hello", "for all"] { try bob.send(text) }
            try ana.expect(json: .pm("hello", from: "bob", to: "ana"), "the recipient gets it")
            try bob.expect(json: .pm("hello", from: "bob", to: "ana"), "the sender gets a copy")
            try expect([ana, bob, cy], .message("for all", from: "bob"), hint)
        }
    }

    func testAPrivateMessageIsSentAsItIs() throws {
        try grade(PrivateMessages.self, "all that follows the space after the name is the message") { room in
            let ana = try enter(room, "ana")
            let bob = try enter(room, "bob", meeting: ana)
            for text in [
                "see  you   at 8", "  two in front", " ", "/pm ana hi", "two\nlines", "bob bob",
                "Grüße, 日本語 👩‍👩‍👧", "1",
            ] {
                try ana.send("/pm bob \(text)")
                try ana.send("after")
                let hint = "cut the text at its first two spaces only, and leave the rest as it is"
                let hints = [
                    "two\nlines":
                        "a message may have line breaks, and they stay; a dot in a regular expression fits none",
                    "  two in front": "one space ends the name: all that follow belong to the message",
                ]
                try expect([ana, bob], .pm(text, from: "ana", to: "bob"), hints[text] ?? hint)
                try expect([ana, bob], .message("after", from: "ana"))
            }
        }
    }

    func testAPrivateMessageToOneselfComesOnce() throws {
        try grade(PrivateMessages.self, "who writes to themselves gets the message once") { room in
            let ana = try enter(room, "ana")
            let bob = try enter(room, "bob", meeting: ana)
            for text in ["/pm ana note to self", "for all"] { try ana.send(text) }
            try ana.expect(json: .pm("note to self", from: "ana", to: "ana"), "writing to oneself is allowed")
            let hint = "sender and recipient are one and the same: send once"
            try expect([ana, bob], .message("for all", from: "ana"), hint)
        }
    }

    func testAnUnknownUserIsAnErrorToTheSenderAlone() throws {
        try grade(PrivateMessages.self, "/pm to somebody who is not here is an error to the sender alone") {
            room in
            let ana = try enter(room, "ana")
            let bob = try enter(room, "bob", meeting: ana)
            let zoe = try enter(room, "zoe", meeting: ana, bob)
            try zoe.close()
            try expect([ana, bob], .system("zoe left"))
            for name in ["nobody", "zoe", "Bob"] {
                try ana.send("/pm \(name) are you there?")
                try ana.send("after")
                let error = try hintingIfClosed {
                    try hinting(
                        ifGotWith: [
                            #""type":"pm""#:
                                "the copy says that it was sent, but there is nobody to get it: look first"
                        ]
                    ) {
                        try ana.expect(
                            json: ["type": "error"],
                            "who hears nothing believes that the message arrived: answer with an event of type error"
                        )
                    }
                }
                guard error["message"]?.string?.contains(name) == true else {
                    throw ana.wrong(
                        expected: "a message that contains the name \(name)", got: error.text,
                        "whoever has written to many must see which name was wrong")
                }
                try expect(
                    [ana, bob], .message("after", from: "ana"), "nobody but the sender gets the error")
            }
            try ana.send("/pm bob but you are")
            try expect(
                [ana, bob], .pm("but you are", from: "ana", to: "bob"), "an error ends no conversation")
        }
    }

    func testAMalformedPmIsAnErrorToTheSenderAlone() throws {
        try grade(PrivateMessages.self, "/pm without a name or a message is an error to the sender alone") {
            room in
            let ana = try enter(room, "ana")
            let bob = try enter(room, "bob", meeting: ana)
            let hints = [
                "/pm  bob hi":
                    "two spaces after /pm: the name between them is empty; see omittingEmptySubsequences",
                "/pm bob ": "nothing follows the space after the name: a part may be there and be empty",
            ]
            for text in ["/pm", "/pm ", "/pm bob", "/pm bob ", "/pm  bob hi", "/pm  "] {
                try ana.send(text)
                try ana.send("after")
                let error = try hintingIfClosed {
                    try hintingIfPublic(
                        "meant for one, and told to all: a /pm that lacks something is an error"
                    ) {
                        try hinting(
                            ifCrashed: "a text may have fewer parts than you ask for: count them first"
                        ) {
                            try ana.expect(
                                json: ["type": "error"],
                                hints[text] ?? "\"\(text)\" lacks a name or a message")
                        }
                    }
                }
                if error["message"]?.string == nil { throw room.wrong("the error has no message") }
                try expect(
                    [ana, bob], .message("after", from: "ana"), "nobody but the sender gets the error")
            }
        }
    }

    func testBinaryMessagesAreIgnored() throws {
        try grade(PrivateMessages.self, "a binary message is ignored, and the conversation goes on") { room in
            let ana = try enter(room, "ana")
            let bob = try enter(room, "bob", meeting: ana)
            try ana.send(Array("/pm bob hi".utf8))
            try hinting(
                ifGot: "close", "receiveText() throws when the message is binary, and that ends the loop"
            ) {
                try fence(by: ana, for: [ana, bob], "take .text from the messages and pass over .binary")
            }
        }
    }

    func testATakenNameIsClosedWith4009() throws {
        try grade(PrivateMessages.self, "a taken name is closed with 4009, and nobody else notices") { room in
            let ana = try enter(room, "ana")
            let bob = try enter(room, "bob", meeting: ana)
            for name in ["Eve", "Mallory", "Trudy"] {
                let thief = try room.connect(
                    name, to: "/ws/chat/ana",
                    "accept first: a page can read the code of a close, but not why a handshake was refused")
                try hinting(
                    ifGot: [
                        "close 1000":
                            "a handler that returns is closed with 1000, as if all were well: throw instead",
                        "close":
                            "the client's program goes by the code: it must be the one that means a taken name",
                    ]
                ) {
                    try thief.expectClose(
                        4009, reason: "Username taken",
                        name == "Eve"
                            ? "the name had a holder, and a second client got it: look before you store"
                            : "the refusal before freed the name: who was refused has not joined, and must not leave"
                    )
                }
            }
            try bob.send("/pm ana still you?")
            try hinting(
                ifGotWith: [
                    "ana joined": "those who were refused have been announced: find out first, and then tell",
                    "ana left": "those who were refused have not joined, and so they cannot leave",
                ]
            ) {
                try expect(
                    [ana, bob], .pm("still you?", from: "bob", to: "ana"),
                    "the first who took a name keeps it")
            }
            try fence(by: ana, for: [ana, bob], "whoever was refused has neither joined nor left")
        }
    }

    func testOneOfManyGetsTheName() throws {
        try grade(PrivateMessages.self, "of many who want one name at the same moment, one gets it") { room in
            let hint =
                "ask whether the name is free and take it in one step, without an await between the two"
            let crowd = try room.connectSimultaneously(
                (1...30).map { ("Client \($0)", "/ws/chat/ana") }, hint)
            var winner: Client?
            for client in crowd {
                switch try client.receiveNext() {
                case .close(4009, reason: "Username taken"): continue
                case .message where winner == nil: winner = client
                case .message: throw room.wrong("two clients hold the name ana", hint: hint)
                case .close(let code, let reason): throw room.wrong("got close \(code) \(reason)", hint: hint)
                }
            }
            guard let winner else { throw room.wrong("nobody got the name", hint: hint) }
            try winner.send("alone")
            try winner.expect(json: .message("alone", from: "ana"), hint)
        }
    }

    func testANameIsFreeAgainAfterAnyDisconnect() throws {
        try grade(PrivateMessages.self, "a name is free again, however its holder left") { room in
            let ana = try enter(room, "ana")
            let ways: [(Client) throws -> Void] = [
                { try $0.close() }, { try $0.closeWithoutCode() },
                { try $0.close(code: 4000, reason: "bye") },
                { $0.drop() }, { $0.drop(reset: true) },
            ]
            for leave in ways {
                let bob = try enter(room, "bob", meeting: ana)
                try leave(bob)
                try ana.expect(
                    json: .system("bob left"), "free the name and tell, whichever way the loop ends")
            }
            let bob = try enter(room, "bob", meeting: ana)
            try ana.send("/pm bob welcome back")
            try expect([ana, bob], .pm("welcome back", from: "ana", to: "bob"))
        }
    }

    func testACutOffWhileErrorsAreSentIsALeave() throws {
        try grade(PrivateMessages.self, "who is cut off while an error is sent to them has left") { room in
            let ana = try enter(room, "ana")
            let bob = try enter(room, "bob", meeting: ana, receiveBuffer: 4096)
            // Bob never reads: once the system's buffers are full of errors, a handler that waits for him is in
            // sendJSON(). JSON writes six characters for each of this name's.
            let name = String(repeating: "\u{1}", count: 20_000)
            try bob.send("/pm \(name) hi", times: 80)
            let turn = JSONValue.message("turn", from: "ana")
            var hasLeft = false
            try room.quietly {
                for _ in 0..<60 {
                    try ana.send("turn")
                    // A server may drop whoever does not read.
                    let left = JSONValue.system("bob left")
                    var event = try ana.receiveJSON(wanted: turn.text)
                    if !hasLeft, event.contains(left) {
                        hasLeft = true
                        event = try ana.receiveJSON(wanted: turn.text)
                    }
                    if !event.contains(turn) {
                        throw ana.wrong(
                            expected: turn.text, got: event.text, "nobody but the sender gets the error")
                    }
                }
            }
            bob.drop(reset: true)
            let hint =
                "bob has read nothing, so his handler waited in sendJSON, which throws when the connection is over: "
                + "leave in the catch as well"
            if !hasLeft { try ana.expect(json: .system("bob left"), hint) }
            try hinting(ifGot: "close 4009", hint) { _ = try enter(room, "bob", meeting: ana) }
        }
    }

    func testNamesAreDecodedAndKeptAsTheyAre() throws {
        try grade(PrivateMessages.self, "names are any text; upper and lower case make different names") {
            room in
            let zoe = try hinting(
                ifGotWith: [
                    "%C3%AB": "the address is percent-encoded; in socket.parameters the name is decoded",
                    "zoë joined": "a name stays as it is: upper and lower case make a difference",
                ]
            ) {
                try enter(room, "Zoë", at: "Zo%C3%AB")
            }
            let small = try enter(room, "zoë", at: "zo%C3%AB", meeting: zoe)
            let slash = try enter(room, "a/b:c", at: "a%2Fb:c", meeting: zoe, small)
            try slash.send("/pm Zoë hi")
            try expect([slash, zoe], .pm("hi", from: "a/b:c", to: "Zoë"))
            try zoe.send("/pm a/b:c hi")
            try expect([slash, zoe], .pm("hi", from: "Zoë", to: "a/b:c"))
            try fence(by: small, for: [zoe, small, slash], "zoë and Zoë are two people")
        }
    }

    // MARK: - Steps

    /// Connects, and waits until everyone has been told.
    private func enter(
        _ room: Classroom, _ name: String, at path: String? = nil, meeting others: Client...,
        receiveBuffer: Int? = nil
    ) throws -> Client {
        let client = try room.connect(name, to: "/ws/chat/\(path ?? name)", receiveBuffer: receiveBuffer)
        try hinting(ifGot: "close 4009", "the name was free, or should have been: who leaves gives it back") {
            try hinting(
                ifGot: "close 1000", "nothing ends the conversation here: accept, join, and loop over socket"
            ) {
                try expect(
                    [client] + others, .system("\(name) joined"),
                    "everyone is told, the newcomer too: accept and list the socket first, then announce; "
                        + "broadcast passes over a socket that is not open yet")
            }
        }
        return client
    }

    /// A mistake that ends the conversation has a cause of its own.
    private func hintingIfClosed<Result>(_ part: () throws -> Result) throws -> Result {
        let hint =
            "a mistake must not end the conversation: catch the Complaint inside the loop, around one text"
        return try hinting(
            ifGot: [
                "close 1006": hint, "close 1011": hint, "close 1000": hint, "a close": hint,
                "close": "a mistake in a message is answered, not closed: the conversation goes on",
            ], part)
    }

    /// What was sent to all as it came has not been read as a command.
    private func hintingIfPublic<Result>(
        _ hint: String = "the text went to all: is Command.parse used?", _ part: () throws -> Result
    ) throws -> Result {
        try hinting(hint) {
            try part()
        } when: { findings in
            findings.contains {
                $0.hasPrefix("     got ") && $0.contains(#""message":"/pm"#)
                    && $0.contains(#""type":"message""#)
            }
        }
    }

    private func expect(_ clients: [Client], _ event: JSONValue, _ hint: String = "") throws {
        for client in clients { try client.expect(json: event, hint) }
    }

    /// Had anything else come for these clients, it would be here before this message for all.
    private func fence(by speaker: Client, for clients: [Client], _ hint: String) throws {
        try speaker.send("fence")
        try expect(clients, .message("fence", from: speaker.name), hint)
    }
}

extension JSONValue {
    fileprivate static func system(_ message: String) -> JSONValue {
        ["type": "system", "message": .string(message)]
    }
    fileprivate static func message(_ message: String, from sender: String) -> JSONValue {
        ["type": "message", "from": .string(sender), "message": .string(message)]
    }
    fileprivate static func pm(_ message: String, from sender: String, to recipient: String) -> JSONValue {
        ["type": "pm", "from": .string(sender), "to": .string(recipient), "message": .string(message)]
    }
}
