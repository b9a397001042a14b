import Foundation
import GraderKit
import Level15
import WebSocketEngine
import XCTest

/// Level 15 – Backpressure. Chapter 15 of Course.md.
final class Level15Tests: XCTestCase {
    func testSubscribersGetWhatIsPublished() throws {
        try check("every subscriber gets every text that is published from then on, in order") { room, _ in
            let ana = try subscribe(room, "Ana")
            let publisher = try room.connect("Publisher", to: "/publish")
            let texts = ["one", "", "  two  ", "日本語 👩‍👩‍👧\n\"quoted\"", "{\"type\":\"dropped\"}", "one"]
            try publish(publisher, texts)
            for text in texts {
                try hintingIfDropped(
                    "nothing is missing here, and a count of 0 is no news: number - last - 1, where last is the number "
                        + "sent just before"
                ) { try ana.expect(json: .message(text), "each text once, unchanged, in order") }
            }
            let ben = try subscribe(room, "Ben")
            try publisher.send([1, 2, 3])
            try publish(publisher, ["after"])
            let hint = "a subscriber gets what is published after it has subscribed; binary is not published"
            for client in [ben, ana] {
                try hintingIfDropped(
                    "what was published before it joined is not missing: begin with queue.start"
                ) { try client.expect(json: .message("after"), hint) }
            }
        }
    }

    func testWhatSubscribersSendIsIgnored() throws {
        try check("what a subscriber sends is read and ignored") { room, _ in
            let ana = try subscribe(room, "Ana")
            let ben = try subscribe(room, "Ben")
            for number in 1...100 { try ana.send("\(number)") }
            try ana.send([1, 2, 3])
            try publish(try room.connect("Publisher", to: "/publish"), ["hi"])
            for client in [ana, ben] {
                try hinting(
                    ifGot: "close",
                    "a subscriber may say what it likes, as often as it likes, and binary, too: read on"
                ) {
                    _ = try client.expect(json: .message("hi"), "only /publish publishes")
                }
            }
            // Her close comes after all that, so it is found only by who reads all that.
            try hinting(
                "nobody receives: beside deliver, a second task must go on receiving, or the close is never read",
                { try ana.close() }, when: { _ in true })
            try room.expectGet(
                "/subscribers", json: ["count": 1],
                "receiving has ended, but delivering still waits for its queue: cancel it, then leave the feed"
            )
        }
    }

    func testWhoHasLeftIsNotCounted() throws {
        try check("GET /subscribers counts who is subscribed, also if nothing is published") { room, _ in
            try room.expectGet("/subscribers", json: ["count": 0])
            let ana = try subscribe(room, "Ana")
            let ways: [(Client) throws -> Void] = [
                { try $0.close() }, { try $0.closeWithoutCode() }, { $0.drop() }, { $0.drop(reset: true) },
            ]
            for leave in ways {
                let ben = try subscribe(room, "Ben")
                try room.expectGet("/subscribers", json: ["count": 2])
                try leave(ben)
                try room.expectGet(
                    "/subscribers", json: ["count": 1],
                    "a task that only sends learns of no end: receive at the same time. When that is over, delivering "
                        + "still waits for its queue: cancel it, then leave the feed"
                )
            }
            try publish(try room.connect("Publisher", to: "/publish"), ["hi"])
            try ana.expect(json: .message("hi"))
        }
    }

    func testWhoIsGoneAtOnceIsNotCounted() throws {
        try check("a subscriber that is gone before it is sent anything is not counted", loops: 2) {
            room, _ in
            let publisher = try room.connect("Publisher", to: "/publish")
            let long = String(repeating: "long ", count: 1 << 20)
            for _ in 1...6 {
                // While this is published, whoever joins may have to wait, and is gone meanwhile.
                try room.quietly("Publisher", "sends a text of 5 MiB") { try publisher.send(long) }
                try room.passBy(150, at: "/feed")
                try publisher.expect(json: ["type": "published"])
                let ana = try subscribe(room, "Ana")
                try ana.close()
                try room.expectGet(
                    "/subscribers", json: ["count": 0],
                    "sending subscribed throws when the client is gone: leave the feed then too, in a catch around all "
                        + "that follows on joining")
            }
        }
    }

    func testASlowReaderLeavesWhileASendWaits() throws {
        try check("a subscriber that leaves while a send to it waits is not counted any more") { room, ends in
            let publisher = try room.connect("Publisher", to: "/publish")
            let ways: [(Client) throws -> Void] = [
                { $0.drop(reset: true) }, { try $0.close() }, { $0.drop() },
            ]
            for leave in ways {
                let slow = try subscribe(room, "Slow")
                try ends.fill(slow)
                try publish(publisher, ["one", "two", "three"])
                try leave(slow)
                try room.expectGet(
                    "/subscribers", json: ["count": 0],
                    "leave the feed whichever way it ends: send() throws when the connection is over, and what "
                        + "stands below the loop is not reached then"
                )
            }
        }
    }

    func testASlowReaderDelaysNobody() throws {
        try check("a subscriber that does not read delays neither the publisher nor other subscribers") {
            room, ends in
            let slow = try subscribe(room, "Slow")
            let fast = try subscribe(room, "Fast")
            let publisher = try room.connect("Publisher", to: "/publish")
            try ends.fill(slow)
            for start in stride(from: 0, to: 1600, by: 200) {
                let texts = (start..<start + 200).map { "\($0)" }
                try publish(publisher, texts)
                try room.quietly("Fast", "receives all of them") {
                    for text in texts {
                        try hinting(ifGot: "{", inOrder) {
                            _ = try fast.expect(
                                json: .message(text),
                                "Slow does not read, and Fast waits with it: each subscriber needs a task of its own "
                                    + "that sends")
                        }
                    }
                }
            }
            try room.expectGet("/subscribers", json: ["count": 2], keepsItsPlace)
        }
    }

    func testAThousandMessagesWait() throws {
        try check("a thousand messages wait for a reader that has stopped, and none is dropped") {
            room, ends in
            let slow = try subscribe(room, "Slow")
            let publisher = try room.connect("Publisher", to: "/publish")
            try ends.fill(slow)
            try publish(publisher, numbers(1...1000))
            try readOn(slow)
            for number in 1...1000 {
                try slow.expect(
                    json: .message("\(number)"), "up to 1,000 messages wait: none of them is dropped")
            }
        }
    }

    func testTheOldestAreDropped() throws {
        try check("of more than a thousand that wait the oldest are dropped, and the newest thousand come") {
            room, ends in
            let slow = try subscribe(room, "Slow")
            let fast = try subscribe(room, "Fast")
            let publisher = try room.connect("Publisher", to: "/publish")
            try ends.fill(slow)
            // The first is on its way when the others come.
            try publish(publisher, ["1"])
            try fast.expect(json: .message("1"))
            try publish(publisher, numbers(2...2500))
            try readOn(slow)
            let got = try Reading(of: slow, until: 2500, in: room).numbers
            if Array(got.suffix(1000)) != Array(1501...2500) {
                throw room.wrong(
                    "expected the last 1,000 messages to be 1501 to 2500", "     got \(summary(got))",
                    hint: "the newest stay: when the queue is full, the oldest in it makes room")
            }
            if got.count > 1001 {
                throw room.wrong(
                    "expected at most 1,001 of 2,500 messages: one that is being sent, and 1,000 that wait",
                    "     got \(got.count): \(summary(got))",
                    hint: "when 1,000 wait and one comes, one goes. A task for each message is a queue, too")
            }
        }
    }

    func testGapsAreReported() throws {
        try check("before the message after a gap the subscriber is told how many are missing") {
            room, ends in
            let slow = try subscribe(room, "Slow")
            let publisher = try room.connect("Publisher", to: "/publish")
            var last = 0
            for burst in [1007, 1300] {
                try ends.fill(slow)
                try publish(publisher, numbers(last + 1...last + burst))
                try readOn(slow)
                // Reading throws where counts and gaps do not fit.
                _ = try Reading(of: slow, after: last, until: last + burst, in: room)
                last += burst
            }
            try publish(publisher, ["bye"])
            try slow.expect(json: .message("bye"), "a count is told once, and then begins at 0 again")
        }
    }

    func testEveryReaderHasAQueueOfItsOwn() throws {
        try check("what one subscriber misses, the others get") { room, ends in
            let publisher = try room.connect("Publisher", to: "/publish")
            let slow = try subscribe(room, "Slow")
            try ends.fill(slow)
            try publish(publisher, numbers(1...900))
            let slower = try subscribe(room, "Slower")
            try ends.fill(slower)
            try publish(publisher, numbers(901...1800))
            for (client, first) in [(slow, 1), (slower, 901)] {
                try readOn(client)
                let got = try Reading(of: client, after: first - 1, until: 1800, in: room).numbers
                let wanted = client.name == "Slow" ? 801...1800 : 901...1800
                if Array(got.suffix(wanted.count)) != Array(wanted) {
                    throw room.wrong(
                        "expected \(client.name) to get \(wanted.lowerBound) to \(wanted.upperBound) in the end",
                        "     got \(summary(got))", hint: "1,000 messages for each, not for all together")
                }
            }
        }
    }

    func testManyAtOnce() throws {
        try check(
            "of many publishers at once nothing is lost, and all subscribers see the same order", loops: 2
        ) {
            room, _ in
            let readers = try (1...10).map { try subscribe(room, "Reader \($0)") }
            let publishers = try (1...5).map { try room.connect("Publisher \($0)", to: "/publish") }
            try room.simultaneously {
                for number in 1...20 {
                    for publisher in publishers { try publisher.send("\(publisher.name): \(number)") }
                }
            }
            for publisher in publishers {
                for _ in 1...20 { try publisher.expect(json: ["type": "published"]) }
            }
            let truth = try (1...100).map { _ in try text(of: readers[0]) }
            for publisher in publishers
            where truth.filter({ $0.hasPrefix(publisher.name) })
                != (1...20).map({ "\(publisher.name): \($0)" })
            {
                throw room.wrong("\(publisher.name)'s texts did not all arrive in order", hint: oneStep)
            }
            for reader in readers.dropFirst() {
                for text in truth { try reader.expect(json: .message(text), oneStep) }
            }
        }
    }

    // MARK: - Files

    func testAFileArrivesInChunks() throws {
        let sizes = [0, 1, 8191, 8192, 8193, 16384, 100_000]
        let files = Dictionary(uniqueKeysWithValues: sizes.map { ("\($0).bin", bytes($0)) })
        try check("a file arrives in binary messages of 8,192 bytes, and then a close with 1000", files) {
            room, _ in
            for size in sizes {
                let ana = try room.connect("Ana", to: "/files/\(size).bin")
                let whole = bytes(size)
                for start in stride(from: 0, to: size, by: 8192) {
                    let rest = size - start
                    let left = rest == 1 ? "1 byte" : "\(rest) bytes"
                    try hinting(ifGot: "text", "a file is bytes: send a [UInt8]") {
                        try hinting(
                            ifGot: "close", "the file is not over: what is left at its end is a message, too"
                        ) {
                            try ana.expect(
                                Array(whole[start..<min(start + 8192, size)]),
                                rest < 8192
                                    ? "the last message has all that is left, here \(left), and nothing is added"
                                    : "every message but the last has 8,192 bytes, and nothing is changed")
                        }
                    }
                }
                try hinting(
                    ifGot: "close",
                    "1000 says that the work is done. A handler that simply returns closes with it"
                ) {
                    try hinting(
                        "after the last byte the handler is over: if it waits for more, the connection stays open",
                        {
                            try ana.expectClose(
                                1000,
                                "after the last byte: nothing more, also no empty message; an empty file is a close "
                                    + "and nothing else")
                        }, when: { $0.contains { $0.contains("nothing came") } })
                }
            }
        }
    }

    func testNamesAreNames() throws {
        let names = ["Zoë.txt", "two words", "..hidden", "a..b", "%2e", "x?y"]
        let files = Dictionary(uniqueKeysWithValues: names.map { ($0, Data("in \($0)".utf8)) })
        try check("a name is percent-decoded, and may hold dots and spaces", files) { room, _ in
            for name in names {
                let path = name.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
                let ana = try room.connect("Ana", to: "/files/\(path)")
                let hint =
                    switch name {
                    case "%2e":
                        "the parameter is decoded already: who decodes it again looks for a file called ."
                    case _ where name.contains(".."):
                        "two dots lead upwards only where they are all of a name"
                    default: "socket.parameters has the name decoded, and request.path has not"
                    }
                try ana.expect(Array("in \(name)".utf8), "the file's name is \(name): \(hint)")
                try ana.expectClose(1000)
            }
        }
    }

    func testUnknownNamesAreRefused() throws {
        let files = ["here.txt": Data("here".utf8), "folder/inside.txt": Data("inside".utf8)]
        try check("a name that no file in the directory has is closed with 1008 No such file", files) {
            room, _ in
            for name in [
                "missing.txt", "here.tx", "here.txt2", "folder", "folder%2Finside.txt", "here.txt%00", "%20",
            ] {
                try expectNoSuchFile(
                    room, name,
                    name.hasSuffix("%00")
                        ? "\\0 in a name ends it for the operating system: refuse it"
                        : name.hasPrefix("folder")
                            ? "neither a folder nor a name with a / in it is the name of a file here"
                            : "there is no file of exactly this name: say so before anything is read or sent")
            }
            let ana = try room.connect("Ana", to: "/files/here.txt")
            try ana.expect(Array("here".utf8))
        }
        // A directory that does not exist holds no files.
        try check("a name that no file in the directory has is closed with 1008 No such file") { room, _ in
            try expectNoSuchFile(room, "here.txt", "there is not even a directory")
        }
    }

    func testNoNameLeadsOutOfTheDirectory() throws {
        let files = [
            "here.txt": Data("here".utf8), "folder/inside.txt": Data("inside".utf8),
            "../secret.txt": Data("!".utf8),
            "../data2/secret.txt": Data("!".utf8),
        ]
        try check("no name leads out of the directory: close 1008 No such file", files) { room, _ in
            let names = [
                "..%2Fsecret.txt", "..%2F..%2Fsecret.txt", "%2Fetc%2Fpasswd", "%2Fetc%2Fhosts", "..", ".",
                "%2E%2E",
                "..%2Fdata2%2Fsecret.txt", "folder%2F..%2F..%2Fsecret.txt", "..%2fsecret.txt",
                "%2E%2E%2Fsecret.txt", "....%2F%2Fsecret.txt", "..%2Fdata%2F..%2Fsecret.txt",
            ]
            for name in names {
                try expectNoSuchFile(
                    room, name,
                    "a client chooses this name: a / in it would make it a path. Refuse it, and mend nothing")
            }
        }
    }

    func testAFileIsReadAtTheReadersPace() throws {
        // More than all that systems buffer on the way.
        let size = 16 << 20
        try check("a file is read no faster than its reader takes it", ["large.bin": Data(count: size)]) {
            room, _ in
            let slow = try room.connect("Slow", to: "/files/large.bin", receiveBuffer: 128 << 10)
            let first = try slow.receiveBytes()
            let given =
                "the connection was given up, with too much waiting for a reader that is slow, as broadcast does: "
                + "send waits for the reader"
            guard first.count == 8192 else {
                throw room.wrong(
                    "expected a message of 8,192 bytes", "     got one of \(first.count) bytes",
                    hint: "every message but the last has 8,192 bytes")
            }
            // The server can send no more than a few MiB beyond that. What it has not read may still change.
            try data.change(lastBytes: 8192, of: "large.bin", to: 0xFF)
            try hinting(ifGot: "the end of the connection", given) {
                for _ in 2..<(size / 8192) { _ = try slow.receiveBytes() }
            }
            try slow.expect(
                [UInt8](repeating: 0xFF, count: 8192),
                "the end was changed long before Slow had come so far, but the old one came: the file was read ahead. "
                    + "Read a chunk, await its send, and only then read the next")
            try slow.expectClose(1000)
        }
    }

    func testASlowDownloadDelaysNobody() throws {
        let size = 16 << 20
        let files = ["large.bin": Data(count: size), "small.txt": Data("small".utf8)]
        try check(
            "a client that does not read its file delays nobody, and when it leaves the file is closed", files
        ) {
            room, _ in
            let slow = try room.connect("Slow", to: "/files/large.bin", receiveBuffer: 128 << 10)
            _ = try slow.receiveBytes()
            for _ in 1...20 {
                let ana = try room.connect("Ana", to: "/files/small.txt")
                try ana.expect(Array("small".utf8), "Slow's handler must wait with await, not in a loop")
                try ana.expectClose(1000)
            }
            slow.drop(reset: true)
            try room.expect(
                "the server closes large.bin",
                "send() throws when the client is gone: close the file then too"
            ) { !data.isOpen("large.bin") }
        }
    }

    // MARK: - Steps

    private let oneStep =
        "number a message and put it into all queues in one step of an actor, without an await"
    /// The data directory of the check. Set before it begins.
    private var data: DataFolder!

    /// A check whose server has a directory with these files.
    private func check(
        _ rule: String, _ files: [String: Data]? = nil, loops: Int = 1,
        _ script: (Classroom, ServerEnds) throws -> Void
    ) throws {
        let ends = ServerEnds()
        data = try DataFolder(files)
        try grade(
            Backpressure.self, rule, loops: loops,
            makeApplication: { [path = data.path] in
                let application = Backpressure.makeApplication(data: path)
                application.limits.messageBytes = 64 << 20
                return application
            }, prepare: ends.watch
        ) { try script($0, ends) }
    }

    /// A client that has not read begins to read again, with the bytes that have stood before its messages.
    private func readOn(_ client: Client) throws {
        _ = try hintingIfThrownOut { try client.receiveBytes() }
    }

    private func subscribe(_ room: Classroom, _ name: String) throws -> Client {
        let client = try room.connect(
            name, to: "/feed", receiveBuffer: 128 << 10, "accept the handshake before anything is sent")
        try client.expect(
            json: ["type": "subscribed"],
            "this comes first, and at once: it says from when on a subscriber hears everything")
        return client
    }

    /// Publishes texts, each of which must be answered.
    private func publish(_ publisher: Client, _ texts: [String]) throws {
        if texts.count > 10 {
            try publisher.send(texts)
        } else {
            for text in texts { try publisher.send(text) }
        }
        for _ in texts {
            try publisher.expect(
                json: ["type": "published"],
                "each text is answered at once, also if somebody does not read: nothing in publish may wait for a "
                    + "send. Put the message into each queue")
        }
    }

    /// A count of what is missing says more about its cause than that it is no message.
    private func hintingIfDropped(_ hint: String, _ part: () throws -> Void) throws {
        try hinting(
            hint, part, when: { $0.contains { $0.hasPrefix("     got {") && $0.contains("\"dropped\"") } })
    }

    private func numbers(_ range: ClosedRange<Int>) -> [String] { range.map { "\($0)" } }

    private func text(of client: Client) throws -> String {
        try client.expect(json: ["type": "message"], oneStep)["message"]?.string ?? "?"
    }

    private func expectNoSuchFile(_ room: Classroom, _ name: String, _ hint: String) throws {
        let eve = try hinting(
            ifGot: "HTTP status",
            "a page sees nothing of a status, but code and reason of a close: throw a WebSocketException. What else "
                + "is thrown is answered 500"
        ) { try room.connect("Eve", to: "/files/\(name)", hint) }
        try hinting(ifGot: "close 1008", "the code is right; the reason tells the client what is wrong") {
            try hinting(
                ifGot: "close 1011",
                "\(hint). 1011 would say that the server is broken"
            ) {
                try hinting(ifGot: "text", "this is said with the close alone, and nothing before it") {
                    try eve.expectClose(1008, reason: "No such file", hint)
                }
            }
        }
    }

    private func bytes(_ count: Int) -> Data {
        Data((0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) })
    }
}

/// What a subscriber reads up to a number, where every gap must have been reported.
private struct Reading {
    var numbers: [Int] = []

    init(of client: Client, after start: Int = 0, until end: Int, in room: Classroom) throws {
        var last = start
        var missing = 0
        while last < end {
            let event = try hintingIfThrownOut {
                try client.receiveJSON(
                    wanted: "message \(end), which was published last, or another one before it",
                    "the newest stay: when the queue is full, the oldest in it makes room")
            }
            if event["type"] == "dropped", case .number(let count)? = event["count"], count > 0 {
                missing += Int(count)
                continue
            }
            guard event["type"] == "message", let number = event["message"]?.string.flatMap({ Int($0) })
            else {
                throw client.wrong(expected: "a message, or how many were dropped", got: event.text)
            }
            if number <= last {
                throw client.wrong(expected: "a message after \(last)", got: "\(number)", inOrder)
            }
            if missing == 0, number > last + 1, number < end,
                try Self.client(client, gets: last + 1, before: end, in: room)
            {
                throw client.wrong(
                    expected: "message \(last + 1) after \(last)", got: "\(number), and \(last + 1) later",
                    inOrder)
            }
            if number != last + missing + 1 {
                throw room.wrong(
                    "expected to be told of \(number - last - 1) dropped messages between \(last) and \(number)",
                    "     got \(missing == 0 ? "no such event" : "told of \(missing)")",
                    hint:
                        "tell it before the message that follows on the gap, and send that one, too; count only what "
                        + "is missing there"
                )
            }
            last = number
            missing = 0
            numbers.append(number)
        }
    }

    /// Reads on and tells whether this message comes before the last one.
    private static func client(
        _ client: Client, gets number: Int, before end: Int, in room: Classroom
    ) throws -> Bool {
        try room.quietly {
            while true {
                let text = try client.receiveJSON()["message"]?.string
                if text == "\(number)" || text == "\(end)" { return text == "\(number)" }
            }
        }
    }
}

private let keepsItsPlace =
    "a slow reader loses messages and keeps its place: nobody may end its connection, as broadcast does"

private func hintingIfThrownOut<Result>(_ part: () throws -> Result) throws -> Result {
    try hinting(
        keepsItsPlace, part,
        when: {
            $0.contains {
                $0.hasPrefix("     got close") || $0.hasPrefix("     got the end of the connection")
            }
        })
}

private let inOrder = "out of order: send one after the other, in one task; tasks have no order"

/// Numbers in few words, such as "1, 1501 to 2500".
private func summary(_ numbers: [Int]) -> String {
    var runs: [ClosedRange<Int>] = []
    for number in numbers {
        if let run = runs.last, run.upperBound + 1 == number {
            runs[runs.count - 1] = run.lowerBound...number
        } else {
            runs.append(number...number)
        }
    }
    let shown = runs.prefix(6).map {
        $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound) to \($0.upperBound)"
    }
    return shown.joined(separator: ", ") + (runs.count > 6 ? " …" : "")
}

extension DataFolder {
    /// Writes over the end of a file, in its place.
    fileprivate func change(lastBytes count: Int, of name: String, to byte: UInt8) throws {
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: "\(path)/\(name)"))
        try file.seek(toOffset: try file.seekToEnd() - UInt64(count))
        try file.write(contentsOf: Data(repeating: byte, count: count))
        try file.close()
    }

    /// True if this process, in which the server runs, has the file open.
    fileprivate func isOpen(_ name: String) -> Bool {
        var wanted = stat()
        guard stat("\(path)/\(name)", &wanted) == 0 else { return false }
        return (0..<Int32(1024)).contains { descriptor in
            var found = stat()
            return fstat(descriptor, &found) == 0 && found.st_dev == wanted.st_dev
                && found.st_ino == wanted.st_ino
        }
    }
}

extension JSONValue {
    fileprivate static func message(_ text: String) -> JSONValue {
        ["type": "message", "message": .string(text)]
    }
}
