import GraderKit
import Level05
import XCTest

/// Level 05 – JSON protocol. Chapter 5 of Course.md.
final class Level05Tests: XCTestCase {
    func testASubscriptionIsConfirmed() throws {
        try grade(JSONProtocol.self, "subscribe is answered with `subscribed` and the channel") { room in
            let ana = try room.connect("Ana", to: "/ws/json")
            for channel in ["news", "", "Wetter \"heute\" ☀️"] {
                try ana.send(json: ["action": "subscribe", "channel": .string(channel)])
                try hinting(
                    ifGot: [
                        "{\"type\":\"subscribed\"}": "say to which channel: a client may subscribe to several"
                    ]
                ) {
                    try ana.expect(
                        json: ["type": "subscribed", "channel": .string(channel)],
                        channel.isEmpty
                            ? "a channel may have any name, the empty one too"
                            : "action and channel are two keys side by side; the decoding that Swift writes for an "
                                + "enum by itself expects another format")
                }
            }
            try ana.send(json: ["action": "subscribe", "channel": "news", "message": "not needed", "id": 8])
            try ana.expect(
                json: ["type": "subscribed", "channel": "news"], "pass over keys that are not needed")
        }
    }

    func testAMessageReachesEverySubscriber() throws {
        try grade(JSONProtocol.self, "what is sent to a channel reaches all its subscribers, in order") {
            room in
            let ana = try room.subscriber("Ana", to: "news")
            let ben = try room.subscriber("Ben", to: "news")
            let cem = try room.connect("Cem", to: "/ws/json")
            let texts = ["one", "", "\"three\"\n👩‍👩‍👧"]
            for text in texts { try cem.send(json: message("news", text)) }
            try hintingIfError("Cem is told of a fault, but sending needs no subscription") {
                try cem.pingPong(
                    "a message goes to who is subscribed to its channel, and Cem, who sends it, is not")
            }
            for client in [ana, ben] {
                for text in texts {
                    try client.expect(json: delivery("news", text), "to every subscriber, unchanged")
                }
            }
            try ana.send(json: message("news", "from Ana"))
            for client in [ana, ben] {
                try client.expect(
                    json: delivery("news", "from Ana"), "a sender who is subscribed hears itself")
            }
        }
    }

    func testChannelsAreSeparate() throws {
        try grade(JSONProtocol.self, "a message reaches the subscribers of its channel and nobody else") {
            room in
            let ana = try room.subscriber("Ana", to: "news")
            let ben = try room.subscriber("Ben", to: "sport")
            try ana.send(json: message("weather", "nobody listens"))
            try hintingIfError("a channel without subscribers: nobody hears it, and that is no error") {
                try ana.pingPong(
                    "Ana is subscribed to news alone: send to the subscribers of this very channel")
            }
            try ana.send(json: message("news", "for news"))
            try ana.expect(json: delivery("news", "for news"))
            try ben.pingPong("who is subscribed to another channel hears nothing of this one")
            try ana.subscribe(to: "sport")
            try ben.send(json: message("sport", "for sport"))
            for client in [ana, ben] {
                try client.expect(
                    json: delivery("sport", "for sport"), "one client may have several channels")
            }
            try ana.send(json: message("news", "news still"))
            try ana.expect(
                json: delivery("news", "news still"),
                "subscribing to sport must not end her subscription to news")
        }
    }

    func testSubscribingTwiceIsLikeSubscribingOnce() throws {
        try grade(JSONProtocol.self, "who subscribes twice gets two confirmations, and each message once") {
            room in
            let ana = try room.subscriber("Ana", to: "news")
            try ana.subscribe(
                to: "news", "who asks for what is so already makes no mistake: confirm it like the first time"
            )
            try ana.send(json: message("news", "hi"))
            try ana.expect(json: delivery("news", "hi"))
            try ana.pingPong("remember who is subscribed, not how often: a set knows no doubles")
            try ana.unsubscribe(from: "news")
            try ana.send(json: message("news", "bye"))
            try ana.pingPong("subscribed or not is all there is to remember: one unsubscribe is enough")
        }
    }

    func testUnsubscribingEndsTheDelivery() throws {
        try grade(
            JSONProtocol.self, "unsubscribe is confirmed, and ends one client's delivery from one channel"
        ) {
            room in
            let ana = try room.subscriber("Ana", to: "news")
            let ben = try room.subscriber("Ben", to: "news")
            try ana.subscribe(to: "sport")
            try ana.unsubscribe(from: "news")
            try ana.unsubscribe(
                from: "news", "who asks for what is so already makes no mistake: confirm it all the same")
            try ana.unsubscribe(from: "never heard of")
            try ben.send(json: message("news", "after"))
            try ben.expect(
                json: delivery("news", "after"), "Ana has left the channel, and Ben has not: the others stay")
            try ana.pingPong("`unsubscribed` was said, but the channel still has her as a subscriber")
            try ben.send(json: message("sport", "goal"))
            try ana.expect(
                json: delivery("sport", "goal"), "she has left news, not sport: her other subscriptions stay")
        }
    }

    func testPingIsAnsweredWithPong() throws {
        try grade(
            JSONProtocol.self, "ping is answered with `pong`; keys that an action does not need are ignored"
        ) {
            room in
            let ana = try room.connect("Ana", to: "/ws/json")
            try hintingIfError(
                "a ping needs nothing but its action: decode what this action needs, and no more"
            ) {
                try ana.pingPong(
                    "this ping is a JSON text, and so is its pong; frames of these names are the engine's")
            }
            try ana.send(json: ["action": "ping", "id": 7, "note": ["nested": [true, nil]]])
            try ana.expect(
                json: ["type": "pong"], "a ping needs nothing but its action; pass over other keys")
        }
    }

    func testBadJSONIsAnsweredWithAnError() throws {
        try grade(
            JSONProtocol.self, "text that is no JSON object is answered with an error, and one can go on"
        ) {
            room in
            let ana = try room.connect("Ana", to: "/ws/json")
            for text in [
                "hello", "", "{\"action\":\"ping\"", "{\"action\":\"ping\"} x", "{'action':'ping'}", "[1,2]",
                "\"ping\"",
                "42", "null",
            ] {
                try ana.send(text)
                try ana.expectError(
                    field: nil,
                    "here is no object with keys: the coding path is empty, and no key is at fault",
                    unanswered:
                        "only the ping was answered: what cannot be read is answered too, with an error")
            }
        }
    }

    func testAnUnknownActionIsAnsweredWithAnError() throws {
        try grade(JSONProtocol.self, "an unknown action is answered with an error of the field action") {
            room in
            let ana = try room.subscriber("Ana", to: "news")
            let ben = try room.subscriber("Ben", to: "news")
            for action in ["shout", "", "Ping", "subscribed"] {
                try ana.send(json: ["action": .string(action), "channel": "news", "message": "hi"])
                try ana.expectError(
                    field: "action",
                    "this is good JSON; only its action is at fault, as the coding path says",
                    unanswered: action == "Ping"
                        ? "actions are compared exactly: Ping is not ping"
                        : "an unknown action is neither passed over nor taken for another: answer with an error"
                )
            }
            try ben.pingPong("an error is told to the one who made it, and to nobody else")
        }
    }

    func testAMissingFieldIsNamed() throws {
        try grade(JSONProtocol.self, "a missing key is answered with an error that names it") { room in
            let ana = try room.connect("Ana", to: "/ws/json")
            let faulty: [(JSONValue, String)] = [
                ([:], "action"), (["channel": "news"], "action"), (["action": "subscribe"], "channel"),
                (["action": "unsubscribe", "message": "x"], "channel"),
                (["action": "send", "message": "hi"], "channel"),
                (["action": "send", "channel": "news"], "message"),
            ]
            for (command, field) in faulty {
                try ana.send(json: command)
                try ana.expectError(
                    field: field,
                    "the coding path does not name a key that is missing, but keyNotFound carries it",
                    unanswered: "this command lacks a key: `decode` throws, `decodeIfPresent` does not")
            }
            try room.expectGet("/channels", json: [], "a faulty command changes nothing")
        }
    }

    func testAWrongTypeIsNamed() throws {
        try grade(JSONProtocol.self, "a value of the wrong type is answered with an error that names its key")
        { room in
            let ana = try room.connect("Ana", to: "/ws/json")
            let faulty: [(JSONValue, String)] = [
                (["action": 7], "action"), (["action": nil], "action"),
                (["action": "subscribe", "channel": 5], "channel"),
                (["action": "unsubscribe", "channel": ["news"]], "channel"),
                (["action": "send", "channel": true, "message": "hi"], "channel"),
                (["action": "send", "channel": "news", "message": ["text": "hi"]], "message"),
                (["action": "send", "channel": "news", "message": nil], "message"),
            ]
            for (command, field) in faulty {
                try ana.send(json: command)
                try ana.expectError(
                    field: field, "the codingPath of a DecodingError says which key is wrong",
                    unanswered:
                        "the value of \(field) is no string: neither a number nor null may pass for one")
            }
            try room.expectGet("/channels", json: [], "a faulty command changes nothing")
        }
    }

    func testBinaryIsAnsweredWithAnError() throws {
        try grade(JSONProtocol.self, "a binary message is answered with an error, whatever is in it") {
            room in
            let ana = try room.connect("Ana", to: "/ws/json")
            for bytes in [[0x00, 0xFF], Array("{\"action\":\"ping\"}".utf8), []] {
                try ana.send(bytes)
                try ana.expectError(
                    field: nil, "look at the kind of the message before you decode it",
                    unanswered: bytes.first == UInt8(ascii: "{")
                        ? "these bytes spell a command, but binary is none: look at the kind of the message first"
                        : "only the ping was answered: binary is answered too, with an error")
            }
        }
    }

    func testSubscriptionsEndWithTheConnection() throws {
        try grade(JSONProtocol.self, "subscriptions end with their connection, closed or cut off") { room in
            let ana = try room.subscriber("Ana", to: "news")
            let ben = try room.subscriber("Ben", to: "news")
            let cem = try room.subscriber("Cem", to: "news")
            try ana.subscribe(to: "sport")
            try ana.close()
            let hint =
                "when the loop over the messages ends, in whatever way, forget the socket in every channel"
            try room.expectGet("/channels", json: [["name": "news", "subscribers": 2]], hint)
            ben.drop()
            try room.expectGet("/channels", json: [["name": "news", "subscribers": 1]], hint)
            let again = try room.connect("Ana again", to: "/ws/json")
            try again.send(json: message("news", "who is there?"))
            try cem.expect(json: delivery("news", "who is there?"), "those who stay are still served")
            try again.pingPong("a new connection begins without subscriptions")
        }
    }

    func testChannelsAreListedByName() throws {
        try grade(JSONProtocol.self, "GET /channels lists the channels that have subscribers, sorted by name")
        { room in
            let ana = try room.connect("Ana", to: "/ws/json")
            let ben = try room.connect("Ben", to: "/ws/json")
            try ana.send(json: message("silent", "sending opens no channel"))
            for name in ["news", "art", "sport", "law", "jobs", "cars", "music", "food"] {
                try ana.subscribe(to: name)
            }
            for name in ["news", "music", "gone"] { try ben.subscribe(to: name) }
            try ben.unsubscribe(from: "gone")
            let wanted: [JSONValue] = ["art", "cars", "food", "jobs", "law", "music", "news", "sport"].map {
                ["name": .string($0), "subscribers": $0 == "news" || $0 == "music" ? 2 : 1]
            }
            try hinting(
                ifGotWith: [
                    "\"silent\"": "sending opens no channel: silent has never had a subscriber",
                    "\"gone\"": "the last subscriber of gone has left, and so the channel is gone",
                ]
            ) {
                try room.expectGet(
                    "/channels", json: .array(wanted),
                    "sort by name: the order of a dictionary means nothing")
            }
        }
    }
}

private func message(_ channel: String, _ text: String) -> JSONValue {
    ["action": "send", "channel": .string(channel), "message": .string(text)]
}

private func delivery(_ channel: String, _ text: String) -> JSONValue {
    ["type": "message", "channel": .string(channel), "message": .string(text)]
}

/// What was answered with an error has been taken for a fault, which is a mistake of its own.
private func hintingIfError(_ hint: String, _ part: () throws -> Void) throws {
    try hinting(ifGotWith: [#""type":"error""#: hint], part)
}

extension Classroom {
    /// A client whose subscription is confirmed.
    fileprivate func subscriber(_ name: String, to channel: String) throws -> Client {
        let client = try connect(name, to: "/ws/json")
        try client.subscribe(to: channel)
        return client
    }
}

extension Client {
    fileprivate func subscribe(to channel: String, _ hint: String = "") throws {
        try send(json: ["action": "subscribe", "channel": .string(channel)])
        try expect(json: ["type": "subscribed", "channel": .string(channel)], hint)
    }

    fileprivate func unsubscribe(from channel: String, _ hint: String = "") throws {
        try send(json: ["action": "unsubscribe", "channel": .string(channel)])
        try expect(json: ["type": "unsubscribed", "channel": .string(channel)], hint)
    }

    /// The fence: whatever else was on its way would be here before the pong.
    fileprivate func pingPong(_ hint: String = "") throws {
        try send(json: ["action": "ping"])
        try expect(json: ["type": "pong"], hint)
    }

    /// An error that names this field comes next, and the connection stays open. The hint is for another field, and
    /// also for no error at all unless there is one of its own for that.
    fileprivate func expectError(field: String?, _ hint: String, unanswered: String? = nil) throws {
        // Sent first, so that silence shows at once: the pong would come instead of the error.
        try send(json: ["action": "ping"])
        let got = try hinting(
            ifGot: [
                "close 1011": "catch the DecodingError inside the loop, answer with an error, and go on",
                "close": "a mistake must not cost a client its connection: answer with an error, and go on",
            ]
        ) {
            try expect(json: ["type": "error"], unanswered ?? hint)
        }
        let named = got["field"] ?? .null
        if named != (field.map { .string($0) } ?? .null) {
            throw wrong(
                expected: "the field \(field ?? "null, or none at all")", got: got.text, hint)
        }
        guard let reason = got["message"]?.string, !reason.isEmpty, field.map({ reason.contains($0) }) ?? true
        else {
            let wanted = field.map { "a message that contains the word \($0)" } ?? "a message that says why"
            throw wrong(
                expected: wanted, got: got.text,
                field == nil ? hint : "the text is for people: it must tell them which key it is")
        }
        try expect(
            json: ["type": "pong"],
            "after one error the connection goes on: closed, the client would lose its subscriptions too")
    }
}
