import GraderKit
import Level01
import XCTest

/// Level 01 – Basic echo. Chapter 1 of Course.md.
final class Level01Tests: XCTestCase {
    func testTextIsAnsweredWithEcho() throws {
        try grade(BasicEcho.self, "each text m on /ws is answered with \"Echo: m\"") { room in
            let anna = try room.connect("Anna", to: "/ws")
            try anna.send("hello")
            try anna.hears(
                "Echo: hello", "the answer is \"Echo: \", with a space, and then the message as it came")
        }
    }

    func testEveryMessageIsAnsweredInOrder() throws {
        try grade(BasicEcho.self, "every message is answered, in the order they came") { room in
            let anna = try room.connect("Anna", to: "/ws")
            for text in ["one", "two", "three"] { try anna.send(text) }
            for text in ["one", "two", "three"] {
                try anna.hears("Echo: \(text)", "one answer is not enough: repeat until the client leaves")
            }
        }
    }

    func testAnEmptyTextIsAMessageToo() throws {
        try grade(BasicEcho.self, "an empty text is a message and is answered") { room in
            let anna = try room.connect("Anna", to: "/ws")
            try anna.send("")
            try anna.send("after")
            try anna.hears("Echo: ", "a message of length 0 is a message: do not skip it")
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
                try anna.hears("Echo: \(text)", "do not trim, split or change what came")
            }
        }
    }

    func testBinaryComesBackAsItIs() throws {
        try grade(BasicEcho.self, "a binary message on /ws comes back as binary, without a prefix") { room in
            let anna = try room.connect("Anna", to: "/ws")
            try anna.send([0x00, 0xFF, 0x10])
            try anna.send([UInt8]())
            try anna.send("after")
            try anna.hears([0x00, 0xFF, 0x10], "bytes need not be text: send the [UInt8] back as it came")
            try anna.hears([UInt8](), "no bytes are a message too")
            try anna.hears("Echo: after")
        }
    }

    func testShoutAnswersInUpperCase() throws {
        try grade(BasicEcho.self, "each text on /ws/shout is answered in upper case, without a prefix") {
            room in
            let anna = try room.connect("Anna", to: "/ws/shout")
            for text in ["hello", "hello again", ""] {
                try anna.send(text)
                try anna.hears(text.uppercased())
            }
        }
    }

    func testShoutKnowsEveryAlphabet() throws {
        try grade(BasicEcho.self, "upper case works for every alphabet, not only for a to z") { room in
            let anna = try room.connect("Anna", to: "/ws/shout")
            for (text, answer) in [("grüße", "GRÜSSE"), ("ωμέγα", "ΩΜΈΓΑ"), ("мир 7", "МИР 7")] {
                try anna.send(text)
                try anna.hears(
                    answer, "String.uppercased() knows all of Unicode; arithmetic on bytes does not")
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
            try ben.hears(
                "Echo: from Ben", "each call of the handler has a socket of its own: answer on that one")
            try anna.hears(
                "Echo: from Anna", "each call of the handler has a socket of its own: answer on that one")
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
            try ben.close()
            try anna.send("still here")
            try anna.hears("Echo: still here")
            let carla = try room.connect("Carla", to: "/ws")
            try carla.send("new")
            try carla.hears("Echo: new")
        }
    }
}

extension Client {
    private static let stay =
        "the handler returned, and so the connection was closed: stay in a loop until the client leaves"

    fileprivate func hears(_ text: String, _ hint: String = "") throws {
        try hinting(ifGot: "close 1000", Self.stay) { try expect(text, hint) }
    }

    fileprivate func hears(_ bytes: [UInt8], _ hint: String = "") throws {
        try hinting(ifGot: "close 1000", Self.stay) { try expect(bytes, hint) }
    }
}
