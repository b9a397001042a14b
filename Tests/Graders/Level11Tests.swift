import Foundation
import GraderKit
import Level11
import WebSocketEngine
import XCTest

/// Level 11 – Presence. Chapter 11 of Course.md.
final class Level11Tests: XCTestCase {
    func testAJoinerGetsTheListFirst() throws {
        try grade(Presence.self, "a joiner is sent the list first, with its own user in it") { room in
            let hint = "\(Self.joinerFirst), before anything else"
            let ana = try room.connect("ana", to: path("tea", "ana"))
            try hinting(
                ifGotWith: [
                    #""users":[]"#:
                        "the list was made before the device was on it: first the change, then the list"
                ]
            ) {
                try ana.expect(json: .presence("tea", "ana"), hint)
            }
            try fence(
                by: ana, for: [ana],
                "the joiner is one of all devices in the room: it has had its list already")
            let ben = try room.connect("ben", to: path("tea", "ben"))
            try ben.expect(json: .presence("tea", "ana", "ben"), hint)
            try fence(by: ben, for: [ben], "a list is sent once for each change")
        }
    }

    func testTheOthersGetTheSameList() throws {
        try grade(
            Presence.self, "when a user joins, all others in the room are sent the same list, once"
        ) {
            room in
            let ana = try join(room, "tea", "ana", users: ["ana"])
            let ben = try join(room, "tea", "ben", users: ["ana", "ben"], telling: ana)
            let cem = try join(room, "tea", "cem", users: ["ana", "ben", "cem"], telling: ana, ben)
            try fence(by: cem, for: [ana, ben, cem], "a list is sent once for each change")
        }
    }

    func testTheListIsSorted() throws {
        try grade(Presence.self, "the users are sorted, in whatever order they came") { room in
            let ben = try join(room, "tea", "ben", users: ["ben"])
            var users = ["ben"]
            for name in ["ida", "ana", "Zoë", "hal", "Émile", "cem", "10", "9", "gus"] {
                users = (users + [name]).sorted()
                _ = try hinting(
                    "these are the right users in another order: sort them as `sorted()` does, capitals first",
                    { try join(room, "tea", name, users: users, telling: ben) },
                    when: { [users] findings in
                        findings.compactMap { JSONValue(text: $0.replacing("     got ", with: ""))?["users"] }
                            .contains { $0.containsInAnyOrder(.array(users.map { .string($0) })) }
                    })
            }
            try fence(by: ben, for: [ben])
        }
    }

    func testALeaveIsToldToThoseWhoStay() throws {
        try grade(
            Presence.self, "who leaves, in whatever way, is not on the list that all who stay are sent"
        ) {
            room in
            let ana = try join(room, "tea", "ana", users: ["ana"])
            let ben = try join(room, "tea", "ben", users: ["ana", "ben"], telling: ana)
            let ways: [(Client) throws -> Void] = [
                { try $0.close() }, { try $0.closeWithoutCode() },
                { try $0.close(code: 4000, reason: "bye") },
                { $0.drop() }, { $0.drop(reset: true) },
            ]
            for leave in ways {
                let zoe = try join(room, "tea", "zoe", users: ["ana", "ben", "zoe"], telling: ana, ben)
                try leave(zoe)
                let hint =
                    "when the client's loop has ended, whichever way, take it off the list and tell the others"
                try hinting(
                    ifGot: #"{"room":"tea","type":"presence","users":["ana","ben","zoe"]}"#, Self.tooEarly
                ) {
                    try expect([ana, ben], .presence("tea", "ana", "ben"), hint)
                }
            }
            try fence(by: ben, for: [ana, ben], "a list is sent once for each change")
        }
    }

    func testASecondDeviceChangesNothingForTheOthers() throws {
        try grade(Presence.self, "a second device is sent the list, and nobody else anything") { room in
            let ben = try join(room, "tea", "ben", users: ["ben"])
            let phone = try join(
                room, "tea", "ana", as: "ana's phone", users: ["ana", "ben"], telling: ben)
            let hint =
                "the users are the same as before: only the new device needs the list, which names ana once"
            let laptop = try room.connect("ana's laptop", to: path("tea", "ana"))
            try hinting(
                ifGot: [
                    "close": "a name that is here already is not taken: the same user has one more device",
                    #"{"room":"tea","type":"presence","users":["ana","ana","#:
                        "the list names users, not devices: ana is on it once",
                ]
            ) {
                try laptop.expect(json: .presence("tea", "ana", "ben"), hint)
            }
            let tablet = try room.connect("ana's tablet", to: path("tea", "ana"))
            try tablet.expect(json: .presence("tea", "ana", "ben"), hint)
            try fence(by: ben, for: [ben, phone, laptop, tablet], hint)
        }
    }

    func testAUserStaysOnlineUntilTheLastDeviceIsGone() throws {
        try grade(Presence.self, "a user is online until the last device is gone, whichever goes first") {
            room in
            let ben = try join(room, "tea", "ben", users: ["ben"])
            let hint = "ana still has a device here: nobody is told anything"
            for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
                var devices = [
                    try join(room, "tea", "ana", as: "ana's phone", users: ["ana", "ben"], telling: ben)
                ]
                for name in ["ana's laptop", "ana's tablet"] {
                    devices.append(try join(room, "tea", "ana", as: name, users: ["ana", "ben"]))
                }
                for (gone, index) in order.dropLast().enumerated() {
                    if gone == 0 { devices[index].drop() } else { try devices[index].close() }
                    try room.expectGet(
                        "/rooms/tea", json: attendance(("ana", 2 - gone), ("ben", 1)), inAnyOrder: true,
                        "take the device that has left off the list, and leave the user's others on it")
                    let rest = order.dropFirst(gone + 1).map { devices[$0] }
                    try fence(by: ben, for: [ben] + rest, hint)
                }
                devices[order[2]].drop()
                try ben.expect(json: .presence("tea", "ben"), "the last device is gone, and ana with it")
            }
            try fence(by: ben, for: [ben])
        }
    }

    func testAUserWhoComesBackIsNews() throws {
        try grade(Presence.self, "a user who was gone and comes back is told as any other") { room in
            let ben = try join(room, "tea", "ben", users: ["ben"])
            for _ in 1...3 {
                let ana = try hinting(
                    "ana had gone, and is news again: does a user count as online who has no device left?"
                ) {
                    try join(room, "tea", "ana", users: ["ana", "ben"], telling: ben)
                } when: {
                    $0.contains { $0.hasPrefix("ben waited") }
                }
                try fence(by: ana, for: [ana, ben])
                try ana.close()
                try ben.expect(json: .presence("tea", "ben"), "the last device is gone, and ana with it")
            }
            try ben.close()
            try room.expectGet("/rooms/tea", json: [], "nobody is here")
            try hinting(
                ifGot: "close", "an empty room is as if it had never been: it opens for the next who comes"
            ) {
                try join(room, "tea", "cem", users: ["cem"])
            }
        }
    }

    func testATextReachesEveryDevice() throws {
        try grade(Presence.self, "a text reaches every device in the room once, the sender's too") {
            room in
            let phone = try join(room, "tea", "ana", as: "ana's phone", users: ["ana"])
            let laptop = try join(room, "tea", "ana", as: "ana's laptop", users: ["ana"])
            let ben = try hinting(
                "both of ana's devices are told: the second is kept beside the first, and not in its place"
            ) {
                try join(room, "tea", "ben", users: ["ana", "ben"], telling: phone, laptop)
            } when: {
                $0.contains { $0.hasPrefix("ana's") && $0.contains("but nothing came") }
            }
            var before = "nothing"
            for text in ["one", "", "\"two\"\n日本語", "four"] {
                try phone.send(text)
                try hinting(
                    ifGot: JSONValue.message(before, "tea", "ana").text,
                    "this text has come before: sent once, it arrives once, however many devices its sender has"
                ) {
                    try expect(
                        [phone, laptop, ben], .message(text, "tea", "ana"),
                        text.isEmpty
                            ? "an empty text is a text too"
                            : "every device in the room gets every text, the sender's own, too")
                }
                before = text
            }
            try phone.close()
            try laptop.send("five")
            try expect(
                [laptop, ben], .message("five", "tea", "ana"),
                "ana still has a device here: she can speak on")
        }
    }

    func testBinaryIsIgnored() throws {
        try grade(Presence.self, "a binary message is ignored, and its sender stays") { room in
            let ana = try join(room, "tea", "ana", users: ["ana"])
            let ben = try join(room, "tea", "ben", users: ["ana", "ben"], telling: ana)
            try ben.send([1, 2, 3])
            try fence(by: ben, for: [ana, ben], "pass over what is not text, and go on")
        }
    }

    func testOtherRoomsHearNothing() throws {
        try grade(
            Presence.self, "other rooms hear nothing; one name in two rooms is online in each by itself"
        ) {
            room in
            let ben = try join(room, "tea", "ben", users: ["ben"])
            let cem = try join(room, "coffee", "cem", users: ["cem"])
            let hint = "a user is online in a room: what happens in one room is nothing to the other"
            let ana = try hinting(ifGotWith: [#""room":"coffee""#: hint]) {
                try join(room, "tea", "ana", users: ["ana", "ben"], telling: ben)
            }
            try fence(by: cem, for: [cem], hint)
            let twin = try room.connect("ana in coffee", to: path("coffee", "ana"))
            try expect([twin, cem], .presence("coffee", "ana", "cem"), hint)
            try fence(by: ben, for: [ben, ana], hint)
            ana.drop()
            try ben.expect(json: .presence("tea", "ben"), hint)
            try fence(by: cem, for: [cem, twin], hint)
            try room.expectGet(
                "/rooms/coffee", json: attendance(("ana", 1), ("cem", 1)), inAnyOrder: true, hint)
            try twin.close()
            try cem.expect(json: .presence("coffee", "cem"), hint)
            try fence(by: ben, for: [ben], hint)
        }
    }

    func testNamesAreDecodedAndKeptAsTheyAre() throws {
        try grade(Presence.self, "names are any text, percent-decoded once; Ana and ana are two users") {
            room in
            let name = "café / 1%41"
            let ana = try hinting(
                ifGotWith: [
                    "%C3%A9": "the path is percent-encoded; socket.parameters holds the names decoded",
                    "1A": "this has been decoded twice: socket.parameters holds the names decoded already",
                ]
            ) {
                try join(room, name, "ana", users: ["ana"])
            }
            let big = try hinting(ifGotWith: [
                #""users":["ana"]"#: "names stay as they are: Ana and ana are two users"
            ]) {
                try join(room, name, "Ana", users: ["Ana", "ana"], telling: ana)
            }
            let quoted = "\"o\\'\n日本"
            let odd = try hinting(
                ifGot: "text", "this is not JSON: names may contain quotation marks; let an encoder write it"
            ) {
                try join(
                    room, name, quoted, as: "odd", users: [quoted, "Ana", "ana"].sorted(), telling: ana, big)
            }
            try fence(by: odd, for: [ana, big, odd])
            try room.expectGet(
                "/rooms/" + encoded(name),
                json: .array([quoted, "Ana", "ana"].map { attended($0, 1) }), inAnyOrder: true,
                "socket.parameters and request.parameters hold the names decoded already")
        }
    }

    func testDevicesAreCounted() throws {
        try grade(
            Presence.self, "GET /rooms/{room} answers each user's number of devices, sorted by user"
        ) { room in
            try room.expectGet("/rooms/tea", json: [], "nobody is here: an empty array")
            var ben: [Client] = []
            for number in 1...3 { ben.append(try room.connect("ben \(number)", to: path("tea", "ben"))) }
            for (name, count) in [("eve", 1), ("ana", 2), ("dan", 1), ("cem", 1), ("flo", 2)] {
                for number in 1...count { _ = try room.connect("\(name) \(number)", to: path("tea", name)) }
            }
            _ = try room.connect("ana elsewhere", to: path("coffee", "ana"))
            var wanted = [("ana", 2), ("ben", 3), ("cem", 1), ("dan", 1), ("eve", 1), ("flo", 2)]
            func expectWanted(_ hint: String) throws {
                let json = JSONValue.array(wanted.map { attended($0.0, $0.1) })
                _ = try hinting(
                    "the same users in another order: sort by user",
                    { try room.expectGet("/rooms/tea", json: json, hint) },
                    when: { findings in
                        findings.compactMap { JSONValue(text: $0.replacing("     got ", with: "")) }
                            .contains { $0.containsInAnyOrder(json) }
                    })
            }
            try expectWanted("count devices in this room, and sort by user: a dictionary has no order")
            ben[0].drop()
            try ben[1].close()
            wanted[1].1 = 1
            try expectWanted("a device that has left counts no more")
            ben[2].drop(reset: true)
            wanted.remove(at: 1)
            try expectWanted("a user without a device is not online")
        }
    }

    func testManyJoinAndLeaveAtOnce() throws {
        try grade(
            Presence.self, "when many join or leave at once, each list differs from the one before by one"
        ) {
            room in
            let hint =
                "change the list, make it, and send it in one step, without an await: others run in between"
            let witness = try join(room, "tea", "w", users: ["w"])
            let names = (1...24).map { "u\($0)" }
            let clients = try room.connectSimultaneously(names.map { ($0, path("tea", $0)) }, hint)
            let all = Set(names + ["w"])
            for (client, name) in zip(clients, names) {
                try follow(client, from: nil, to: all, containing: name, room, hint)
            }
            try follow(witness, from: ["w"], to: all, containing: "w", room, hint)
            let leaving =
                "\(hint); and if you send to each device with `try await`, a device that is gone throws, and nobody after it is told; `broadcastJSON` passes over it, and waits for nobody"
            try room.simultaneously { for client in clients.dropLast(2) { client.drop() } }
            let rest: Set = ["w", "u23", "u24"]
            for client in [witness] + clients.suffix(2) {
                try follow(client, from: all, to: rest, containing: "w", room, leaving)
            }
            try fence(by: witness, for: [witness] + clients.suffix(2), hint)
        }
    }

    func testADeviceComesAsTheOtherGoes() throws {
        try grade(Presence.self, "who changes devices in one moment is online afterwards") { room in
            let hint =
                "ask who is there and change it in one step, without an await: the other device goes in between"
            let ben = try join(room, "tea", "ben", users: ["ben"])
            var device = try join(room, "tea", "ana", as: "ana 0", users: ["ana", "ben"], telling: ben)
            for number in 1...10 {
                let old = device
                // The old one goes just before the new one comes, or just after it.
                device = try room.connectAmid(
                    [("ana \(number)", path("tea", "ana")), ("dan \(number)", path("coffee", "dan"))],
                    step: { if $0 == number % 2 { old.drop() } }, hint)[0]
                try device.expect(json: .presence("tea", "ana", "ben"), hint)
                try room.expectGet(
                    "/rooms/tea", json: attendance(("ana", 1), ("ben", 1)), inAnyOrder: true, hint)
                try device.send("fence")
                try device.expect(json: .message("fence", "tea", "ana"), hint)
                // Ben may have been told that ana was gone for a moment; then also that she is back.
                var users = ["ana", "ben"]
                while true {
                    let event = try ben.receiveJSON(wanted: "ana's message", hint)
                    if event["type"] == "message" { break }
                    let got = event["users"]?.array?.compactMap(\.string) ?? []
                    if got == users { throw ben.wrong(expected: "something new", got: event.text, hint) }
                    users = got
                }
                if users != ["ana", "ben"] {
                    throw ben.wrong(expected: "ana to be online in the end", got: "\(users)", hint)
                }
            }
        }
    }

    func testWhoVanishesBeforeItIsAcceptedWasNeverHere() throws {
        try grade(
            Presence.self, "a client that vanishes before it is accepted was never here",
            prepare: { $0.letClientsVanish() }
        ) { room in
            let ben = try join(room, "tea", "ben", users: ["ben"])
            for _ in 1...3 { try room.vanish("eve", at: path("tea", "eve")) }
            try room.expectGet(
                "/rooms/tea", json: attendance(("ben", 1)),
                "nobody is here before accept() has returned: accept first, then join")
            try fence(
                by: ben, for: [ben], "nobody is here before accept() has returned: accept first, then join")
        }
    }

    // MARK: - Steps

    private static let tooEarly =
        "first take the device off, then make the list: it still names the one who left; and when the user's last device is gone, take the user off: a key with an empty set is still a key"

    private static let joinerFirst =
        "a joiner knows nothing yet: accept it, list its device, and then make the list and send it"

    /// The lists tell all there is to tell.
    private func hintingIfNotice<Result>(_ part: () throws -> Result) throws -> Result {
        try hinting(
            ifGotWith: [
                #""type":"system""#: "there are no notices here: the lists say who has come and gone"
            ], part)
    }

    /// Connects a device, and takes the list that it and these others must be sent.
    @discardableResult
    private func join(
        _ room: Classroom, _ name: String, _ user: String, as client: String? = nil, users: [String],
        telling others: Client...
    ) throws -> Client {
        let newcomer = try room.connect(client ?? user, to: path(name, user))
        let list = JSONValue.presence(name, users)
        let old = JSONValue.presence(name, users.filter { $0 != user })
        try hintingIfNotice {
            try newcomer.expect(json: list, "\(Self.joinerFirst); it has each user once, sorted")
            try hinting(
                ifGot: [
                    old.text: "this is the list as it was: the newcomer must be on it before it is made",
                    JSONValue.presence(name, user).text:
                        "a list is the state, and not the change: it names all who are here now",
                ]
            ) {
                for other in others {
                    try other.expect(json: list, "the user is new: all others are sent the list, too")
                }
            }
        }
        return newcomer
    }

    private func expect(_ clients: [Client], _ event: JSONValue, _ hint: String = "") throws {
        for client in clients { try client.expect(json: event, hint) }
    }

    /// Had anything else come for these clients, it would be here before this message for all.
    private func fence(by speaker: Client, for clients: [Client], _ hint: String = "") throws {
        try speaker.send("fence")
        for client in clients {
            _ = try hinting(
                "a text goes to all devices in the room, to the sender's own, too (step 6)",
                {
                    try hintingIfNotice {
                        try client.expect(json: ["type": "message", "message": "fence"], hint)
                    }
                },
                when: { client === speaker && $0.contains { $0.contains("but nothing came") } })
        }
    }

    /// Takes lists until one has these users. Each must be sorted, have this user, and differ from the one before, if
    /// there is one, by one user.
    private func follow(
        _ client: Client, from before: Set<String>?, to last: Set<String>, containing user: String,
        _ room: Classroom, _ hint: String
    ) throws {
        var before = before
        while before != last {
            let event = try client.expect(json: ["type": "presence"], hint)
            let users = event["users"]?.array?.compactMap(\.string) ?? []
            let now = Set(users)
            if users != now.sorted() {
                throw client.wrong(expected: "users sorted and without doubles", got: event.text, hint)
            }
            if !now.contains(user) {
                throw client.wrong(expected: "a list with \(user)", got: event.text, hint)
            }
            if let before, now.symmetricDifference(before).count != 1 {
                throw client.wrong(
                    expected: "one user more or less than \(before.sorted())", got: "\(users)", hint)
            }
            before = now
        }
    }
}

private func encoded(_ name: String) -> String {
    name.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? name
}

/// The path of a room for a user, percent-encoded.
private func path(_ room: String, _ user: String) -> String {
    "/ws/rooms/\(encoded(room))/\(encoded(user))"
}

private func attended(_ user: String, _ devices: Int) -> JSONValue {
    ["user": .string(user), "devices": .number(Double(devices))]
}

private func attendance(_ users: (String, Int)...) -> JSONValue {
    .array(users.map { attended($0.0, $0.1) })
}

extension JSONValue {
    fileprivate static func presence(_ room: String, _ users: [String]) -> JSONValue {
        ["type": "presence", "room": .string(room), "users": .array(users.map { .string($0) })]
    }
    fileprivate static func presence(_ room: String, _ users: String...) -> JSONValue {
        presence(room, users)
    }
    fileprivate static func message(_ message: String, _ room: String, _ user: String) -> JSONValue {
        ["type": "message", "room": .string(room), "user": .string(user), "message": .string(message)]
    }
}
