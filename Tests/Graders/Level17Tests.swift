import Foundation
import GraderKit
import Level17
import WebSocketEngine
import XCTest

/// Level 17 – WebSockets. Chapter 17 of Course.md. Each check says which levels it recalls.
final class Level17Tests: XCTestCase {

    // MARK: - What the first levels taught

    /// Level 01.
    func testEchoAnswersEveryMessage() throws {
        try check("/ws answers every text with `Echo: ` and every binary message with itself") { room, _ in
            let ana = try room.connect("ana", to: "/ws", Self.routes)
            let bob = try room.connect("bob", to: "/ws")
            for text in ["hi", "", "ping", "日本語\n"] {
                try ana.send(text)
                try ana.expect("Echo: \(text)", "answer every message on /ws, as in level 01")
            }
            try bob.send([0, 255])
            try bob.expect([0, 255], "binary comes back as it is")
            try ana.send("last")
            try ana.expect("Echo: last", "each client hears the answers to its own messages alone")
        }
    }

    /// Level 02.
    func testStatsCountEveryEnd() throws {
        try check("GET /stats counts the WebSockets of all routes, now and ever, whichever way they end") {
            room, _ in
            try room.expectGet("/stats", json: ["active": 0, "total": 0])
            let ana = try enter(room, "tea", "ana")
            let bob = try room.connect("bob", to: "/ws")
            let cem = try room.connect("cem", to: "/ws/json")
            let dan = try room.connect("dan", to: "/ws/tasks")
            try room.expectGet("/stats", json: ["active": 4, "total": 4], "count on every route")
            try ana.close()
            bob.drop()
            cem.drop(reset: true)
            let hint = "count down once for each WebSocket that was let in, however its handler ends"
            try hinting("total is how many there have ever been: nobody's end makes it smaller") {
                try room.expectGet("/stats", json: ["active": 1, "total": 4], hint)
            } when: { findings in
                findings.contains { $0.contains("     got ") && $0.contains(/"total":[0-3]\b/) }
            }
            let eve = try room.connect("eve", to: "/ws/auth")
            try eve.expectClose(4001, reason: "Missing token")
            try room.expectGet("/stats", json: ["active": 1, "total": 5], hint)
            try dan.close()
            try room.expectGet("/stats", json: ["active": 0, "total": 5], hint)
        }
    }

    /// Level 03.
    func testClientsAreKnownByTheirNumbers() throws {
        try check("/ws/{client_id} is the chat of level 03: everyone hears everyone, /to reaches one") {
            room, _ in
            let one = try room.connect("one", to: "/ws/1", Self.routes)
            try one.expect("Client 1 joined")
            let two = try room.connect("two", to: "/ws/2")
            try expect(
                [one, two], text: "Client 2 joined",
                "one `Clients` for all: made inside of the handler, it would know one client only")
            try one.send("hi")
            try expect([one, two], text: "Client 1: hi")
            try two.send("/to 1 psst")
            try one.expect("Client 2 (only you): psst")
            try room.expectRefusal("abc", to: "/ws/abc", status: 400...400)
            try room.expectRefusal("two again", to: "/ws/2", status: 409...409)
            two.drop()
            try one.expect("Client 2 left")
        }
    }

    /// Level 04.
    func testRoomsAreKeptApart() throws {
        try check("rooms do not hear each other, and GET /rooms lists those with anybody in them") {
            room, _ in
            let ana = try enter(room, "tea", "ana")
            let bob = try enter(room, "tea", "bob", meeting: ana)
            let cem = try enter(room, "caf%C3%A9%2F1", "cem")
            let rooms: JSONValue = [["name": "café/1", "members": 1], ["name": "tea", "members": 2]]
            try equal(room, "/rooms", rooms, "names are percent-decoded, and the rooms sorted by name")
            let apart = "tell the members of this room, and no one else"
            try ana.send("hi")
            try expect([ana, bob], .message("hi", "tea", "ana"), apart)
            try cem.send("fence")
            try cem.expect(json: .message("fence", "café/1", "cem"), apart)
            try cem.close()
            bob.drop()
            try expect([ana], .system("bob left", "tea", "bob"))
            try equal(
                room, "/rooms", [["name": "tea", "members": 1]],
                "a room that nobody is in is not listed, also if it has a history")
        }
    }

    /// Level 05.
    func testChannels() throws {
        try check("/ws/json takes subscribe, unsubscribe, send and ping, as in level 05") { room, _ in
            let ana = try room.connect(
                "ana", to: "/ws/json",
                "without a route of its own this path is taken for /ws/{client_id}: give it one in `makeApplication`"
            )
            let bob = try room.connect("bob", to: "/ws/json")
            try ana.send(json: ["action": "subscribe", "channel": "news"])
            try ana.expect(json: ["type": "subscribed", "channel": "news"])
            try bob.send(json: ["action": "send", "channel": "news", "message": "rain"])
            try ana.expect(
                json: ["type": "message", "channel": "news", "message": "rain"],
                "one `Channels` for all: made inside of the handler, it would know one client only")
            try bob.send(json: ["action": "subscribe"])
            try bob.expect(json: ["type": "error", "field": "channel"])
            try ana.send(json: ["action": "unsubscribe", "channel": "news"])
            try ana.expect(json: ["type": "unsubscribed", "channel": "news"])
            try bob.send(json: ["action": "send", "channel": "news", "message": "sun"])
            for client in [ana, bob] {
                try client.send(json: ["action": "ping"])
                try client.expect(json: ["type": "pong"])
            }
        }
    }

    /// Level 05.
    func testWhatIsNotUnderstoodIsAnError() throws {
        try check("what the chat does not understand is an error to its sender alone, who stays") { room, _ in
            let ana = try enter(room, "tea", "ana")
            let bob = try enter(room, "tea", "bob", meeting: ana)
            let texts = [
                "{", "{}", #"{"type":"shout"}"#, #"{"type":"message"}"#, #"{"type":"message","message":7}"#,
                #"{"type":7}"#, #"{"type":"pm","message":"hi"}"#, #"{"type":"pm","to":"bob"}"#, "/pm",
                "/pm bob ",
            ]
            for text in texts {
                try ana.send(text)
                try hinting(
                    ifGotWith: [
                        #""type":"message""#:
                            "a command that fails must not be shown to the room: it is an error"
                    ]
                ) {
                    try expectError(ana, "answer with an event of type error, and go on")
                }
            }
            try ana.send([1, 2, 3])
            try expectError(ana, "a binary message is not understood: say so, and go on")
            try room.advance(by: .seconds(2))
            try fence(by: ana, for: [ana, bob], in: "tea", "an error concerns its sender alone")
            for text in ["", "[]", "hi {there}", " {}", "/pmx bob hi", "Ping"] {
                try bob.send(text)
                try expect(
                    [ana, bob], .message(text, "tea", "bob"),
                    text.hasPrefix("/pmx")
                        ? "/pmx begins with /pm, but is another word: this is a message for the room"
                        : "any text that is no command is a message for the room, as it is")
            }
        }
    }

    // MARK: - Who is who

    /// Level 06.
    func testAccountsAreMadeOnce() throws {
        try check("POST /accounts makes an account and its token, unless the name is taken or no name") {
            room, _ in
            let answer = try room.post("/accounts", #"{"username":"ana"}"#)
            guard answer.status == 201, answer.json?["username"] == "ana",
                let token = answer.json?["token"]?.string
            else {
                throw room.wrong("expected status 201 with username and token", "     got \(answer.text)")
            }
            let claims = Self.claims(of: token)
            guard claims?["sub"] == "ana", case .number? = claims?["exp"] else {
                throw room.wrong("expected the claims sub ana and exp", "     got \(claims?.text ?? token)")
            }
            let guest = try enter(room, "tea", "gus")
            for name in ["ana", "gus"] {
                try refused(
                    room, #"{"username":"\#(name)"}"#, 409,
                    name == "ana"
                        ? "ana has an account already"
                        : "gus is a guest here just now, and would lose the name in the middle of a sentence")
            }
            let long = String(repeating: "é", count: 33)
            for body in [
                "", "hi", "{}", #"{"username":7}"#, #"{"username":""}"#, #"{"username":"\#(long)"}"#,
            ] {
                try refused(room, body, 400, "a username is a text of 1 to 32 characters")
            }
            try guest.close()
            try room.expect(
                "the name of a guest who has left can be taken", "a guest's name is taken while it is here"
            ) {
                (try? room.post("/accounts", #"{"username":"gus"}"#).status) == 201
            }
        }
    }

    /// Level 06.
    func testAuthAsksForAToken() throws {
        try check("/ws/auth welcomes who has a valid token, and closes others with 4001") { room, _ in
            let token = try account(room, "ana")
            let ways: [(String, [String: String])] = [
                ("/ws/auth?token=\(token)", [:]), ("/ws/auth", ["Authorization": "Bearer \(token)"]),
            ]
            for (path, headers) in ways {
                let ana = try room.connect("ana", to: path, headers: headers, Self.routes)
                try ana.expect(
                    json: ["type": "welcome", "user_id": "ana"],
                    "/ws/auth reads the token and says `welcome` by itself: does the route go to `greet`?")
                try ana.send("hi")
                try ana.expect(json: ["user_id": "ana", "message": "hi"])
            }
            for (path, reason) in [
                ("", "Missing token"), ("?token=", "Missing token"), ("?token=x.y.z", "Invalid token"),
            ] {
                let eve = try room.connect("eve", to: "/ws/auth" + path)
                try eve.expectClose(4001, reason: reason, "as in level 06")
            }
        }
    }

    /// Levels 06 and 07.
    func testANameWithAnAccountNeedsItsToken() throws {
        try check("in the chat, a name with an account is closed to all who do not show its valid token") {
            room, _ in
            let token = try account(room, "ana")
            let other = try account(room, "bob")
            let gus = try enter(room, "tea", "gus")
            let none = Token(
                header: #"{"alg":"none"}"#, claims: ["sub": "ana", "exp": 9_999_999_999], key: "")
            let hint =
                "a name with an account needs a token: look at it before anything is sent or anybody is told"
            let closes: [(String, CloseCode, String)] = [
                ("", 4001, "Missing token"), ("?token=", 4001, "Missing token"),
                ("?token=nonsense", 4001, "Invalid token"), ("?token=\(none)", 4001, "Invalid token"),
                ("?token=\(other)", 4003, "Access denied"),
            ]
            for (query, code, reason) in closes {
                try room.connect("eve", to: "/ws/chat/tea/ana\(query)").expectClose(
                    code, reason: reason,
                    code == 4003 ? "the token is valid, but whose is it? Compare `sub` with the name" : hint)
            }
            let ana = try enter(room, "tea", "ana", token: token, meeting: gus)
            try fence(by: ana, for: [ana, gus], in: "tea", "nobody else notices who was refused")
            let lifetime = (Self.claims(of: token)?["exp"]?.int ?? 0) - Int(room.clock.secondsSince1970)
            try room.advance(by: .seconds(lifetime + 1))
            let spins =
                "time moved on by a year: does a loop in the heartbeat run without waiting (step 5)?"
            let late = try hinting(ifBlocked: spins) {
                try hinting(
                    spins, { try room.connect("ana, later", to: "/ws/chat/tea/ana?token=\(token)") },
                    when: { $0.contains { $0.contains("an answer to the handshake") } })
            }
            try late.expectClose(4001, reason: "Expired token")
        }
    }

    /// Level 08.
    func testAGuestsNameIsTakenWhileTheGuestIsHere() throws {
        try check("a guest's name is refused to others with 4009, in every room, until the guest has left") {
            room, _ in
            let bob = try enter(room, "tea", "bob")
            let hint =
                "a guest is one connection: ask for the name and take it in one step, in all rooms together"
            for leave in [{ try $0.close() }, { $0.drop() }, { $0.drop(reset: true) }]
                as [(Client) throws -> Void]
            {
                let ana = try enter(room, "tea", "ana", meeting: bob)
                for place in ["tea", "coffee"] {
                    let second = try room.connect("second ana", to: "/ws/chat/\(place)/ana")
                    try second.expectClose(
                        4009, reason: "Username taken",
                        place == "tea"
                            ? "two guests of one name cannot be told apart: `devices` knows whose it is"
                            : "a name is taken in all rooms together: private messages reach it in any")
                }
                try fence(by: ana, for: [ana, bob], in: "tea", "nobody else notices who was refused")
                try leave(ana)
                try bob.expect(
                    json: .system("ana left", "tea", "ana"), "by then the name is free again, and not earlier"
                )
                try bob.expect(json: ["type": "presence"])
            }
            let both = try room.connectSimultaneously(
                ["tea", "coffee"].map { ("zoe in \($0)", "/ws/chat/\($0)/zoe") })
            var closes = 0
            for client in both where try client.receiveNext() == .close(4009, reason: "Username taken") {
                closes += 1
            }
            if closes != 1 {
                throw room.wrong(
                    "of two guests who take one name at once, \(closes) were refused", hint: hint)
            }
        }
    }

    /// Level 04.
    func testLongNamesAreRefused() throws {
        try check("a room or a name of more than 32 characters is closed with 1008 `Name too long`") {
            room, _ in
            let (fits, long) = (String(repeating: "n", count: 32), String(repeating: "n", count: 33))
            _ = try enter(room, fits, fits)
            for path in ["tea/\(long)", "\(long)/ana"] {
                try room.connect("eve", to: "/ws/chat/\(path)").expectClose(
                    1008, reason: "Name too long",
                    "both names are chosen by the client: look at each before anything else")
            }
        }
    }

    // MARK: - The chat

    /// Levels 04 and 10.
    func testMessagesReachAllInTheRoom() throws {
        try check("a text, or a message in JSON, reaches all in the room, numbered and with its time") {
            room, _ in
            let ana = try enter(room, "tea", "ana")
            let bob = try enter(room, "tea", "bob", meeting: ana)
            let cem = try enter(room, "coffee", "cem")
            try room.advance(by: .milliseconds(1500))
            let said: [(String, String, Client, [Client])] = [
                ("hi", "tea", ana, [ana, bob]), ("elsewhere", "coffee", cem, [cem]),
                ("hello", "tea", bob, [ana, bob]),
            ]
            var ids: [Int] = []
            for (text, place, speaker, clients) in said {
                if speaker === bob {
                    try bob.send(json: ["type": "message", "message": .string(text), "more": 1])
                } else {
                    try speaker.send(text)
                }
                for client in clients {
                    let event = try client.expect(
                        json: .message(text, place, speaker.name),
                        "to everyone in the room, the sender too, who learns its number and its time from it")
                    guard let time = event["time"]?.string, Self.date(time) == 1_767_225_601.5 else {
                        throw client.wrong(
                            expected: "the time 2026-01-01T00:00:01.500Z, by the application's clock",
                            got: event["time"]?.text ?? "no time",
                            "not the clock of the machine: that of the application, which a check can move")
                    }
                    ids.append(event["id"]?.int ?? -1)
                }
            }
            guard ids[0] == ids[1], ids[3] == ids[4], 0 <= ids[0], ids[0] < ids[2], ids[2] < ids[3] else {
                throw room.wrong(
                    "the ids must grow, and be the same for all; they were \(ids)",
                    hint: Set(ids).count == 1
                        ? "a number that never changes tells nothing apart: each message has the next one"
                        : Self.ids)
            }
        }
    }

    /// Level 09.
    func testTheHistoryIsTheLast50() throws {
        try check("a joiner gets the room's last 50 messages, oldest first, each as it was sent") { room, _ in
            let ana = try enter(room, "tea", "ana")
            var sent: [JSONValue] = []
            for batch in 0..<3 {
                for number in 1...19 { try ana.send("\(batch * 19 + number)") }
                for _ in 1...19 { sent.append(try ana.expect(json: ["type": "message"])) }
                try room.advance(by: .seconds(2))
            }
            let ids = sent.map { $0["id"]?.int ?? -1 }
            for (earlier, later) in zip(ids, ids.dropFirst()) where earlier >= later {
                throw room.wrong(
                    "the ids must grow from message to message; after \(earlier) came \(later)",
                    hint: Self.ids)
            }
            try ana.send("/pm ana for myself")
            try ana.expect(json: ["type": "pm"])
            let bob = try room.connect("bob", to: "/ws/chat/tea/bob")
            let event = try bob.expect(
                json: ["type": "history", "room": "tea"], "the history is the first that a joiner is sent")
            let got = event["messages"]?.array ?? []
            if got != Array(sent.suffix(50)) {
                let texts = got.map { $0["message"]?.string ?? "?" }
                throw bob.wrong(
                    expected: "the messages 8 to 57, with all their members", got: "\(texts)",
                    texts == (8...57).map(String.init)
                        ? "these are the right texts, but not as they were sent: keep the id and the time too"
                        : texts.count > 50
                            ? "there are \(texts.count): with each further one the oldest goes"
                            : "the last 50 of this room, oldest first; only messages are history")
            }
            let cem = try room.connect("cem", to: "/ws/chat/coffee/cem")
            guard try cem.expect(json: ["type": "history", "room": "coffee"])["messages"] == [] else {
                throw room.wrong("the history of the new room coffee is not empty")
            }
        }
    }

    /// Level 09.
    func testNothingIsLostOrDoubledForOneWhoJoins() throws {
        try check("who joins while others talk misses nothing, and gets nothing twice") { room, _ in
            let hint = "send the history and list the socket in one step of the actor"
            let talkers = try (1...4).map { try room.connect("Talker \($0)", to: "/ws/chat/tea/t\($0)") }
            try talkers[3].send("first")
            for talker in talkers { while try talker.receiveJSON()["message"] != "first" {} }
            let joiners = try room.connectAmid(
                (1...6).map { ("Joiner \($0)", "/ws/chat/tea/j\($0)") },
                step: { step in for talker in talkers { try talker.send("\(talker.name) \(step)") } }, hint)
            let histories = try joiners.map { joiner in
                let event = try joiner.expect(json: ["type": "history"], hint)
                return (event["messages"]?.array ?? []).compactMap { $0["message"]?.string }
            }
            try talkers[0].send("last")
            let truth = try ["first"] + texts(of: talkers[0])
            for (joiner, history) in zip(joiners, histories) {
                let got = try history + texts(of: joiner)
                if got == truth { continue }
                throw room.wrong(
                    "expected \(joiner.name) to get every message once, in the history or after it",
                    "     got \(got)", hint: hint)
            }
        }
    }

    /// Level 08.
    func testPrivateMessagesReachAllDevicesOfTwo() throws {
        try check("a private message reaches all devices of both people, in whatever room, once each") {
            room, _ in
            let token = try account(room, "ana")
            let phone = try enter(room, "tea", "ana", as: "ana's phone", token: token)
            let laptop = try enter(room, "coffee", "ana", as: "ana's laptop", token: token)
            let bob = try enter(room, "coffee", "bob", meeting: laptop)
            let eve = try enter(room, "tea", "eve", meeting: phone)
            let hint =
                "once to every device of the two, who may be one person, whichever room it is in; and to no third"
            for (from, to, text, send) in [
                ("bob", "ana", "two  spaces ", { try bob.send("/pm ana two  spaces ") }),
                (
                    "ana", "bob", "in JSON",
                    { try phone.send(json: ["type": "pm", "to": "bob", "message": "in JSON"]) }
                ),
                ("ana", "ana", "note", { try laptop.send("/pm ana note") }),
            ] as [(String, String, String, () throws -> Void)] {
                try send()
                let both = from == to ? [phone, laptop] : [phone, laptop, bob]
                for client in both {
                    let event = try hinting(
                        ifGot: [
                            #"{"from":"bob","message":"two spaces"#:
                                "the message is all that follows the space after the name, as it is",
                            #"{"from":"bob","message":"two  spaces ""#:
                                "this has come before: once to each device, in whatever way its owner is concerned",
                        ]
                    ) {
                        try client.expect(json: .pm(text, from, to), hint)
                    }
                    if event["time"]?.string.flatMap(Self.date) != 1_767_225_600 {
                        throw room.wrong("a private message has its time, like others; got \(event.text)")
                    }
                }
            }
            for name in ["nobody", "Ana"] {
                try bob.send("/pm \(name) hi")
                try hinting(ifGotWith: [#""message":"note""#: "this was from ana and for ana alone: \(hint)"])
                {
                    try expectError(bob, naming: name, "tell the sender that there is no such person")
                }
            }
            try fence(by: eve, for: [eve, phone], in: "tea", hint)
            try fence(by: bob, for: [bob, laptop], in: "coffee", hint)
        }
    }

    /// Level 11.
    func testAJoinIsToldInOrder() throws {
        try check("a joiner gets the history, then all get its join, then all get who is present, sorted") {
            room, _ in
            let hint = "the joiner: history, own join, presence; the others: join, presence"
            let zoe = try room.connect("zoe", to: "/ws/chat/tea/zoe")
            try zoe.expect(json: ["type": "history", "room": "tea", "messages": []], hint)
            try expect([zoe], .system("zoe joined", "tea", "zoe"), hint)
            try expect([zoe], .presence(["zoe"], "tea"), hint)
            let bob = try room.connect("bob", to: "/ws/chat/tea/bob")
            try bob.expect(json: ["type": "history", "room": "tea", "messages": []], hint)
            try expect([bob, zoe], .system("bob joined", "tea", "bob"), hint)
            try expect([bob, zoe], .presence(["bob", "zoe"], "tea"), "the users are sorted")
            let cem = try enter(room, "coffee", "cem")
            bob.drop()
            try expect([zoe], .system("bob left", "tea", "bob"), "those who stay are told of the leave first")
            try expect(
                [zoe], .presence(["zoe"], "tea"),
                "a leave changes who is present, as a join does: send the new list after it")
            for client in [zoe, cem] {
                try client.send("fence")
                try client.expect(json: ["type": "message"], "other rooms hear nothing of it")
            }
        }
    }

    /// Level 11.
    func testOneUserOnSeveralDevices() throws {
        try check("a user with an account joins with the first device of a room and leaves with the last") {
            room, _ in
            let token = try account(room, "ana")
            let bob = try enter(room, "tea", "bob")
            let phone = try enter(room, "tea", "ana", as: "ana's phone", token: token, meeting: bob)
            let elsewhere = try enter(room, "coffee", "ana", as: "ana's watch", token: token)
            let hint = "a further device changes nothing for the others: only it is sent the presence"
            let laptop = try room.connect("ana's laptop", to: "/ws/chat/tea/ana?token=\(token)")
            try laptop.expect(json: ["type": "history"], hint)
            try expect([laptop], .presence(["ana", "bob"], "tea"), hint)
            try fence(by: bob, for: [bob, phone, laptop], in: "tea", hint)
            try equal(
                room, "/rooms", [["name": "coffee", "members": 1], ["name": "tea", "members": 2]],
                "members are users, not devices")
            try phone.close()
            try fence(
                by: laptop, for: [bob, laptop], in: "tea", as: "ana", "ana is still here, on her laptop")
            try elsewhere.send("still here")
            try elsewhere.expect(json: .message("still here", "coffee", "ana"))
            laptop.drop()
            try expect(
                [bob], .system("ana left", "tea", "ana"), "with the last device of this room, ana has left it"
            )
            try expect([bob], .presence(["bob"], "tea"))
        }
    }

    // MARK: - Typing

    /// Level 10.
    func testTypingIsToldOnceAndEndsAfterThreeSeconds() throws {
        try check("`typing` is told to the others once, and `stopped` 3 s after the last of them") {
            room, _ in
            let token = try account(room, "ana")
            let bob = try enter(room, "tea", "bob")
            let ana = try enter(room, "tea", "ana", token: token, meeting: bob)
            let phone = try room.connect("ana's phone", to: "/ws/chat/tea/ana?token=\(token)")
            for type in ["history", "presence"] { try phone.expect(json: ["type": .string(type)]) }
            let cem = try enter(room, "coffee", "cem")
            let anew =
                "every `typing` begins the 3 s anew, with one timer for each typist: end the earlier one"
            for _ in 1...2 {
                for (turn, client) in [ana, phone, ana].enumerated() {
                    if turn > 0 { try room.expectAsleep(5, anew) }
                    try client.send(json: ["type": "typing"])
                    let others = "`typing` is for the other users, not for the typist's devices"
                    try hinting(ifGot: #"{"room":"tea","type":"typing""#, others) { try settle(client) }
                    try room.pass(.seconds(2), asleep: 5, anew)
                }
                try expect([bob], .typing("tea", "ana"), "tell the others in the room that ana types")
                try room.expectAsleep(5, anew)
                try room.pass(.seconds(1), asleep: 5)
                try expect(
                    [bob], .stopped("tea", "ana"), "`typing` is told once, and `stopped` when 3 s have passed"
                )
            }
            let hint = "no device of ana's, and no other room, is told that ana types"
            try cem.send("fence")
            try cem.expect(json: .message("fence", "coffee", "cem"), hint)
            try fence(by: bob, for: [bob, ana, phone], in: "tea", hint)
        }
    }

    /// Level 10.
    func testAMessageEndsTheTyping() throws {
        try check("a message ends its sender's typing, and no `stopped` comes then or later") { room, _ in
            let ana = try enter(room, "tea", "ana")
            let bob = try enter(room, "tea", "bob", meeting: ana)
            let hint = "the message itself says that ana does not type any more: no `stopped`, now or later"
            for _ in 1...2 {
                try ana.send(json: ["type": "typing"])
                try expect([bob], .typing("tea", "ana"), "after a message, the next `typing` is news again")
                try room.expectAsleep(3)
                try ana.send("hi")
                try expect([ana, bob], .message("hi", "tea", "ana"), hint)
                try room.expectAsleep(2, "to forget a timer is not to end it: cancel it too")
                try room.pass(.seconds(4), asleep: 2)
                try fence(by: bob, for: [ana, bob], in: "tea", hint)
            }
        }
    }

    /// Level 10.
    func testWhoLeavesHasStoppedTyping() throws {
        try check("who leaves while typing has stopped: `stopped`, then the leave, then who is present") {
            room, _ in
            let token = try account(room, "ana")
            let bob = try enter(room, "tea", "bob")
            for leave in [{ try $0.close() }, { $0.drop() }] as [(Client) throws -> Void] {
                let ana = try enter(room, "tea", "ana", token: token, meeting: bob)
                try ana.send(json: ["type": "typing"])
                try expect([bob], .typing("tea", "ana"))
                try room.expectAsleep(3)
                try leave(ana)
                let hint =
                    "who has left cannot stop any more: first `stopped`, then `ana left`, then presence"
                try expect([bob], .stopped("tea", "ana"), hint)
                try expect([bob], .system("ana left", "tea", "ana"), hint)
                try expect([bob], .presence(["bob"], "tea"), hint)
                try room.expectAsleep(1, "the timer of somebody who has left must not run on: cancel it")
            }
            let laptop = try enter(room, "tea", "ana", as: "ana's laptop", token: token, meeting: bob)
            let phone = try room.connect("ana's phone", to: "/ws/chat/tea/ana?token=\(token)")
            for type in ["history", "presence"] { try phone.expect(json: ["type": .string(type)]) }
            try phone.send(json: ["type": "typing"])
            try expect([bob], .typing("tea", "ana"))
            try phone.close()
            try room.expectGet("/stats", json: ["active": 2])
            let hint = "ana still has a device here: she has not stopped typing"
            try fence(by: bob, for: [bob, laptop], in: "tea", hint)
            try room.pass(.seconds(3), asleep: 3, hint)
            try expect([bob], .stopped("tea", "ana"), "`stopped` when 3 s have passed, as ever")
        }
    }

    // MARK: - Tasks

    /// Level 12.
    func testTasksTellTheirProgress() throws {
        try check("/ws/tasks: a task tells its progress each 100 ms, until it is done or cancelled") {
            room, _ in
            let ana = try room.connect("ana", to: "/ws/tasks", Self.routes)
            try ana.send(json: ["action": "start"])
            let id = try ana.expect(json: ["type": "started"])["task"] ?? .null
            for percent in stride(from: 0, through: 100, by: 10) {
                if percent > 0 {
                    try room.pass(.milliseconds(100), asleep: 2, "a task sleeps between its steps")
                }
                try ana.expect(
                    json: ["type": "progress", "task": id, "percent": .number(Double(percent))],
                    "0 at once, and 10 more each 100 ms")
            }
            try ana.expect(json: ["type": "done", "task": id], "after the progress 100 comes `done`")
            try ana.send(json: ["action": "cancel", "task": id])
            try expectError(
                ana,
                "a task that is done is not running: forget it then (step 15), and to cancel it is an error")
            try ana.send(json: ["action": "start"])
            let second = try ana.expect(json: ["type": "started"])["task"] ?? .null
            if second == id { throw room.wrong("every task has an id of its own") }
            try ana.expect(json: ["type": "progress", "task": second, "percent": 0])
            try room.expectAsleep(2)
            try ana.send(json: ["action": "cancel", "task": second])
            try ana.expect(json: ["type": "cancelled", "task": second])
            try room.expectAsleep(1, "to forget a task is not to end it: cancel it too")
            for text in [#"{"action":"cancel","task":\#(second.text)}"#, #"{"action":"cancel"}"#, "{}", "hi"]
            {
                try ana.send(text)
                try expectError(ana, "say what is wrong, and go on")
            }
        }
    }

    /// Level 12.
    func testTasksEndWithTheirOwner() throws {
        try check("when a client has left /ws/tasks, in whatever way, its tasks are cancelled") { room, _ in
            for leave in [{ try $0.close() }, { $0.drop() }, { $0.drop(reset: true) }]
                as [(Client) throws -> Void]
            {
                let ana = try room.connect("ana", to: "/ws/tasks")
                for _ in 1...2 {
                    try ana.send(json: ["action": "start"])
                    try ana.expect(json: ["type": "started"])
                    try ana.expect(json: ["type": "progress", "percent": 0])
                }
                try room.expectAsleep(3)
                try leave(ana)
                try room.expectAsleep(
                    0, "nobody waits for the tasks any more: cancel them, whichever way the loop ends")
            }
        }
    }

    // MARK: - Servers that survive

    /// Level 13.
    func testTheRateOfMessagesIsLimited() throws {
        try check("20 messages at once and 10 a second are heard; one more is closed with 1008") { room, _ in
            let token = try account(room, "ana")
            let bob = try enter(room, "tea", "bob")
            let ana = try enter(room, "tea", "ana", token: token, meeting: bob)
            let phone = try enter(room, "coffee", "ana", as: "ana's phone", token: token)
            for _ in 1...20 { try settle(ana, "20 messages are allowed at once, whatever they are") }
            try room.advance(by: .milliseconds(100))
            try settle(ana, "after 100 ms there is room for one more")
            try room.advance(by: .milliseconds(1000))
            for _ in 1...10 { try settle(phone, "after 1 s there is room for ten more") }
            try ana.send("too much")
            let hint =
                "which is it? A person's devices share one bucket of 20; pings and errors count too; and the bucket is asked before anything is done"
            try ana.expectClose(1008, reason: "Rate limit exceeded", hint)
            try expect([bob], .system("ana left", "tea", "ana"), hint)
            try expect([bob], .presence(["bob"], "tea"))
            for _ in 1...5 { try settle(bob, "everybody has a bucket of their own") }
            try room.advance(by: .seconds(25))
            let again = try enter(room, "tea", "ana", token: token, meeting: bob)
            for _ in 1...20 { try settle(again, "the bucket fills again") }
            try again.send("too much")
            try again.expectClose(
                1008, reason: "Rate limit exceeded",
                "a bucket never holds more than 20, however long one waits")
            try expect([bob], .system("ana left", "tea", "ana"))
            try expect([bob], .presence(["bob"], "tea"))
            let third = try enter(room, "tea", "ana", token: token, meeting: bob)
            try third.send("too much")
            try third.expectClose(
                1008, reason: "Rate limit exceeded", "to reconnect does not fill the bucket")
            try expect([bob], .system("ana left", "tea", "ana"))
            try expect([bob], .presence(["bob"], "tea"))
            try phone.close()
            try equal(room, "/rooms", [["name": "tea", "members": 1]], "ana's last device has left")
            let last = try enter(room, "tea", "ana", token: token, meeting: bob)
            try last.send("too much")
            try last.expectClose(
                1008, reason: "Rate limit exceeded",
                "to reconnect does not fill the bucket, not even after the last device has left")
        }
    }

    /// Level 13.
    func testTheServerHasACapacity() throws {
        try check(
            "above its capacity the server closes with 1008; a place is free again after any end", capacity: 3
        ) {
            room, _ in
            let ana = try enter(room, "tea", "ana")
            let bob = try room.connect("bob", to: "/ws")
            let cem = try room.connect("cem", to: "/ws/json")
            let hint = "count all routes together, and refuse before the handler begins"
            for path in ["/ws", "/ws/7", "/ws/chat/tea/dan", "/ws/auth", "/ws/tasks"] {
                let full = try room.connect("full", to: path)
                try full.expectClose(
                    1008, reason: "Server at capacity",
                    path == "/ws" ? "three are in, and three are allowed: the next one is refused" : hint)
            }
            try room.expectGet("/stats", json: ["active": 3, "total": 3], "who was refused does not count")
            for leave in [{ try ana.close() }, { bob.drop() }, { cem.drop(reset: true) }]
                as [() throws -> Void]
            {
                try leave()
                try room.expectGet(
                    "/stats", json: ["active": 2], "a place is given back once, on every way out")
                _ = try room.connect("next", to: "/ws/chat/tea/ana\(UUID().uuidString.prefix(8))")
                try room.connect("full", to: "/ws").expectClose(1008, reason: "Server at capacity")
            }
        }
    }

    /// Level 13.
    func testForeignPagesAreRefused() throws {
        try check("a page of another origin is refused with 403; a program without Origin is let in") {
            room, _ in
            let own = "http://127.0.0.1:\(room.port)"
            for path in ["/ws", "/ws/chat/tea/eve"] {
                try room.expectRefusal(
                    "foreign page", to: path, headers: ["Origin": "https://evil.example"], status: 403...403,
                    "programs without an Origin are let in, and other people's pages are not: the engine does both "
                        + "unless `app.origins` is changed")
            }
            let page = try room.connect("own page", to: "/ws/chat/tea/ana", headers: ["Origin": own])
            try page.expect(json: ["type": "history"])
            let program = try room.connect(
                "program", to: "/ws/chat/coffee/bob", "only browsers send an Origin: who sends none is let in"
            )
            try program.expect(json: ["type": "history"])
        }
    }

    /// Level 14.
    func testSilenceIsNoticed() throws {
        try check("a Ping after 30 s of silence, close 1000 `Timeout` after 60 s, on every route") {
            room, _ in
            let ana = try enter(room, "tea", "ana")
            let bob = try room.connect("bob", to: "/ws")
            let hint = "30 s after the last sign of life a Ping is due; a Pong is a sign of life"
            for _ in 1...3 {
                try room.pass(.seconds(30), asleep: 2)
                try hinting(
                    ifGot: "close 1000",
                    "only who has not answered a Ping is closed: count from the last sign of life"
                ) {
                    for client in [ana, bob] { try client.expectPing(hint) }
                }
                // The clients have answered the Ping when they read it.
                try settle(ana)
                try bob.send("hi")
                try bob.expect("Echo: hi")
            }
            try room.pass(.seconds(20), asleep: 2)
            try settle(ana, "only a silent client is closed")
            try room.pass(.seconds(29), asleep: 2)
            try hinting(ifGot: "a Ping", "ana spoke 29 s ago: no Ping is due") {
                try ana.ping([7])
                try ana.expectPong([7])
            }
            try room.pass(.seconds(11), asleep: 2)
            try room.expectGet(
                "/stats", json: ["active": 1],
                "60 s without any sign of life, not even a Pong: close, and let go; after the Ping sleep until 60 s after the last sign of life, not 30 s from now"
            )
            // Only now does bob read the Ping, and answer it.
            try bob.expectPing(hint)
            try bob.expectClose(1000, reason: "Timeout", "the close has a code and a reason")
            try settle(ana, "ana spoke 11 s ago")
        }
    }

    /// Level 15.
    func testASlowReaderDelaysNobody() throws {
        try check("who does not read delays nobody, and is dropped before much has piled up") { room, _ in
            let ana = try enter(room, "tea", "ana")
            let slow = try room.connect("slow", to: "/ws/chat/tea/slow", receiveBuffer: 4096)
            for type in ["system", "presence"] { try ana.expect(json: ["type": .string(type)]) }
            let text = String(repeating: "x", count: 4000)
            let hint = "broadcast waits for nobody; an awaited send() to each waits for the slowest"
            for _ in 1...200 {
                for _ in 1...20 { try ana.send(text) }
                for number in 1...20 {
                    let event = try ana.receiveJSON(wanted: "message \(number) of 20", hint)
                    if event["type"] == "message" { continue }
                    if event["message"] == "slow left" { return }
                }
                // A sign of life: it is not the heartbeat that must end this.
                try slow.ping()
                try room.advance(by: .seconds(2))
            }
            throw room.wrong(
                "16 MB were sent to somebody who does not read, and it is still a member",
                hint:
                    "what is kept for one who does not read has a bound: see `app.limits.broadcastHighWater`"
            )
        }
    }

    /// Level 16.
    func testAReturningClientFindsWhatItMissed() throws {
        try check("who was cut off and comes back finds what was said meanwhile, once, by its id") {
            room, _ in
            let bob = try enter(room, "tea", "bob")
            let ana = try enter(room, "tea", "ana", meeting: bob)
            try bob.send("heard")
            let heard = try ana.expect(json: .message("heard", "tea", "bob"))
            try bob.expect(json: .message("heard", "tea", "bob"))
            ana.drop()
            try expect([bob], .system("ana left", "tea", "ana"))
            try bob.expect(json: ["type": "presence"])
            var truth: [JSONValue] = [heard]
            for text in ["missed 1", "missed 2"] {
                try bob.send(text)
                truth.append(try bob.expect(json: .message(text, "tea", "bob")))
            }
            let again = try room.connect("ana, again", to: "/ws/chat/tea/ana")
            let history = try again.expect(json: ["type": "history"])["messages"]?.array ?? []
            if history != truth {
                throw again.wrong(
                    expected: "the history \(truth.map(\.text))", got: "\(history.map(\.text))",
                    "a client that was cut off joins as any other; each message has the id that it had")
            }
        }
    }

    /// Levels 07 and 09.
    func testShutdownSaysGoodbyeAndLosesNothing() throws {
        try check("at shutdown everybody is closed with 1001, and nothing is lost") { room, folder in
            let token = try account(room, "ana")
            let ana = try enter(room, "tea", "ana", token: token)
            try ana.send("remember this")
            let said = try ana.expect(json: .message("remember this", "tea", "ana"))
            let others = try ["/ws", "/ws/json", "/ws/tasks"].map {
                try room.connect("client of \($0)", to: $0)
            }
            // What a kill would leave behind at this moment, and then an end in good order.
            let killed = try folder.copy()
            room.beginShutdown()
            for client in [ana] + others {
                try client.expectClose(1001, "the engine says goodbye to all")
            }
            for folder in [killed, try folder.copy()] {
                try room.restarted(folder.application(capacity: 10)) { room in
                    try room.connect("eve", to: "/ws/chat/tea/ana").expectClose(
                        4001, reason: "Missing token",
                        "accounts outlive the process: is `chat.open()` called at start-up (step 1)?")
                    let again = try room.connect("ana", to: "/ws/chat/tea/ana?token=\(token)")
                    let history = try again.expect(json: ["type": "history"], "tokens outlive the process")
                    guard history["messages"] == [said] else {
                        throw again.wrong(
                            expected: "the history \(said.text)", got: history.text,
                            "append a message to the archive before anybody is sent it, and read it at the start"
                        )
                    }
                    for type in ["system", "presence"] { try again.expect(json: ["type": .string(type)]) }
                    try again.send("more")
                    let id = try again.expect(json: .message("more", "tea", "ana"))["id"]?.int ?? 0
                    if id <= said["id"]?.int ?? 0 {
                        throw room.wrong(
                            "expected the id of the first message after the restart to be greater than before",
                            "     got \(id) after \(said["id"]?.text ?? "none")",
                            hint:
                                "a number that comes twice tells nothing apart: go on from the archive's last one"
                        )
                    }
                }
            }
        }
    }

    /// Level 09.
    func testTooLongATextIsAnError() throws {
        try check("a text of more than 4,096 bytes is an error, and neither sent nor kept") { room, _ in
            let ana = try enter(room, "tea", "ana")
            let longest = String(repeating: "é", count: 2048)
            try ana.send(longest)
            try ana.expect(json: .message(longest, "tea", "ana"), "4,096 bytes of UTF-8 are allowed")
            for (text, hint) in [
                (longest + "!", "count the bytes of the UTF-8, not the characters"),
                ("/pm ana \(longest)!", "a private message has the same limit"),
            ] {
                try ana.send(text)
                try expectError(ana, hint)
            }
            let bob = try room.connect("bob", to: "/ws/chat/tea/bob")
            let history = try bob.expect(json: ["type": "history"])["messages"]?.array ?? []
            if history.count != 1 {
                throw room.wrong("the history holds \(history.count) messages instead of 1")
            }
        }
    }

    // MARK: - Steps

    private static let routes =
        "is this path given? Do it in `makeApplication` itself, not inside `onStartup`: by then it is too late"

    private static let ids =
        "ids are counted for the whole server, not for each room, and not by the history, which stops at 50"

    /// A check in which time stands still, with a data directory of its own.
    private func check(
        _ rule: String, capacity: Int = 100, _ script: (Classroom, DataFolder) throws -> Void
    ) throws {
        let folder = try DataFolder()
        try grade(WebSockets.self, rule, makeApplication: folder.application(capacity: capacity)) {
            try script($0, folder)
        }
    }

    /// Makes an account, and returns its token.
    private func account(_ room: Classroom, _ name: String) throws -> String {
        let answer = try room.post("/accounts", #"{"username":"\#(name)"}"#)
        guard answer.status == 201, let token = answer.json?["token"]?.string else {
            throw room.wrong("expected status 201 with a token", "     got \(answer.status) \(answer.text)")
        }
        return token
    }

    private func refused(_ room: Classroom, _ body: String, _ status: Int, _ hint: String) throws {
        let answer = try room.post("/accounts", body)
        guard answer.status == status, answer.json?["error"]?.string != nil else {
            throw room.wrong(
                "expected status \(status) with an error in JSON", "     got \(answer.status) \(answer.text)",
                hint: hint)
        }
    }

    /// Joins a room as the first device of a user. When this returns, those who were there have been told.
    private func enter(
        _ room: Classroom, _ place: String, _ user: String, as name: String? = nil, token: String? = nil,
        meeting others: Client...
    ) throws -> Client {
        let query = token.map { "?token=\($0)" } ?? ""
        let client = try room.connect(
            name ?? user, to: "/ws/chat/\(place)/\(user)\(query)", Self.routes)
        let taken =
            token == nil
            ? "a guest who has left has no name any more: with its last device take the name out of `devices`"
            : "an account's own token lets it in as often as it likes; 4009 is for names without an account"
        try hinting(ifGot: "close 4009", taken) {
            try client.expect(json: ["type": "history"], "the history comes first, also if it is empty")
        }
        for client in [client] + others {
            let joined = "everyone in the room is told who joined, the joiner too"
            let first = "\(joined), at a user's first device in this room; one in another room does not count"
            try client.expect(
                json: ["type": "system", "user": .string(user), "message": .string("\(user) joined")],
                token == nil ? joined : first)
            try client.expect(json: ["type": "presence"], "after the join comes who is present")
        }
        return client
    }

    private func expect(_ clients: [Client], _ event: JSONValue, _ hint: String = "") throws {
        for client in clients { try client.expect(json: event, hint) }
    }

    private func expect(_ clients: [Client], text: String, _ hint: String = "") throws {
        for client in clients { try client.expect(text, hint) }
    }

    private func expectError(_ client: Client, naming name: String = "", _ hint: String) throws {
        let text = try client.expect(json: ["type": "error"], hint)["message"]?.string ?? ""
        if text.isEmpty || !text.contains(name) && !name.isEmpty {
            throw client.wrong(expected: "an error with a text that names \(name)", got: "\"\(text)\"", hint)
        }
    }

    /// GET answers exactly this, as soon as the server has caught up with its clients.
    private func equal(_ room: Classroom, _ path: String, _ json: JSONValue, _ hint: String) throws {
        try room.expectGet(path, json: json, hint)
    }

    /// Returns when the server has taken all that this client sent; no event may come before. Costs one message.
    private func settle(_ client: Client, _ hint: String = "the text ping is answered with pong") throws {
        try client.send("ping")
        try client.expect("pong", hint)
    }

    /// Had anything else come for these clients, it would be here before this message for all in the room.
    private func fence(
        by speaker: Client, for clients: [Client], in place: String, as user: String? = nil, _ hint: String
    ) throws {
        try speaker.send("fence")
        try expect(clients, .message("fence", place, user ?? speaker.name), hint)
    }

    /// The texts of the messages up to "last".
    private func texts(of client: Client) throws -> [String] {
        var texts: [String] = []
        while texts.last != "last" {
            let event = try client.receiveJSON()
            if event["type"] == "message" { texts.append(event["message"]?.string ?? "?") }
        }
        return texts
    }

    private static func claims(of token: String) -> JSONValue? {
        let parts = token.split(separator: ".")
        guard parts.count == 3 else { return nil }
        let base64 = parts[1].replacing("-", with: "+").replacing("_", with: "/")
        let padding = String(repeating: "=", count: (4 - base64.utf8.count % 4) % 4)
        return Data(base64Encoded: base64 + padding).flatMap {
            JSONValue(text: String(decoding: $0, as: UTF8.self))
        }
    }

    /// Seconds since 1970 of a time in ISO 8601 and UTC, with or without a fraction; nil for anything else.
    private static func date(_ text: String) -> Double? {
        guard text.hasSuffix("Z") || text.hasSuffix("+00:00") else { return nil }
        let precise = try? Date(text, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        return (precise ?? (try? Date(text, strategy: .iso8601)))?.timeIntervalSince1970
    }
}

extension Classroom {
    /// Lets time pass, once so many tasks sleep on the clock: one for each open WebSocket, for each typist, and for each
    /// running task.
    fileprivate func pass(_ duration: Duration, asleep count: Int, _ hint: String = "") throws {
        try expectAsleep(count, hint)
        try advance(by: duration)
    }

    fileprivate func expectAsleep(_ count: Int, _ hint: String = "") throws {
        let sleepers =
            "\(count) task\(count == 1 ? "" : "s") sleep\(count == 1 ? "s" : "") on the application's clock"
        do {
            try expect(
                "\(sleepers): one for each open WebSocket, one for each typist, one for each running task",
                hint
            ) { clock.sleeperCount == count }
        } catch var failure as Failure {
            let found = clock.sleeperCount
            failure.findings.insert("     there were \(found)", at: min(1, failure.findings.count))
            // One that is missing is told by the check's own hint, if it has one.
            if found < count - (hint.isEmpty ? 0 : 1) {
                failure.findings.append(
                    "hint: too few sleepers: does a heartbeat (step 5) run for every WebSocket? What it throws is seen by nobody"
                )
            }
            if found > count, hint.isEmpty {
                failure.findings.append("hint: too many sleepers: cancel the task of what is over")
            }
            throw failure
        }
    }
}

extension DataFolder {
    /// Makes a server that keeps its files here, and whose time stands still.
    fileprivate func application(capacity: Int) -> @Sendable () -> Application {
        {
            let application = WebSockets.makeApplication(data: self.path, capacity: capacity)
            application.clock.useManualTime()
            return application
        }
    }
}

extension JSONValue {
    fileprivate static func system(_ message: String, _ room: String, _ user: String) -> JSONValue {
        ["type": "system", "room": .string(room), "user": .string(user), "message": .string(message)]
    }
    fileprivate static func message(_ message: String, _ room: String, _ user: String) -> JSONValue {
        ["type": "message", "room": .string(room), "user": .string(user), "message": .string(message)]
    }
    fileprivate static func pm(_ message: String, _ sender: String, _ recipient: String) -> JSONValue {
        ["type": "pm", "from": .string(sender), "to": .string(recipient), "message": .string(message)]
    }
    fileprivate static func typing(_ room: String, _ user: String) -> JSONValue {
        ["type": "typing", "room": .string(room), "user": .string(user)]
    }
    fileprivate static func stopped(_ room: String, _ user: String) -> JSONValue {
        ["type": "stopped", "room": .string(room), "user": .string(user)]
    }
    fileprivate static func presence(_ users: [JSONValue], _ room: String) -> JSONValue {
        ["type": "presence", "room": .string(room), "users": .array(users)]
    }
}
