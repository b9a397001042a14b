import GraderKit
import Level04
import XCTest

/// Level 04 – Rooms. Chapter 4 of Course.md.
final class Level04Tests: XCTestCase {
    func testAJoinIsAnnouncedToEveryoneInTheRoom() throws {
        try grade(Rooms.self, "a join is announced as `ana joined` to all in the room, the joiner too") {
            room in
            let ana = try room.enter("tea", "ana")
            try ana.send("fence")
            try ana.expect(
                json: event("system", "tea", "ana", "ana joined"),
                "the joiner hears its own join, too, and so knows that it is in: add it first, "
                    + "then tell everyone")
            try ana.expect(json: event("message", "tea", "ana", "fence"), "a join is told once")
            let ben = try room.enter("tea", "ben")
            try ben.expect(
                json: event("system", "tea", "ben", "ben joined"), "a joiner hears only what comes after")
            try ana.expect(
                json: event("system", "tea", "ben", "ben joined"),
                "those who were there hear it, too. Are they still members? A room that exists is "
                    + "not made anew")
        }
    }

    func testAMessageReachesEveryoneInTheRoom() throws {
        try grade(Rooms.self, "a text goes to everyone in the room in the order sent, also to its sender") {
            room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            for text in ["one", "", "three"] { try ana.send(text) }
            for text in ["one", "", "three"] {
                for client in [ana, ben] {
                    let hint =
                        switch text {
                        case "": "an empty text is a message like any other: pass it on, in its turn"
                        case _ where client === ana:
                            "the sender is a member like the others: from its own text it sees "
                                + "that it has arrived"
                        default: "everyone in the room hears every text"
                        }
                    let said = "\"message\":\"\(text)\",\"room\":\"tea\",\"type\":\"system\""
                    try hinting(
                        ifGotWith: [
                            said: "what people say has the type message; system is for comings and goings"
                        ]
                    ) {
                        try client.expect(json: event("message", "tea", "ana", text), hint)
                    }
                }
            }
        }
    }

    func testAMessageStaysInItsRoom() throws {
        try grade(Rooms.self, "those in other rooms hear nothing of it") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            let cem = try room.joined("coffee", "cem")
            let hint =
                "this is of another room: texts and notices go to the members of their room, not to "
                + "everyone connected"
            try hinting(ifGotWith: ["\"room\":\"coffee\"": hint]) {
                try ana.send("tea only")
                try ana.expect(json: event("message", "tea", "ana", "tea only"))
                try ben.expect(json: event("message", "tea", "ana", "tea only"))
                try ben.close()
                try ana.expect(json: event("system", "tea", "ben", "ben left"))
            }
            // The fence: had anything of the tea room come for Cem, it would be here before this.
            try cem.send("fence")
            try cem.expect(json: event("message", "coffee", "cem", "fence"), hint)
        }
    }

    func testALeaveIsAnnouncedToThoseWhoStay() throws {
        try grade(Rooms.self, "who closes its connection is announced as `ben left` to those who stay") {
            room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            try ben.close()
            try ana.expect(
                json: event("system", "tea", "ben", "ben left"),
                "ben's leaving is to be told to those who stay. Are they still members? Remove the "
                    + "one, not the room")
            try ana.send("fence")
            try ana.expect(json: event("message", "tea", "ana", "fence"), "a leave is told once")
            try room.expectGet(
                "/rooms", json: [["name": "tea", "members": 1]], "who has left counts no more")
        }
    }

    func testADroppedConnectionLeavesToo() throws {
        try grade(Rooms.self, "who is cut off leaves as well as who says goodbye") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            let cem = try room.enter("tea", "cem")
            for client in [ana, ben, cem] {
                try client.expect(json: event("system", "tea", "cem", "cem joined"))
            }
            for (client, name) in [(ben, "ben"), (cem, "cem")] {
                client.drop(reset: name == "cem")
                try hinting(
                    ifGotWith: [
                        "\"message\":\"ben left\"":
                            "ben has left before: the loop has two ways out, by its end and by an error, "
                            + "and each member takes one"
                    ]
                ) {
                    try ana.expect(
                        json: event("system", "tea", name, "\(name) left"),
                        "a lost connection is a leave, too: leave on every way out, whatever the "
                            + "code or the error")
                }
            }
            try room.expectGet(
                "/rooms", json: [["name": "tea", "members": 1]], "a dropped member counts no more")
        }
    }

    func testALeaveIsToldInTheRoomThatWasLeft() throws {
        try grade(Rooms.self, "one name in two rooms: leaving one of them is told there, and there only") {
            room in
            let (ben, ana) = try room.two("tea", "ben", "ana")
            let cem = try room.joined("coffee", "cem")
            let anaToo = try room.enter("coffee", "ana", as: "Ana2")
            for client in [cem, anaToo] {
                try client.expect(json: event("system", "coffee", "ana", "ana joined"))
            }
            try ana.close()
            let hint =
                "ana has two connections, and one has left: remember the room of each connection, "
                + "not of each name"
            try room.expectGet(
                "/rooms", json: [["name": "coffee", "members": 2], ["name": "tea", "members": 1]], hint)
            try ben.expect(json: event("system", "tea", "ana", "ana left"), hint)
            try anaToo.send("still here")
            for client in [cem, anaToo] {
                try client.expect(
                    json: event("message", "coffee", "ana", "still here"), "the other connection has not left"
                )
            }
        }
    }

    func testNamesArePercentDecoded() throws {
        try grade(Rooms.self, "names stand in the path percent-encoded and everywhere else decoded, once") {
            room in
            let path = "/ws/rooms/caf%C3%A9%20%2F%20bar%201%2541/%E6%97%A5%E6%9C%AC%20a%2Bb"
            let (name, user) = ("café / bar 1%41", "日本 a+b")
            let client = try room.connect("Nihon", to: path)
            let hint =
                "socket.parameters holds the names decoded already: do not cut up the path, do not "
                + "decode again"
            let encoded =
                "in the path the names are still encoded, as here: socket.parameters holds them decoded"
            let twice =
                "the client's %2541 means the text %41, and that is decoded once: do not decode it again"
            let plus = "+ stands for a space in a form's query only. In a path it is a plus sign"
            try hinting(ifGotWith: ["%C3%A9": encoded, "bar 1A": twice, "日本 a b": plus]) {
                try client.expect(json: event("system", name, user, "\(user) joined"), hint)
                try client.send("hi")
                try client.expect(json: event("message", name, user, "hi"), hint)
                try room.expectGet("/rooms", json: [["name": .string(name), "members": 1]], hint)
            }
        }
    }

    func testQuotesAndLineBreaksSurviveInJSON() throws {
        try grade(Rooms.self, "whatever the names and texts are made of, the answer is valid JSON") { room in
            let client = try room.connect("Quo", to: "/ws/rooms/%22tea%22%5C/o%22quo")
            let hint =
                "do not put JSON together by hand: encode a Codable value, and quotes are escaped for you"
            try client.expect(json: event("system", "\"tea\"\\", "o\"quo", "o\"quo joined"), hint)
            for text in ["she said \"hi\"", "two\nlines\tand a tab", "{\"type\":\"system\"}", "👩‍👩‍👧 \\"] {
                try client.send(text)
                try client.expect(json: event("message", "\"tea\"\\", "o\"quo", text), hint)
            }
        }
    }

    func testRoomsAreListedByName() throws {
        try grade(Rooms.self, "GET /rooms lists each room with its number of members, sorted by name") {
            room in
            try room.expectGet("/rooms", json: [], "nobody is here: an empty array")
            for (index, name) in ["cocoa", "tea", "ale", "port", "milk", "cider", "rum", "juice"].enumerated()
            {
                for number in 0...(index % 3) { try room.joined(name, "user \(number)") }
            }
            let wanted: [JSONValue] = [
                ("ale", 3), ("cider", 3), ("cocoa", 1), ("juice", 2), ("milk", 2), ("port", 1), ("rum", 1),
                ("tea", 2),
            ].map { ["name": .string($0.0), "members": .number($0.1)] }
            try hinting(
                ifGotWith: [
                    "\"members\":\"": "members is a number: in JSON it stands without quotation marks"
                ]
            ) {
                try room.expectGet(
                    "/rooms", json: .array(wanted),
                    "sort by the rooms' names: a dictionary has no order of its own")
            }
        }
    }

    func testAnEmptyRoomDisappears() throws {
        try grade(Rooms.self, "a room vanishes with its last member, and begins anew with the next") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            let cem = try room.joined("coffee", "cem")
            try ana.close()
            try ben.close()
            try room.expectGet(
                "/rooms", json: [["name": "coffee", "members": 1]],
                "an empty set stays in the dictionary: remove the room, too, or every name ever "
                    + "invented is kept")
            let anew =
                "a room that became empty begins anew with the next who comes: nothing may be left of it"
            let dora = try hinting(anew) {
                try room.joined("tea", "dora")
            } when: { _ in
                true
            }
            cem.drop()
            try room.expectGet("/rooms", json: [["name": "tea", "members": 1]])
            try dora.send("anew")
            try dora.expect(json: event("message", "tea", "dora", "anew"))
        }
    }

    func testOneNameTwiceIsTwoMembers() throws {
        try grade(Rooms.self, "one name twice in a room is two members, who hear and leave separately") {
            room in
            let hint =
                "a member is a connection, not a name: of two that are called ana, both are members "
                + "and hear all"
            let first = try room.joined("tea", "ana")
            let second = try hinting(hint) {
                let second = try room.joined("tea", "ana", as: "Ana2")
                try first.expect(json: event("system", "tea", "ana", "ana joined"))
                return second
            } when: { _ in
                true
            }
            try room.expectGet(
                "/rooms", json: [["name": "tea", "members": 2]], "count connections, not names")
            try first.send("hi")
            for client in [first, second] {
                try client.expect(json: event("message", "tea", "ana", "hi"), hint)
            }
            try first.close()
            try second.expect(
                json: event("system", "tea", "ana", "ana left"),
                "the second ana has not left: remove the one connection, not everyone of its name")
            try second.send("still here")
            try second.expect(
                json: event("message", "tea", "ana", "still here"), "only the one that left is gone")
            try room.expectGet("/rooms", json: [["name": "tea", "members": 1]])
        }
    }

    func testBinaryIsIgnored() throws {
        try grade(Rooms.self, "a binary message is ignored, and the connection stays open") { room in
            let (ana, ben) = try room.two("tea", "ana", "ben")
            try ana.send([0x01, 0xFF])
            try ana.send("fence")
            for client in [ana, ben] {
                try client.expect(
                    json: event("message", "tea", "ana", "fence"),
                    "what is not text is passed over: nobody hears of it, and it ends nothing")
            }
        }
    }

    func testNobodyIsLostWhenManyComeAndGoAtOnce() throws {
        try grade(Rooms.self, "many who join and leave at the same moment are all counted, and counted once")
        { room in
            let clients = try room.connectSimultaneously(
                (0..<60).map { ("User \($0)", path("room \($0 % 3)", "user \($0)")) })
            func rooms(of count: Int) -> JSONValue {
                .array((0..<3).map { ["name": "room \($0)", "members": .number(Double(count))] })
            }
            let hint =
                "from looking at what you remember to changing it there must be no await: others "
                + "join and leave meanwhile"
            try room.expectGet("/rooms", json: rooms(of: 20), hint)
            try room.connectSimultaneously(
                (0..<3).map { ("Late \($0)", path("room \($0)", "late")) },
                meanwhile: { for client in clients.dropLast(3) { client.drop() } })
            try room.expectGet("/rooms", json: rooms(of: 2), hint)
            for client in clients.suffix(3) { try client.close() }
            try room.expectGet("/rooms", json: rooms(of: 1), hint)
        }
    }
}

/// The path of a room for a user, both of plain characters and spaces.
private func path(_ room: String, _ user: String) -> String {
    "/ws/rooms/\(room)/\(user)".replacing(" ", with: "%20")
}

private func event(_ type: String, _ room: String, _ user: String, _ message: String) -> JSONValue {
    ["type": .string(type), "room": .string(room), "user": .string(user), "message": .string(message)]
}

extension Classroom {
    /// Connects a client to a room; what it hears there is still to come.
    fileprivate func enter(_ name: String, _ user: String, as client: String? = nil) throws -> Client {
        try connect(client ?? user.capitalized, to: path(name, user))
    }

    /// A client that has heard of its own joining, and of nothing else.
    @discardableResult
    fileprivate func joined(_ name: String, _ user: String, as client: String? = nil) throws -> Client {
        let client = try enter(name, user, as: client)
        try client.expect(json: event("system", name, user, "\(user) joined"))
        return client
    }

    /// Two in one room, who have heard of each other.
    fileprivate func two(_ name: String, _ first: String, _ second: String) throws -> (Client, Client) {
        let one = try joined(name, first)
        let two = try joined(name, second)
        try one.expect(json: event("system", name, second, "\(second) joined"))
        return (one, two)
    }
}
