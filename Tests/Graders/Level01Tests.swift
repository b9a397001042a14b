import GraderKit
import Level01
import XCTest

/// Level 01 – Basic echo. Chapter 1 of Course.md.
final class Level01Tests: XCTestCase {
    func testTextIsAnsweredWithEcho() throws {
        try grade(BasicEcho.self, "each text m on /ws is answered with \"Echo: m\"") { room in
            let anna = try room.connect("Anna", to: "/ws")
            try anna.send("hello")
            try hinting(
                ifSilent:
                    "nothing was sent: making the answer is not enough, socket.send(…) sends it"
            ) {
                try anna.hears(
                    "Echo: hello", "the answer is \"Echo: \", with a space, and then the message as it came")
            }
        }
    }

    func testEveryMessageIsAnsweredInOrder() throws {
        try grade(BasicEcho.self, "every message is answered, in the order they came") { room in
            let anna = try room.connect("Anna", to: "/ws")
            for text in ["one", "two", "three"] { try anna.send(text) }
            for text in ["one", "two", "three"] {
                try anna.hears(
                    "Echo: \(text)", "each message gets its own answer, before the next one is taken")
            }
        }
    }

    func testAnEmptyTextIsAMessageToo() throws {
        try grade(BasicEcho.self, "an empty text is a message and is answered") { room in
            let anna = try room.connect("Anna", to: "/ws")
            try anna.send("")
            try anna.send("after")
            let crash =
                "an empty text has no first character: whatever is asked for must be allowed to be missing"
            let stay =
                "the handler returned, but an empty message is not the end: when the loop ends, the "
                + "client has left"
            try hinting(ifCrashed: crash) {
                try hinting(ifGot: "close 1000", stay) {
                    try anna.hears(
                        "Echo: ",
                        "a message of length 0 is a message like any other: it is answered, and ends nothing")
                }
            }
            try anna.hears("Echo: after")
        }
    }

    func testTextComesBackUnchanged() throws {
        try grade(BasicEcho.self, "the text after \"Echo: \" is the one that came, to the last character") {
            room in
            let anna = try room.connect("Anna", to: "/ws")
            for text in [
                " two  spaces ", "line\nbreak\t", "日本語 👩‍👩‍👧", String(repeating: "long ", count: 20_000),
            ] {
                try anna.send(text)
                try anna.hears(
                    "Echo: \(text)",
                    "a message comes whole, whatever is in it and however long it is: nothing is "
                        + "to trim, split or cut"
                )
            }
        }
    }

    func testBinaryComesBackAsItIs() throws {
        try grade(BasicEcho.self, "a binary message on /ws comes back as binary, without a prefix") { room in
            let anna = try room.connect("Anna", to: "/ws")
            try anna.send([0x00, 0xFF, 0x10])
            try anna.send([UInt8]())
            try anna.send("after")
            try anna.hears(
                binary: [0x00, 0xFF, 0x10], "bytes need not be text: send the [UInt8] back as it came")
            try anna.hears(binary: [], "no bytes are a message too")
            try anna.hears("Echo: after")
        }
    }

    func testShoutAnswersInUpperCase() throws {
        try grade(BasicEcho.self, "each text on /ws/shout is answered in upper case, without a prefix") {
            room in
            let anna = try room.connect("Anna", to: "/ws/shout")
            for text in ["hello", "hello again", ""] {
                try anna.send(text)
                try hinting(ifCrashed: text.isEmpty ? "an empty text has no first letter to ask for" : nil) {
                    try hinting(
                        ifGot: "text \"Echo:",
                        "\"Echo: \" belongs to /ws alone: each path has a handler of its own"
                    ) {
                        try anna.hears(
                            text.uppercased(),
                            "every letter of the text is to be in upper case, and nothing else added")
                    }
                }
            }
        }
    }

    func testShoutKnowsEveryAlphabet() throws {
        try grade(BasicEcho.self, "upper case works for every alphabet, not only for a to z") { room in
            let anna = try room.connect("Anna", to: "/ws/shout")
            for (text, answer) in [("grüße", "GRÜSSE"), ("ωμέγα", "ΩΜΈΓΑ"), ("мир 7", "МИР 7")] {
                try anna.send(text)
                try hinting(
                    ifGot: "text \"GRÜßE\"",
                    "ß is SS in upper case: one letter may become two, so convert the whole text"
                ) {
                    try anna.hears(
                        answer,
                        "most letters are not between a and z: String.uppercased() knows all of Unicode")
                }
            }
        }
    }

    func testClientsHearOnlyTheirOwnAnswers() throws {
        try grade(BasicEcho.self, "clients talk at the same time and hear only answers to their own") {
            room in
            let anna = try room.connect("Anna", to: "/ws")
            let ben = try room.connect("Ben", to: "/ws")
            try anna.send("from Anna")
            try ben.send("from Ben")
            let socket =
                "each call of the handler has a socket of its own: answer on that one, and on no other"
            let turns = """
                the handler returned while the client was still there. Clients need not take turns: the \
                engine calls the handler for each of them, at the same time
                """
            for (client, name) in [(ben, "Ben"), (anna, "Anna")] {
                try hinting(ifGot: "close 1000", turns) {
                    try client.hears("Echo: from \(name)", socket)
                }
            }
            // The fence: had anything else come for Anna, it would be here before this answer.
            try anna.send("fence")
            try anna.hears("Echo: fence", "nothing that Ben said may come to Anna")
        }
    }

    func testAnotherClientIsServedAfterOneHasLeft() throws {
        try grade(BasicEcho.self, "when one client leaves, the others and new ones are served as before") {
            room in
            let anna = try room.connect("Anna", to: "/ws")
            let ben = try room.connect("Ben", to: "/ws")
            try ben.send("hi")
            try ben.hears("Echo: hi")
            let crash =
                "a client that leaves is the usual end: the loop ends, or a receive throws. That is no "
                + "case for try!"
            try hinting(ifCrashed: crash) { try ben.close() }
            let hint =
                "Ben's leaving ends one call of the handler, his own: nothing of it may end Anna's, "
                + "or the next one"
            try hinting(ifGot: "close", hint) {
                try anna.send("still here")
                try anna.hears("Echo: still here", hint)
                let carla = try room.connect("Carla", to: "/ws")
                try carla.send("new")
                try carla.hears("Echo: new", hint)
            }
        }
    }
}

extension Client {
    private static let stay = """
        the handler returned, and so the connection was closed: stay in a loop until the client leaves, and \
        answer in it, not in a Task that is left behind
        """

    fileprivate func hears(_ text: String, _ hint: String = "") throws {
        try hinting(ifGot: "close 1000", Self.stay) { try expect(text, hint) }
    }

    fileprivate func hears(binary bytes: [UInt8], _ hint: String) throws {
        try hinting(ifGot: [
            "close 1000": Self.stay,
            "close 1011":
                "what throws ends the connection: take both kinds, and see which came",
            "text \"Echo: after\"": "the binary messages were passed over: they are to be answered, too",
            "binary 45 63 68 6f":
                "45 63 68 6f is \"Echo\": the prefix is for text alone, bytes come back as they are",
        ]) { try expect(bytes, hint) }
    }
}
