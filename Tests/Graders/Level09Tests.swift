import Foundation
import GraderKit
import Level09
import WebSocketEngine
import XCTest

/// Level 09 – History. Chapter 9 of Course.md.
final class Level09Tests: XCTestCase {
    func testAJoinerGetsTheHistoryFirst() throws {
        try check("a joiner gets the history, then its own join, then what happens from now on") { room, _ in
            let ana = try room.connect("ana", to: "/ws/rooms/tea/ana")
            try ana.expect(
                json: .history("tea", []),
                "a joiner is sent the history before all else, as one message, also if it is empty")
            try ana.expect(json: .system("ana joined", "tea", "ana"), "the joiner hears its own join as well")
            try ana.send("one")
            try ana.expect(json: .message("one", "tea", "ana"))
            let ben = try room.connect("ben", to: "/ws/rooms/tea/ben")
            try hinting(ifGot: #"{"messages":[]"#, "the history is empty: has \"one\" been remembered?") {
                try hintingIfNotice {
                    try hinting(
                        ifGot: #"{"messages":["#,
                        "each entry is the whole message as it was sent, with its type, room, user and text"
                    ) {
                        _ = try ben.expect(
                            json: .history("tea", [.message("one", "tea", "ana")]), "the history comes first")
                    }
                }
            }
            try hinting(
                ifGot: #"{"messages":["#,
                "the history is for the joiner alone: those who are here have seen it all"
            ) {
                for client in [ben, ana] {
                    try client.expect(
                        json: .system("ben joined", "tea", "ben"), "all in the room are told, the joiner too")
                }
            }
            try ben.send("two")
            for client in [ben, ana] { try client.expect(json: .message("two", "tea", "ben")) }
            ben.drop()
            try ana.expect(json: .system("ben left", "tea", "ben"), "those who stay are told")
        }
    }

    func testTheHistoryIsTheLast50OldestFirst() throws {
        try check("the history is the last 50 messages, oldest first") { room, _ in
            let ana = try enter(room, "tea", "ana")
            try say(1...50, ana, in: room)
            try enter(room, "tea", "ben", after: (1...50).map { "\($0)" }, explaining: whatOfThe50)
            for number in 51...61 { try ana.send("\(number)") }
            try ana.expect(json: .system("ben joined", "tea", "ben"))
            for number in 51...61 { try ana.expect(json: .message("\(number)", "tea", "ana")) }
            try enter(room, "tea", "cy", after: (12...61).map { "\($0)" }, explaining: whatOfThe50)
        }
    }

    func testOnlyMessagesAreHistory() throws {
        try check("the history holds messages as they were sent; notices and binary are none") {
            room, folder in
            let ana = try enter(room, "tea", "ana")
            try say("one", ana)
            try enter(room, "tea", "ben", after: ["one"], noHistory).close()
            try ana.expect(json: .system("ben joined", "tea", "ben"))
            try ana.expect(json: .system("ben left", "tea", "ben"))
            try ana.send([1, 2, 3])
            try say("two", ana)
            try enter(room, "tea", "cy", after: ["one", "two"], noHistory)
            try room.restarted(folder.copy().application) { room in
                _ = try enter(
                    room, "tea", "dan", after: ["one", "two"],
                    "who came and went is no history, and does not belong into the file either")
            }
        }
    }

    func testEveryRoomHasItsOwnHistory() throws {
        try check("every room has a history of its own, also after a restart") { room, folder in
            // Percent-encoded: a slash, two dots, a line break and a quotation mark belong to the name.
            let rooms = ["tea", "Tea", "a%2Fb", "a_b", "..%2F..%2Fx", "%C3%A9%0A%22"]
            for path in rooms { try say("in \(path)", try enter(room, path, "ana")) }
            for path in rooms {
                try enter(
                    room, path, "ben", after: ["in \(path)"],
                    "only what was said in this room: a room is known by its whole name, and Tea is not tea")
            }
            try room.restarted(folder.copy().application) { room in
                for path in rooms {
                    _ = try enter(
                        room, path, "cy", after: ["in \(path)"],
                        "after a restart, too, a message belongs to its room: the file must say to which one")
                }
            }
        }
    }

    func testAnEmptyRoomKeepsItsHistory() throws {
        try check("a room that nobody is in any more keeps its history") { room, _ in
            let ana = try enter(room, "tea", "ana")
            let ben = try enter(room, "tea", "ben")
            try ana.expect(json: .system("ben joined", "tea", "ben"))
            try say("one", ana)
            try ana.close()
            try ben.expect(json: .message("one", "tea", "ana"))
            try ben.expect(json: .system("ana left", "tea", "ana"))
            try ben.close()
            // The server may learn a moment later that ben has left; in between and after, the history is the same.
            for number in 1...5 {
                try enter(
                    room, "tea", "cy \(number)", at: "cy", after: ["one"], "members leave, messages stay"
                ).close()
            }
        }
    }

    func testNothingIsLostOrDoubledForOneWhoJoinsWhileOthersTalk() throws {
        try check("who joins while others talk misses nothing and gets nothing twice") { room, _ in
            let hint = "send the history and list the socket in one step, without an await between the two"
            let twice = hint + "; so with a message: remember it and tell it in one step"
            let talkers = try (1...4).map { try room.connect("Talker \($0)", to: "/ws/rooms/tea/t\($0)") }
            for talker in talkers { while try talker.receiveJSON()["user"] != .string(user(talker)) {} }
            try talkers[0].send("first")
            while try talkers[0].receiveJSON()["message"] != "first" {}
            let joiners = try room.connectAmid(
                (1...8).map { ("Joiner \($0)", "/ws/rooms/tea/j\($0)") },
                step: { step in for talker in talkers { try talker.send("\(user(talker)) \(step)") } }, hint)
            // Every join is over when the joiner has its history; so this message is the last for everybody.
            let histories = try joiners.map { joiner in
                let history = try joiner.expect(json: ["type": "history", "room": "tea"], hint)["messages"]
                return (history?.array ?? []).compactMap { $0["message"]?.string }
            }
            try talkers[0].send("last")
            let truth = try ["first"] + messages(of: talkers[0])
            for (joiner, history) in zip(joiners, histories) {
                let got = try history + messages(of: joiner)
                if got == truth { continue }
                let missing = truth.filter { !got.contains($0) }
                throw room.wrong(
                    "expected \(joiner.name) to get every message once, in the history or after it",
                    missing.isEmpty
                        ? "     got some twice or in another order: \(got)" : "     missing: \(missing)",
                    hint: missing.isEmpty ? twice : hint)
            }
        }
    }

    // MARK: - The file

    func testTheHistorySurvivesARestart() throws {
        try check("a server that starts with the same directory has the same history, and adds to it") {
            room, folder in
            let ana = try enter(room, "tea", "ana")
            try say(1...30, ana, in: room)
            let again = try folder.copy()
            try restart(room, again) { room in
                let ben = try enter(
                    room, "tea", "ben", after: (1...30).map { "\($0)" },
                    "all lines of this file are complete: only what stands after the last line break is torn")
                try say(31...60, ben, in: room)
            }
            try restart(room, again.copy()) { room in
                try enter(room, "tea", "cy", after: (11...60).map { "\($0)" }) { got in
                    switch got.first {
                    case "1":
                        "the file begins with the oldest: the last 50, which are the history, are at its end"
                    case "31":
                        "what the first server had written is gone: add at the end of the file, not at its start"
                    default:
                        "a second restart: add at the end of the file, keep what is there, and load the last 50"
                    }
                }
            }
        }
    }

    func testAMessageIsInTheFileBeforeAnybodyIsSentIt() throws {
        try check("a message is in the file before anybody is sent it: kill -9 cannot take it back") {
            room, folder in
            let ana = try enter(room, "tea", "ana")
            for number in 1...10 {
                try say("\(number)", ana)
                // What a kill would leave behind at this moment.
                let copy = try folder.copy()
                try restart(room, copy) { room in
                    _ = try enter(
                        room, "tea", "ben", after: (1...number).map { "\($0)" },
                        "write first, then send; and leave nothing in a buffer of the process")
                }
            }
        }
    }

    func testEveryTextComesBackAsItWas() throws {
        try check("every text comes back from the file as it was") { room, folder in
            let texts = [
                "line\nbreak", "\r\n", "tab\tand\\backslash", "\"quoted\", {json}", "", "  ", "日本語 👩‍👩‍👧",
                "\u{2028}\u{0}",
                String(repeating: "long ", count: 4000),
            ]
            let ana = try enter(room, "tea", "ana")
            for text in texts { try say(text, ana) }
            let hint =
                "JSON escapes \\n and \\r, not every line break of Unicode: split the bytes at 10, not the text"
            try hintingIfNotStarted(hint) {
                try restart(room, folder.copy()) { room in
                    try enter(room, "tea", "ben", after: texts) { got in
                        let index =
                            texts.indices.first { !got.indices.contains($0) || got[$0] != texts[$0] } ?? 0
                        let which = "number \(index + 1) is the first that differs. "
                        if texts[index].contains("\n") || texts[index].contains("\r\n") {
                            return which
                                + "A text may hold line breaks: as JSON it is one line all the same, which "
                                + "ends at byte 10"
                        }
                        if texts[index].allSatisfy({ $0 == " " }) {
                            return which + "An empty text is a message, too, and spaces are part of a text"
                        }
                        return which + hint
                    }
                }
            }
        }
    }

    func testTheFileOnlyGrowsAndStaysInItsDirectory() throws {
        try check("the file only grows, and nothing is written outside of the directory") { room, folder in
            let ana = try enter(room, "..%2F..%2Fescape", "ana", at: "..%2F..%2Fana")
            try say(1...55, ana, in: room)
            let (before, numbers) = (folder.files, folder.fileNumbers)
            _ = try growths(in: folder, room) { try say("56", ana) }
            let (after, numbersAfter) = (folder.files, folder.fileNumbers)
            for (name, bytes) in before {
                if after[name]?.starts(with: bytes) != true {
                    throw room.wrong(
                        "the file \(name) was written anew",
                        hint:
                            "add the new message at the end: while a file is written anew, all of it can be lost"
                    )
                }
                if numbers[name] != numbersAfter[name] {
                    throw room.wrong(
                        "another file was put in the place of \(name)",
                        hint: "open the file once and add to it; an .atomic write writes a whole new file")
                }
            }
            if !folder.outside.isEmpty {
                throw room.wrong(
                    "beside the data directory there is now \(folder.outside)",
                    hint: "a room's name is chosen by a client: it must not become a path")
            }
        }
    }

    func testATornLastLineIsSkipped() throws {
        try check("a write that was cut off at any byte costs this one message, with a warning") {
            room, folder in
            let ana = try enter(room, "tea", "ana")
            for text in ["one", "two"] { try say(text, ana) }
            let texts = ["one", "two", "€5 👍"]
            let growths = try growths(in: folder, room) { try say("€5 👍", ana) }
            let hint =
                "only the torn line may be lost: what stands before the last line break is complete, and is "
                + "decoded line by line; the torn bytes may not even be UTF-8"
            for write in growths {
                for end in write.start..<write.end {
                    _ = room.standardErrorOutput()
                    try room.quietly {
                        try hintingIfNotStarted(howToSkip) {
                            try hinting(ifCrashed: notByForce) {
                                try room.restarted(
                                    try write.files(cutOffAt: end).application, after: write.telling(end)
                                ) { room in
                                    let got = try history(try room.connect("ben", to: "/ws/rooms/tea/ben"))
                                    guard got == texts.dropLast() || (end > write.start && got == texts)
                                    else {
                                        throw room.wrong(
                                            "expected the history \(texts.dropLast())", "     got \(got)",
                                            hint: got.isEmpty && end == write.start ? nothingCameBack : hint)
                                    }
                                }
                            }
                        }
                        if end == (write.start + write.end) / 2, room.standardErrorOutput().isEmpty {
                            throw room.wrong(
                                "there was no warning on the standard error", hint: howToWarn)
                        }
                    }
                }
            }
        }
    }

    func testWhatIsWrittenAfterATornLineIsKept() throws {
        try check("what is said after a torn line survives the next restart") { room, folder in
            let ana = try enter(room, "tea", "ana")
            try say("one", ana)
            let hint = "the new line may be glued to the torn one: cut the file back before you append"
            for write in try growths(in: folder, room, { try say("two", ana) }) {
                let (start, whole) = (write.start, write.end)
                for end in [0, start / 2, start - 1, start + 1, (start + whole) / 2, whole - 1] {
                    try room.quietly {
                        let torn = try write.files(cutOffAt: end)
                        let kept = try room.restarted(torn.application, after: write.telling(end)) { room in
                            let ben = try room.connect("ben", to: "/ws/rooms/tea/ben")
                            let kept = try history(ben)
                            try ben.expect(json: .system("ben joined", "tea", "ben"))
                            for text in ["three", "four"] { try say(text, ben) }
                            return kept
                        }
                        _ = room.standardErrorOutput()
                        try hinting(
                            ifGot: #"["three", "four"]"#,
                            "cut the file back to its last line break, not to nothing"
                        ) {
                            try hintingIfNotStarted(hint) {
                                try room.restarted(torn.copy().application) { room in
                                    _ = try enter(room, "tea", "cy", after: kept + ["three", "four"], hint)
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    // MARK: - Steps

    /// Notices in the history have a cause of their own.
    private func hintingIfNotice(_ part: () throws -> Void) throws {
        try hinting("notices are no history: remember what was said, and not who came and went") {
            try part()
        } when: { findings in
            findings.contains {
                $0.hasPrefix(#"     got {"messages":[{"#) && $0.contains(#""type":"system""#)
            }
        }
    }

    private let nothingCameBack =
        "nothing came back after the restart: does append write a whole line, and does read return it?"

    private let howToSkip =
        "an error in read() keeps the server from starting; look for byte 10 first, and decode complete lines only"
    private let howToWarn =
        "who runs the server must learn that something was lost: write a line to FileHandle.standardError, as print "
        + "goes to the standard output"
    private let notByForce =
        "half a line is no JSON, and try! or ! makes a crash of it: decode complete lines only"
    private let noHistory = "who came and went is no history: remember what was said, and nothing else"

    /// The likely misunderstanding behind a history that is not the last 50 of 61 numbers or fewer.
    private func whatOfThe50(_ got: [String]) -> String {
        switch got.compactMap({ Int($0) }) {
        case let numbers where numbers.count > 50:
            "these are \(numbers.count): the history is the last 50, and no more"
        case let numbers where (numbers.first ?? 0) > (numbers.last ?? 0):
            "these are in the wrong order: what was said first comes first"
        case let numbers where numbers.count == 50 && numbers.first == 1:
            "the newest are missing: when there are more than 50, the oldest has to go"
        default: "these are \(got.count), and should be 50: let no more go than there are too many"
        }
    }

    /// A restart on this directory. If nothing comes back, the files tell where it was lost.
    private func restart(_ room: Classroom, _ folder: DataFolder, _ work: (Classroom) throws -> Void) throws {
        let before = folder.files.values.reduce(0) { $0 + $1.count }
        do {
            try room.restarted(folder.application, work)
        } catch var failure as Failure {
            let after = folder.files.values.reduce(0) { $0 + $1.count }
            let closer =
                before == 0
                ? "what was said is not in a file of the data directory: write it there first, and then send it. What "
                    + "waits in a variable or in another task is lost when the process is killed"
                : after < before
                    ? "the file held it, and was made anew or emptied when the server started"
                    : "the file still holds it: is it read when the server starts, and does read return it?"
            failure.findings = failure.findings.map {
                $0 == "hint: \(nothingCameBack)" ? "hint: \(closer)" : $0
            }
            throw failure
        }
    }

    /// A server that does not start any more has read something that it cannot decode.
    private func hintingIfNotStarted<Result>(_ hint: String, _ part: () throws -> Result) throws -> Result {
        try hinting(hint, part) { $0.contains { $0.hasPrefix("the server did not start") } }
    }

    /// What `work`, in which something is said, has added to the files of the directory.
    private func growths(
        in folder: DataFolder, _ room: Classroom, _ work: () throws -> Void
    ) throws -> [Growth] {
        let before = folder.files
        try work()
        let growths = folder.files.sorted { $0.key < $1.key }.map {
            Growth(name: $0, start: before[$0]?.count ?? 0, bytes: $1, before: before)
        }.filter { $0.start < $0.end }
        if growths.isEmpty {
            throw room.wrong(
                "something was said, and no file in the data directory has grown",
                hint:
                    "append the message to the journal, which is a file in this directory, before you tell it"
            )
        }
        return growths
    }

    /// A check whose server has a new directory that does not exist yet.
    private func check(_ rule: String, _ script: (Classroom, DataFolder) throws -> Void) throws {
        let folder = try DataFolder()
        try grade(History.self, rule, makeApplication: folder.application) { try script($0, folder) }
    }

    /// Joins a room whose history must be these texts, and takes the own join notice.
    @discardableResult
    private func enter(
        _ room: Classroom, _ path: String, _ name: String, at user: String? = nil,
        after texts: [String]? = nil,
        _ hint: String = "", explaining: (([String]) -> String)? = nil
    ) throws -> Client {
        let client = try room.connect(name, to: "/ws/rooms/\(path)/\(user ?? name)")
        let got = try history(client)
        if let texts, got != texts {
            throw room.wrong(
                "expected the history \(texts)", "     got \(got)",
                hint: got.isEmpty && room.isRestarted ? nothingCameBack : explaining?(got) ?? hint)
        }
        while try client.receiveJSON(wanted: "the join notice")["type"] != "system" {}
        return client
    }

    /// The texts of the history, which is the next message.
    private func history(_ client: Client) throws -> [String] {
        let event = try client.expect(
            json: ["type": "history"], "the history is the first that a joiner is sent")
        return (event["messages"]?.array ?? []).map { $0["message"]?.string ?? "?" }
    }

    private func say(_ text: String, _ client: Client) throws {
        try client.send(text)
        try client.expect(json: ["type": "message", "message": .string(text)])
    }

    /// Says these numbers, and hears each.
    private func say(_ numbers: ClosedRange<Int>, _ client: Client, in room: Classroom) throws {
        try room.quietly(client.name, "says \(numbers.lowerBound) to \(numbers.upperBound), and hears each") {
            for number in numbers { try say("\(number)", client) }
        }
    }

    /// The texts of the messages up to "last".
    private func messages(of client: Client) throws -> [String] {
        var texts: [String] = []
        while texts.last != "last" {
            let event = try client.receiveJSON()
            if event["type"] == "message" { texts.append(event["message"]?.string ?? "?") }
        }
        return texts
    }

    private func user(_ client: Client) -> String { String(client.path.split(separator: "/").last ?? "") }
}

/// What one message has added to a file.
private struct Growth {
    let name: String
    let start: Int
    let bytes: Data
    /// All files as they were before.
    let before: [String: Data]

    var end: Int { bytes.count }

    /// What a write that ended early would have left behind.
    func files(cutOffAt end: Int) throws -> DataFolder {
        try DataFolder(before.merging([name: bytes.prefix(end)]) { $1 })
    }

    /// The same for the transcript.
    func telling(_ cut: Int) -> String {
        cut < start
            ? "The file is cut off after \(cut) of \(end) bytes"
            : "The last write is cut off after \(cut - start) of \(end - start) bytes"
    }
}

extension DataFolder {
    /// Makes a server that keeps its files here.
    fileprivate var application: @Sendable () -> Application { { History.makeApplication(data: self.path) } }
}

extension JSONValue {
    fileprivate static func system(_ message: String, _ room: String, _ user: String) -> JSONValue {
        ["type": "system", "room": .string(room), "user": .string(user), "message": .string(message)]
    }
    fileprivate static func message(_ message: String, _ room: String, _ user: String) -> JSONValue {
        ["type": "message", "room": .string(room), "user": .string(user), "message": .string(message)]
    }
    fileprivate static func history(_ room: String, _ messages: [JSONValue]) -> JSONValue {
        ["type": "history", "room": .string(room), "messages": .array(messages)]
    }
}
