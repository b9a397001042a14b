import Foundation
import GraderKit
import Level10
import WebSocketEngine
import XCTest

/// Level 10 – Typing indicator. Chapter 10 of Course.md.
final class Level10Tests: XCTestCase {
    func testAMessageReachesEveryoneInTheRoom() throws {
        try check("a message goes to everyone in the room, the sender too, as it was sent") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            let cem = try room.joined("coffee", "cem")
            let texts = ["one", "", "\"two\"\n日本語", #"{"type":"typing"}"#]
            for text in texts {
                try ana.send(json: ["type": "message", "message": .string(text), "more": 1])
            }
            for text in texts {
                let hint =
                    text.isEmpty
                    ? "an empty message is a message like any other: pass it on"
                    : "a message is for all in the room, its sender too: only `typing` and `stopped` "
                        + "spare one"
                try expect([ana, ben], .message(text, "tea", "ana"), hint)
            }
            try ben.close()
            try ana.expect(
                json: .system("ben left", "tea", "ben"),
                "only who has begun to type can stop: ben just leaves")
            try fence(by: cem, for: [cem], "nothing of it is heard in other rooms")
        }
    }

    func testTypingIsToldToTheOthersOnce() throws {
        try check("the others are told `typing` once, however many keys are pressed") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            let cem = try room.joined("tea", "cem", meeting: ana, ben)
            for _ in 1...4 { try ana.send(json: .typingCommand) }
            try room.settle(ana)
            let hint = "who is typing already has been told of: only the first `typing` is news"
            try hintingIfStopped {
                try expect([ben, cem], .typing("tea", "ana"), "tell the others when ana begins to type")
            }
            try hintingIfStopped { try fence(by: ben, for: [ben, cem], hint) }
        }
    }

    func testTheTypistIsToldNothing() throws {
        try check("the typist is told nothing of it, neither `typing` nor `stopped`") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            try ana.send(json: .typingCommand)
            try ben.expect(json: .typing("tea", "ana"), "tell the others when ana begins to type")
            let hint = "ana knows that she types: send `typing` and `stopped` to everyone in the room but her"
            try fence(by: ben, for: [ana, ben], hint)
            try room.pass(.seconds(3), timers: 1)
            try ben.expect(json: .stopped("tea", "ana"), "tell the others after 3 seconds of silence")
            try fence(by: ben, for: [ana, ben], hint)
            let alone = try room.joined("coffee", "ana")
            try alone.send(json: .typingCommand)
            try room.pass(
                .seconds(3), timers: 1,
                "ana is typing, though nobody hears it: others may come, and are to be told `stopped`")
            try fence(by: alone, for: [alone], hint)
        }
    }

    func testStoppedIsToldAfterThreeSecondsOfSilence() throws {
        try check("`stopped` is told when 3 seconds of silence have passed, not before, and once") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            for time in 1...2 {
                try ana.send(json: .typingCommand)
                try ben.expect(
                    json: .typing("tea", "ana"),
                    time == 1
                        ? "tell the others when ana begins to type"
                        : "after `stopped`, the next `typing` is news again: is ana still remembered "
                            + "as typing?")
                try room.pass(.milliseconds(2999), timers: 1)
                try room.expectTimers(1, "3 seconds have not passed yet")
                try fence(by: ben, for: [ana, ben], "3 seconds have not passed yet")
                try room.pass(.milliseconds(1), timers: 1)
                try ben.expect(json: .stopped("tea", "ana"), "tell the others after 3 seconds of silence")
                try room.expectTimers(0, "ana is not typing any more: her timer is over")
                try room.pass(.seconds(3), timers: 0)
                try fence(by: ben, for: [ana, ben], "`stopped` is told once")
            }
        }
    }

    func testEveryTypingBeginsTheThreeSecondsAnew() throws {
        try check("every `typing` begins the 3 seconds anew") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            let hint =
                "the 3 seconds count from the last `typing`; the timer of an earlier one must not end it"
            try ana.send(json: .typingCommand)
            try ben.expect(json: .typing("tea", "ana"))
            for _ in 1...5 {
                try room.pass(.seconds(2), timers: 1, hint)
                try ana.send(json: .typingCommand)
                try room.settle(ana)
                try room.expectTimers(
                    1, hint,
                    tooMany:
                        "the old timer still runs beside the new one: cancel it, as forgetting a task "
                        + "does not end it")
                try fence(by: ben, for: [ana, ben], hint)
            }
            try room.pass(.milliseconds(2999), timers: 1, hint)
            try room.expectTimers(1, hint)
            try fence(by: ben, for: [ana, ben], hint)
            try room.pass(.milliseconds(1), timers: 1, hint)
            try ben.expect(json: .stopped("tea", "ana"), "3 seconds after the last `typing`")
        }
    }

    func testAMessageEndsTheTyping() throws {
        try check("a message ends its sender's typing, and no `stopped` comes, then or later") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            for _ in 1...2 {
                try ana.send(json: .typingCommand)
                try ben.expect(
                    json: .typing("tea", "ana"), "after a message, the next `typing` is news again")
                try room.expectTimers(1)
                try ana.send(json: .messageCommand("hi"))
                let hint = "the message itself says that ana has stopped typing: send no `stopped`"
                try expect([ben, ana], .message("hi", "tea", "ana"), hint)
                try room.expectTimers(0, "the message ends the typing: cancel the timer")
                try room.pass(.seconds(4), timers: 0)
                try fence(by: ben, for: [ben, ana], hint)
            }
        }
    }

    func testAnOldTimerDoesNotEndNewTyping() throws {
        try check("who types on after a message has 3 new seconds") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            let hint =
                "the timer from before the message still runs, and ends what ana types now: "
                + "forgetting a task does not end it"
            try ana.send(json: .typingCommand)
            try ben.expect(json: .typing("tea", "ana"))
            try room.pass(.seconds(2), timers: 1)
            try ana.send(json: .messageCommand("hi"))
            try expect([ana, ben], .message("hi", "tea", "ana"))
            try ana.send(json: .typingCommand)
            try ben.expect(json: .typing("tea", "ana"), "after a message, the next `typing` is news again")
            try room.pass(.milliseconds(2999), timers: 1, hint)
            try room.expectTimers(1, hint)
            try fence(by: ben, for: [ana, ben], hint)
            try room.pass(.milliseconds(1), timers: 1)
            try ben.expect(json: .stopped("tea", "ana"))
        }
    }

    func testWhoLeavesHasStopped() throws {
        try check("who leaves while typing, in whatever way, has stopped and then left") { room in
            let ben = try room.joined("tea", "ben")
            let ways: [(Client) throws -> Void] = [
                { try $0.close() }, { try $0.closeWithoutCode() }, { $0.drop() }, { $0.drop(reset: true) },
            ]
            for leave in ways {
                let ana = try room.joined("tea", "ana", meeting: ben)
                try ana.send(json: .typingCommand)
                try ben.expect(json: .typing("tea", "ana"))
                try room.expectTimers(1)
                try hinting(
                    ifSilent:
                        "a connection ends in many ways, and ana has left in each: leave in all of them"
                ) {
                    try leave(ana)
                    let hint =
                        "first `stopped`, then `ana left`: else ana would go on typing on the others' "
                        + "pages"
                    try ben.expect(json: .stopped("tea", "ana"), hint)
                    try ben.expect(
                        json: .system("ana left", "tea", "ana"),
                        "ana leaves once: `stopped` is told before")
                }
                try room.expectTimers(0, "ana is gone, and her timer with her: cancel it")
            }
            try room.pass(.seconds(3), timers: 0)
            try fence(by: ben, for: [ben], "`stopped` is told once")
        }
    }

    func testWhoComesBackTypesAnew() throws {
        try check("who leaves and comes back begins anew: no earlier timer ends what is typed now") { room in
            let (ben, ana) = try room.two("tea", "ben", "ana")
            try ana.send(json: .typingCommand)
            try ben.expect(json: .typing("tea", "ana"))
            try room.pass(.seconds(2), timers: 1)
            ana.drop()
            try ben.expect(json: .stopped("tea", "ana"), "who leaves has stopped")
            try ben.expect(json: .system("ana left", "tea", "ana"))
            let again = try room.joined("tea", "ana", meeting: ben)
            try again.send(json: .typingCommand)
            let hint =
                "the timer of the ana who left must not outlive her: cancel it, as forgetting a task "
                + "does not end it"
            try ben.expect(json: .typing("tea", "ana"), "the ana who came back has just begun to type")
            try room.pass(.seconds(2), timers: 1, hint)
            try room.expectTimers(1, hint)
            try fence(by: ben, for: [ben, again], hint)
            try room.pass(.seconds(1), timers: 1, hint)
            try ben.expect(json: .stopped("tea", "ana"))
        }
    }

    func testEachTypistHasATimerOfTheirOwn() throws {
        try check("each typist has 3 seconds of their own") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            let cem = try room.joined("tea", "cem", meeting: ana, ben)
            let hint =
                "what one member does begins, ends or prolongs nobody else's typing: keep a timer for "
                + "each"
            try ana.send(json: .typingCommand)
            try expect([ben, cem], .typing("tea", "ana"))
            try room.pass(.seconds(1), timers: 1)
            try ben.send(json: .typingCommand)
            try expect([ana, cem], .typing("tea", "ben"), hint)
            try room.pass(.seconds(1), timers: 2, hint)
            try cem.send(json: .typingCommand)
            try expect([ana, ben], .typing("tea", "cem"), hint)
            try room.pass(.seconds(1), timers: 3, hint)
            try expect([ben, cem], .stopped("tea", "ana"), hint)
            try ben.send(json: .messageCommand("hi"))
            try expect([ana, ben, cem], .message("hi", "tea", "ben"), hint)
            try room.pass(.seconds(1), timers: 1, hint)
            try room.expectTimers(1, hint)
            try fence(by: ana, for: [ana, ben, cem], hint)
            try room.pass(.seconds(1), timers: 1, hint)
            try expect([ana, ben], .stopped("tea", "cem"), hint)
            try fence(by: ana, for: [ana, ben, cem], hint)
        }
    }

    func testTwoOfOneNameTypeEachForThemselves() throws {
        try check("one name twice is two members, who type each for themselves") { room in
            let (phone, ben) = try room.two("tea", "ana", "ben")
            let laptop = try room.joined("tea", "ana", as: "ana's laptop", meeting: phone, ben)
            let hint = "a member is a connection, not a name: the two have a timer each"
            try phone.send(json: .typingCommand)
            try expect(
                [ben, laptop], .typing("tea", "ana"),
                "the others are all other members, also those of the same name")
            try room.pass(.seconds(1), timers: 1)
            try laptop.send(json: .typingCommand)
            try expect([ben, phone], .typing("tea", "ana"), hint)
            try room.expectTimers(2, hint)
            try laptop.close()
            for event in [JSONValue.stopped("tea", "ana"), .system("ana left", "tea", "ana")] {
                try expect(
                    [ben, phone], event,
                    "the laptop alone has left: it ends its own typing, and not the phone's")
            }
            try room.pass(.seconds(2), timers: 1, hint)
            try ben.expect(json: .stopped("tea", "ana"), hint)
            try fence(by: ben, for: [ben, phone], hint)
        }
    }

    func testOtherRoomsHearNothing() throws {
        try check("those in other rooms hear nothing of it, and one name may type in two rooms") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            let cem = try room.joined("café / 1", "cem")
            let twin = try room.joined("café / 1", "ana", as: "ana in the café", meeting: cem)
            let hint = "tell the members of the typist's room, and no one else"
            try ana.send(json: .typingCommand)
            try ben.expect(json: .typing("tea", "ana"), hint)
            try fence(by: cem, for: [cem, twin], hint)
            try room.pass(.seconds(1), timers: 1)
            try twin.send(json: .typingCommand)
            try cem.expect(
                json: .typing("café / 1", "ana"),
                "the ana of this room has just begun to type: one name in two rooms is two members")
            try room.pass(.seconds(2), timers: 2, "two members type, in two rooms: two timers")
            try ben.expect(json: .stopped("tea", "ana"))
            try fence(by: cem, for: [cem, twin], hint)
            try room.pass(.seconds(1), timers: 1)
            try cem.expect(json: .stopped("café / 1", "ana"))
            try fence(by: ben, for: [ana, ben], hint)
        }
    }

    func testWhoJoinsMeanwhileHearsTheEnd() throws {
        try check("who joins while someone is typing is not told that, but is told `stopped`") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            try ana.send(json: .typingCommand)
            try ben.expect(json: .typing("tea", "ana"))
            let news = "cem hears only what happens from now on: that ana is typing is news no more"
            let cem = try hinting(ifGotWith: ["\"typing\"": news]) {
                try room.joined("tea", "cem", meeting: ana, ben)
            }
            try fence(by: cem, for: [ana, ben, cem], news)
            try room.pass(.seconds(3), timers: 1)
            try expect(
                [ben, cem], .stopped("tea", "ana"), "tell all others who are in the room when it happens")
            try ana.send(json: .typingCommand)
            try expect([ben, cem], .typing("tea", "ana"))
            let dan = try room.joined("tea", "dan", meeting: ana, ben, cem)
            try ana.send(json: .typingCommand)
            try room.settle(ana)
            try fence(by: dan, for: [ana, ben, cem, dan], "ana is typing already: nobody is told anything")
        }
    }

    func testAnythingElseIsAnErrorToTheSenderAlone() throws {
        try check("anything else is an error to its sender alone, and changes nothing") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            let texts = [
                "hello", "", "[]", #"{"type":"shout"}"#, #"{"type":"message"}"#, #"{"message":"hi"}"#,
                #"{"type":"message","message":7}"#, #"{"type":"Typing"}"#, #"{"type":"typing""#,
            ]
            try ana.send(json: .typingCommand)
            try ben.expect(json: .typing("tea", "ana"))
            try room.pass(.seconds(2), timers: 1)
            let hint = "answer the sender with an event of type error: who hears nothing waits for ever"
            for text in texts {
                try ana.send(text)
                try hinting(ifGot: "close", "a mistake costs an answer, not the connection") {
                    if try ana.expect(json: ["type": "error"], hint)["message"]?.string?.isEmpty != false {
                        throw room.wrong("the error has no message", hint: "say what a command looks like")
                    }
                }
            }
            try ana.send(Array(#"{"type":"typing"}"#.utf8))
            try ana.expect(json: ["type": "error"], "a binary message is no command, whatever is in it")
            let changes = "what is no command changes nothing: ana is typing as before"
            try hinting(
                ifGotWith: ["\"error\"": "a mistake is told to the one who made it, and to no one else"]
            ) {
                try fence(by: ben, for: [ana, ben], changes)
            }
            try room.pass(.seconds(1), timers: 1, changes)
            try ben.expect(
                json: .stopped("tea", "ana"), "3 seconds after the last `typing`: an error begins none anew")
        }
    }

    func testTheLastMoment() throws {
        try check("what the others are told stays true when a command comes just as the 3 seconds end") {
            room in
            let hint =
                "a timer may have slept to its end before you cancel it: when its turn comes, it must "
                + "look whether it still counts, inside the actor, with no `await` in between"
            let ben = try room.joined("tea", "ben")
            let names = (1...24).map { "t\($0)" }
            let typists = try names.map { try room.connect($0, to: path("tea", $0)) }
            for _ in names { try ben.expect(json: ["type": "system"]) }
            var typing: Set<String> = []
            /// Takes what ben hears, and compares it with what he has heard before.
            func listen(until isOver: (JSONValue) -> Bool) throws {
                while true {
                    let event = try ben.receiveJSON(wanted: "what the typists do", hint)
                    let user = event["user"]?.string ?? ""
                    let isNews =
                        switch event["type"] {
                        case "typing": typing.insert(user).inserted
                        case "stopped": typing.remove(user) != nil
                        default: typing.remove(user) != nil || true
                        }
                    if !isNews {
                        throw ben.wrong(expected: "something new of \(user)", got: event.text, hint)
                    }
                    if isOver(event) { return }
                }
            }
            for round in 1...8 {
                for typist in typists { try typist.send(json: .typingCommand) }
                try room.expectTimers(names.count)
                // The timers wake in the order in which they were started; the server reads in the opposite one.
                try room.simultaneously {
                    for typist in typists.reversed() {
                        if round.isMultiple(of: 2) { try typist.send(json: .messageCommand("hi")) }
                        try typist.send(json: .typingCommand)
                    }
                    try room.advance(by: .seconds(3))
                }
                for typist in typists { try room.settle(typist) }
                try ben.send(json: .messageCommand("fence"))
                try listen { $0["message"] == "fence" }
                if typing.count < names.count {
                    let missing = names.filter { !typing.contains($0) }
                    throw ben.wrong(
                        expected: "all of t1 to t24 to be typing, for that is what they did last",
                        got: typing.isEmpty ? "none" : "all but \(missing.joined(separator: ", "))", hint)
                }
                try room.expectTimers(names.count, hint)
                try room.advance(by: .seconds(3))
                try listen { _ in typing.isEmpty }
            }
        }
    }

    // MARK: - Steps

    /// A check for which time stands still, but when it is moved on.
    private func check(_ rule: String, _ script: (Classroom) throws -> Void) throws {
        try grade(TypingIndicator.self, rule, prepare: { $0.clock.useManualTime() }, script)
    }

    private func expect(_ clients: [Client], _ event: JSONValue, _ hint: String = "") throws {
        for client in clients { try client.expect(json: event, hint) }
    }

    /// For steps in which a `stopped` comes though time stands still.
    private func hintingIfStopped(_ steps: () throws -> Void) throws {
        let hint =
            "no time has passed, and further keys are no news: who told `stopped`? If it is the old timer: "
            + "a cancelled sleep returns at once, and with `try?` the lines after it run. Use `try`"
        try hinting(hint, steps) { findings in
            findings.contains { $0.hasPrefix("     got ") && $0.contains("\"stopped\"") }
        }
    }

    /// Had anything else come for these clients, it would be here before this message for all.
    private func fence(by speaker: Client, for clients: [Client], _ hint: String = "") throws {
        try speaker.send(json: .messageCommand("fence"))
        try expect(clients, ["type": "message", "message": "fence"], hint)
    }
}

/// The path of a room for a user, percent-encoded.
private func path(_ room: String, _ user: String) -> String {
    "/ws/rooms/\(room.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? room)/\(user)"
}

extension Classroom {
    /// A client that everyone in the room, itself too, has heard joining.
    fileprivate func joined(
        _ name: String, _ user: String, as client: String? = nil, meeting others: Client...
    ) throws -> Client {
        let newcomer = try connect(client ?? user, to: path(name, user))
        for client in [newcomer] + others {
            try client.expect(json: .system("\(user) joined", name, user), "joins are told as in level 04")
        }
        return newcomer
    }

    fileprivate func two(_ name: String, _ first: String, _ second: String) throws -> (Client, Client) {
        let one = try joined(name, first)
        return (one, try joined(name, second, meeting: one))
    }

    /// Waits until the server has done what this client has sent so far.
    fileprivate func settle(_ client: Client) throws {
        try client.send("?")
        let hint =
            "the handler is still in the `typing` before it: the timer must be a Task of its own "
            + "that nobody waits for, so that typing() returns at once"
        try hinting(hint) {
            while try client.receiveJSON(wanted: "the error for what is no command")["type"] != "error" {}
        } when: {
            $0.contains { $0.contains("but nothing came") }
        }
    }

    /// Waits until so many tasks sleep on the application's clock.
    fileprivate func expectTimers(_ count: Int, _ hint: String = "", tooMany: String? = nil) throws {
        do {
            try expect("timers: \(count)") { clock.sleeperCount == count }
        } catch let failure as Failure where failure.verdict == .timedOut {
            let got = clock.sleeperCount
            let usual =
                got < count ? "sleep on app.clock, not with Task.sleep" : "cancel a timer that is not needed"
            let closer = got > count ? tooMany ?? hint : hint
            throw wrong(
                "expected \(count) to sleep on app.clock: a timer for each member that is typing",
                "     got \(got)", hint: closer.isEmpty ? usual : closer)
        }
    }

    /// Moves time on, once so many timers run.
    fileprivate func pass(_ duration: Duration, timers: Int, _ hint: String = "") throws {
        try expectTimers(timers, hint)
        try advance(by: duration)
    }
}

extension JSONValue {
    fileprivate static let typingCommand: JSONValue = ["type": "typing"]
    fileprivate static func messageCommand(_ message: String) -> JSONValue {
        ["type": "message", "message": .string(message)]
    }
    fileprivate static func system(_ message: String, _ room: String, _ user: String) -> JSONValue {
        ["type": "system", "room": .string(room), "user": .string(user), "message": .string(message)]
    }
    fileprivate static func message(_ message: String, _ room: String, _ user: String) -> JSONValue {
        ["type": "message", "room": .string(room), "user": .string(user), "message": .string(message)]
    }
    fileprivate static func typing(_ room: String, _ user: String) -> JSONValue {
        ["type": "typing", "room": .string(room), "user": .string(user)]
    }
    fileprivate static func stopped(_ room: String, _ user: String) -> JSONValue {
        ["type": "stopped", "room": .string(room), "user": .string(user)]
    }
}
