import Foundation
import GraderKit
import Level12
import WebSocketEngine
import XCTest

/// Level 12 – Publish and subscribe. Chapter 12 of Course.md.
final class Level12Tests: XCTestCase {
    // MARK: - Topics

    func testWhatIsPublishedReachesEverySubscriber() throws {
        try check("any JSON value reaches everyone on the topic, and the publisher is told how many") {
            room in
            let ana = try room.connect("ana", to: "/updates/tea")
            let bob = try room.connect("bob", to: "/updates/tea")
            try ana.send("subscribers are not asked for anything")
            let values: [JSONValue] = [
                ["degrees": 21, "place": ["name": "Zoë's \"lab\"\n", "open": true]],
                [1, "two", [], [:], nil], "",
                "plain 👩‍👩‍👧", 42, -0.5, true, false, nil, ["data": ["topic": "x"], "timestamp": nil],
            ]
            for value in values {
                try publish(value, to: "tea", room, subscribers: 2)
                for client in [ana, bob] {
                    let event = try client.expect(json: ["topic": "tea"], Self.onlyUpdates)
                    if event["data"] != value {
                        throw client.wrong(
                            expected: "\"data\":\(value.text)", got: event.text,
                            event["data"] == nil
                                ? "data is missing: null is a value, too, but an optional that is nil is left out"
                                : "the body may be any JSON value and is passed on as it is, under the key data"
                        )
                    }
                }
            }
        }
    }

    func testTopicsDoNotMix() throws {
        try check("what is published to one topic is not heard in another") { room in
            let names = [
                "tea": "tea", "Tea": "Tea", "a/b \"c\" ☕": "a%2Fb%20%22c%22%20%E2%98%95", "stocks": "stocks",
            ]
            let clients = try names.mapValues { try room.connect("on \($0)", to: "/updates/\($0)") }
            let stream = try subscribe("streaming", to: "stocks", room)
            for (topic, path) in names.sorted(by: { $0.key < $1.key }) {
                try hinting(
                    "a topic and a stream of the same name are two things: keep their clients in two lists",
                    { try publish(["for": .string(topic)], to: topic, at: path, room, subscribers: 1) },
                    when: { $0.contains { topic == "stocks" && $0.contains(#""subscribers":2"#) } })
            }
            for (topic, client) in clients {
                try client.expect(
                    json: ["topic": .string(topic), "data": ["for": .string(topic)]],
                    "each topic has subscribers of its own; its name is what the path means, percent-decoded")
            }
            try tick(room)
            for (topic, path) in names.sorted(by: { $0.key < $1.key }) {
                try publish("fence", to: topic, at: path, room, subscribers: 1)
                try clients[topic]?.expect(
                    json: ["topic": .string(topic), "data": "fence"],
                    "a topic and a stream of the same name are two things")
            }
            try stream.expect(json: ["type": "data"], "a topic and a stream of the same name are two things")
            try fence(stream, "a topic and a stream of the same name are two things")
        }
    }

    func testPublishedToNobodyIsNoError() throws {
        try check("what nobody listens to is published to 0 subscribers, and is not kept") { room in
            let hint = "a topic that nobody listens to is no error: 200, and 0 subscribers"
            try publish("nobody", to: "tea", room, subscribers: 0, hint)
            let ways: [(Client) throws -> Void] = [
                { try $0.close() }, { try $0.closeWithoutCode() }, { $0.drop() }, { $0.drop(reset: true) },
            ]
            for (number, leave) in ways.enumerated() {
                let ana = try room.connect("ana", to: "/updates/tea")
                try publish(.number(Double(number)), to: "tea", room, subscribers: 1)
                try ana.expect(
                    json: ["topic": "tea", "data": .number(Double(number))],
                    "who comes hears what is published from now on, and nothing older")
                try leave(ana)
                try room.expectPost(
                    "/publish/tea", #""too late""#, json: ["topic": "tea", "subscribers": 0],
                    "unsubscribe whichever way the loop ends")
            }
        }
    }

    func testManyComeAndGoAtOnce() throws {
        try check("of 30 subscribers who come and go at the same moment none is lost or kept") { room in
            let hint = "read and change the list of subscribers in one step, without an await between the two"
            let crowd = try room.connectSimultaneously(
                (1...30).map { ("Client \($0)", "/updates/tea") }, hint)
            try publish("all", to: "tea", room, subscribers: 30, hint)
            for client in crowd { try client.expect(json: ["topic": "tea", "data": "all"], hint) }
            try room.simultaneously {
                for (number, client) in crowd.enumerated() where number >= 10 {
                    client.drop(reset: number % 2 == 0)
                }
            }
            try room.expectPost(
                "/publish/tea", #""half""#, json: ["subscribers": 10],
                "20 have left: unsubscribe each, whichever way its loop ends; and \(hint)")
            try publish("fence", to: "tea", room, subscribers: 10, hint)
            for client in crowd.prefix(10) {
                // While some were still leaving, it was published more than once.
                var event = try client.expect(json: ["topic": "tea"], hint)
                while event["data"] == "half" { event = try client.expect(json: ["topic": "tea"], hint) }
                if event["data"] != "fence" {
                    throw client.wrong(expected: "\"fence\"", got: event.text, hint)
                }
            }
        }
    }

    func testABodyThatIsNotJSONIsRefused() throws {
        try check("a body that is not JSON is answered 400 and a JSON error, and nobody is sent it") { room in
            let ana = try room.connect("ana", to: "/updates/tea")
            let bodies = ["", "hello", #"{"a":1"#, "{'a':1}", "[1 2]", #"{"a":1} x"#, "nul", #""open"#]
            for body in bodies.map({ Array($0.utf8) }) + [Array("\"\u{E9}\"".utf8.dropLast(2)) + [0x22]] {
                let answer = try hinting(
                    ifCrashed:
                        "what comes from outside may be anything: with try! each mistake of a client ends the "
                        + "server"
                ) { try room.post("/publish/tea", bytes: body) }
                let error = answer.json?["error"]?.string
                if answer.status != 400 || error?.lowercased().contains("json") != true {
                    throw room.wrong(
                        #"expected status 400 and {"error":…}, with a text that names JSON"#,
                        "     got status \(answer.status): \(answer.text)",
                        hint: Self.hint(onRefusing: body, answer))
                }
                try publish("fence", to: "tea", room, subscribers: 1)
                try ana.expect(json: ["topic": "tea", "data": "fence"], "nobody is sent what is not JSON")
            }
        }
    }

    func testABodyOverTheLimitIsRefused() throws {
        try check("a body of 64 KiB is published, and one of more is answered 413") { room in
            let ana = try room.connect("ana", to: "/updates/tea")
            let hint =
                "app.limits.bodyBytes is 64 * 1024: the engine answers 413 for more, and lets 64 KiB in"
            for excess in [0, 1, 200_000] {
                let text = String(repeating: "x", count: 64 * 1024 - 2 + excess)
                let answer = try room.post("/publish/tea", "\"\(text)\"")
                guard answer.status == (excess == 0 ? 200 : 413) else {
                    throw room.wrong(
                        "expected status \(excess == 0 ? 200 : 413) for \(64 * 1024 + excess) bytes",
                        "     got status \(answer.status)", hint: hint)
                }
                if excess == 0 { try ana.expect(json: ["topic": "tea", "data": .string(text)], hint) }
                try publish("fence", to: "tea", room, subscribers: 1)
                try ana.expect(json: ["topic": "tea", "data": "fence"], "what is refused is not published")
            }
        }
    }

    func testATimestampIsTheClocksTimeInUTC() throws {
        // A server's machine is anywhere; its timestamps must not be.
        let zone = NSTimeZone.default
        defer { NSTimeZone.default = zone }
        NSTimeZone.default = try XCTUnwrap(TimeZone(identifier: "Asia/Kolkata"))
        try check("a timestamp is the time of the application's clock, in UTC") { room in
            let ana = try room.connect("ana", to: "/updates/tea")
            let times: [(Duration, String)] = [
                (.zero, "2026-01-01T00:00:00"), (.seconds(5), "2026-01-01T00:00:05"),
                (.seconds(5_145_250), "2026-03-01T13:14:15"),
            ]
            for (step, time) in times {
                if step > .zero { try room.advance(by: step) }
                try publish("now", to: "tea", room, subscribers: 1)
                let event = try ana.expect(json: ["topic": "tea", "data": "now"])
                try expectTimestamp(time, in: event, ana)
            }
        }
    }

    func testASlowSubscriberHoldsUpNobody() throws {
        try check("one subscriber that does not read holds up neither publishers nor subscribers") { room in
            let slow = try room.connect("slow", to: "/updates/tea", receiveBuffer: 4096)
            let fast = try room.connect("fast", to: "/updates/tea")
            let hint =
                "send with broadcastJSON, which waits for nobody; socket.sendJSON waits for a slow reader"
            let text = String(repeating: "long ", count: 12_000)
            for number in 1...80 {
                let answer = try hinting(hint, { try room.post("/publish/tea", "[\(number),\"\(text)\"]") }) {
                    _ in true
                }
                // A client that lets too much pile up may be dropped.
                guard answer.status == 200, [1, 2].contains(answer.json?["subscribers"]?.int) else {
                    throw room.wrong(
                        "expected 200, with 1 or 2 subscribers", "     got \(answer.text)", hint: hint)
                }
                let event = try fast.expect(json: ["topic": "tea"], hint)
                if event["data"]?[0]?.int != number {
                    throw fast.wrong(expected: "publication \(number)", got: "another one", hint)
                }
            }
            slow.drop(reset: true)
            try room.expectPost("/publish/tea", "0", json: ["subscribers": 1], "unsubscribe who is gone")
        }
    }

    // MARK: - Streams

    func testEveryStreamHasAnUpdateEachSecond() throws {
        try check("stocks, weather and news have an update each second, and each goes to its own subscribers")
        { room in
            let clients = try Self.types.map { ($0, try subscribe("\($0) client", to: $0, room)) }
            for second in 1...3 {
                try room.advance(by: .milliseconds(500), onceAsleep: 3, Self.streamers)
                for (_, client) in clients {
                    try fence(client, "an update each second, and none before the first one")
                }
                try room.advance(by: .milliseconds(500), onceAsleep: 3, Self.streamers)
                for (type, client) in clients {
                    let event = try client.expect(
                        json: ["type": "data", "data_type": .string(type)],
                        "once each second, to those of this stream alone: type is data, and data_type is what it is about"
                    )
                    guard case .object(let members)? = event["data"], !members.isEmpty else {
                        throw client.wrong(
                            expected: "data that is a JSON object with members", got: event.text,
                            "data is what DataType.makeUp() gives")
                    }
                    try expectTimestamp("2026-01-01T00:00:0\(second)", in: event, client)
                    try fence(client, "one update a second, of one type")
                }
            }
        }
    }

    func testAnUnknownStreamIsClosedWith1008() throws {
        try check("a stream that does not exist is closed with 1008 Invalid data type") { room in
            for type in ["bonds", "Stocks", "stocks%20", "data_type"] {
                let ana = try room.connect(
                    "ana", to: "/stream/\(type)", "accept first: a page cannot read why a handshake failed")
                try hinting(
                    ifGot: "close 1000",
                    "a handler that returns closes with 1000: throw a WebSocketException instead"
                ) {
                    try ana.expectClose(
                        1008, reason: "Invalid data type",
                        "a type that is none of the three: throw a WebSocketException before you subscribe")
                }
            }
            let bob = try subscribe("bob", to: "news", room)
            try tick(room)
            try bob.expect(json: ["type": "data", "data_type": "news"])
        }
    }

    func testPingAndUnsubscribe() throws {
        try check("ping is answered with a pong, and unsubscribe with a close 1000") { room in
            let ana = try subscribe("ana", to: "weather", room)
            let bob = try subscribe("bob", to: "weather", room)
            for text in ["Ping", "", "hello", "unsubscribe me", "{\"action\":\"ping\"}"] {
                try ana.send(text)
            }
            try ana.send(Array("ping".utf8))
            try fence(ana, "any other text, and binary, is ignored")
            try tick(room)
            try hinting(
                ifGot: #"{"type":"pong""#,
                "one pong too many: only the text ping, exactly so, is answered. Any other text, and binary, is "
                    + "ignored"
            ) {
                for client in [ana, bob] {
                    try client.expect(json: ["type": "data"], "ping ends no subscription")
                }
            }
            try ana.send("unsubscribe")
            try hinting(
                "the close is the confirmation: nothing is sent before it",
                {
                    try ana.expectClose(
                        1000, "after unsubscribe leave the loop; a handler that returns closes with 1000")
                },
                when: { $0.contains { $0.hasPrefix("     got {") || $0.hasPrefix("     got text") } })
            try fence(bob, "only who asks is answered")
            try tick(room)
            try bob.expect(json: ["type": "data"], "the stream goes on for the others")
        }
    }

    func testOneStreamerServesEveryone() throws {
        try check("three streamers, one for each type, serve any number of clients") { room in
            let asleep = { (what: String) in
                try room.expect("three tasks sleep on the application's clock \(what)", Self.streamers) {
                    room.clock.sleeperCount == 3
                }
            }
            let nobody = try room.connect("nobody", to: "/stream/bonds")
            try nobody.expectClose(1008)
            try asleep("before anyone subscribes")
            let crowd = try (1...5).map { try subscribe("Client \($0)", to: "stocks", room) }
            for _ in 1...3 {
                try asleep("for five clients as for none")
                try tick(room)
                let events = try crowd.map { try $0.expect(json: ["type": "data", "data_type": "stocks"]) }
                if Set(events.map(\.text)).count > 1 {
                    throw room.wrong("five clients were sent different updates", hint: Self.streamers)
                }
                for client in crowd {
                    try fence(client, "one update a second, however many clients there are")
                }
            }
            for client in crowd { client.drop() }
            try asleep("when everyone has left")
            try tick(room)
            try asleep("again, when they have published")
            let late = try subscribe("late", to: "stocks", room)
            try tick(room)
            try late.expect(json: ["type": "data"], "streamers run on when nobody listens")
        }
    }

    func testNothingRunsAfterTheShutdown() throws {
        let log = OperatorLog()
        try check("the shutdown ends the streamers and every task", prepare: { log.listen(to: $0) }) { room in
            let ana = try subscribe("ana", to: "stocks", room)
            let bob = try room.connect("bob", to: "/ws/tasks")
            try tick(room)
            try ana.expect(json: ["type": "data"])
            let task = try start(bob)
            try room.advance(by: .milliseconds(100), onceAsleep: 4, Self.sleeper)
            try bob.expect(json: progress(task, 10))
            room.beginShutdown()
            for client in [ana, bob] { try client.expectClose(1001) }
            let hint = "in app.onShutdown cancel each of the streamers' tasks, and wait until they have ended"
            try room.expect(
                "the server stops",
                "a task that is cancelled ends when sleep() throws and nobody holds the error back: no try?"
            ) { log.hasStopped }
            if room.clock.sleeperCount > 0 {
                throw room.wrong(
                    "when the server had stopped, tasks that sleep on its clock: \(room.clock.sleeperCount)",
                    hint: hint)
            }
        }
    }

    // MARK: - Tasks

    func testATaskTellsItsProgress() throws {
        try check("a task starts, tells of every ten percent in time, and is done") { room in
            let ana = try room.connect("ana", to: "/ws/tasks")
            var earlier: Set<JSONValue> = []
            for _ in 1...2 {
                let task = try start(ana, otherThan: &earlier)
                for percent in stride(from: 10, through: 100, by: 10) {
                    try fence(ana, task: "one step each 100 ms, and 0 percent at once")
                    try room.advance(by: .milliseconds(100), onceAsleep: 4, Self.sleeper)
                    try ana.expect(
                        json: progress(task, percent), "ten percent more each 100 ms, from 0 to 100")
                }
                try ana.expect(json: ["type": "done", "task": task], "done follows 100 percent at once")
                try expectError(
                    ana, ["action": "cancel", "task": task], naming: "task", "a task that is done is gone")
                try room.expect("only the streamers are left when the task is done") {
                    room.clock.sleeperCount == 3
                }
            }
        }
    }

    func testTasksAreIndependent() throws {
        try check("several tasks at once, of one client and of others, do not disturb each other") { room in
            let ana = try room.connect("ana", to: "/ws/tasks")
            let bob = try room.connect("bob", to: "/ws/tasks")
            let first = try start(ana)
            for percent in [10, 20] {
                try room.advance(by: .milliseconds(100), onceAsleep: 4, Self.sleeper)
                try ana.expect(json: progress(first, percent))
            }
            let second = try start(ana)
            if first == second {
                throw ana.wrong(
                    expected: "a number for the second task", got: "the same again",
                    "a client tells its tasks apart by their numbers: never give one twice")
            }
            try expectError(
                bob, ["action": "cancel", "task": first], naming: "task",
                "it is another client's task: each connection has a list of its own")
            let bobs = try start(bob)
            for step in 1...3 {
                try room.advance(by: .milliseconds(100), onceAsleep: 6, Self.sleeper)
                try expectInAnyOrder(ana, [progress(first, 20 + 10 * step), progress(second, 10 * step)])
                try bob.expect(
                    json: progress(bobs, 10 * step), "a task tells its own client, and nobody else")
            }
            try ana.send(json: ["action": "cancel", "task": first])
            try ana.expect(json: ["type": "cancelled", "task": first])
            for step in 4...5 {
                try room.advance(
                    by: .milliseconds(100), onceAsleep: 5,
                    "ana's other task and bob's go on with the streamers: cancel the one that is named, and no other"
                )
                try ana.expect(
                    json: progress(second, 10 * step), "to cancel one task ends that one, and no other")
                try bob.expect(
                    json: progress(bobs, 10 * step), "to cancel one task ends that one, and no other")
            }
        }
    }

    func testACancelledTaskIsSilent() throws {
        try check("cancel ends a task, and nothing comes of it after the confirmation") { room in
            let ana = try room.connect("ana", to: "/ws/tasks")
            var earlier: Set<JSONValue> = []
            for steps in 0...2 {
                let task = try start(ana, otherThan: &earlier)
                for step in 0..<steps {
                    try room.advance(by: .milliseconds(100), onceAsleep: 4, Self.sleeper)
                    try ana.expect(json: progress(task, 10 * (step + 1)))
                }
                try ana.send(json: ["action": "cancel", "task": task])
                let hint =
                    "taken off the list, a task still runs: cancel() asks it to end; wait until it has, then confirm, "
                    + "and only once"
                _ = try hinting(
                    "\(hint); does the sleep throw (try, not try?)?",
                    { try ana.expect(json: ["type": "cancelled", "task": task], hint) },
                    when: { $0.contains { $0.contains(#"got {"percent""#) } })
                try room.expect("only the streamers are left", hint) { room.clock.sleeperCount == 3 }
                for _ in 1...2 { try tick(room) }
                try fence(ana, task: hint)
                try expectError(
                    ana, ["action": "cancel", "task": task], naming: "task",
                    "a task that was cancelled is gone")
            }
            let first = try start(ana, otherThan: &earlier)
            let second = try start(ana, otherThan: &earlier)
            for task in [first, second] {
                try ana.send(json: ["action": "cancel", "task": task])
                try ana.expect(json: ["type": "cancelled", "task": task])
                try start(ana, otherThan: &earlier)
            }
        }
    }

    func testATaskEndsInOneWay() throws {
        try check("a task that is cancelled in its last moment is done or cancelled, and never both") {
            room in
            let ana = try room.connect("ana", to: "/ws/tasks")
            let hint = "whoever takes a task off the list tells of its end, and the other one does not"
            let crowd = try subscribe("crowd", to: "news", room)
            let tasks = try (1...20).map { _ in try start(ana) }
            for percent in stride(from: 10, through: 90, by: 10) {
                try room.advance(by: .milliseconds(100), onceAsleep: 23, Self.sleeper)
                try expectInAnyOrder(ana, tasks.map { progress($0, percent) })
            }
            try room.simultaneously {
                try room.advance(by: .milliseconds(100), onceAsleep: 23, Self.sleeper)
                // Meanwhile the tasks wake up and come to their last send.
                for _ in 1...200 { try crowd.send("nothing for the server to do") }
                for task in tasks { try ana.send(json: ["action": "cancel", "task": task]) }
            }
            var ends: [JSONValue: String] = [:]
            var answers = 0
            while answers < 20 {
                let event = try ana.receiveJSON(
                    wanted: "an answer to each cancel, \(answers) of 20 came", hint)
                let type = event["type"]?.string ?? ""
                if ["cancelled", "error"].contains(type) { answers += 1 }
                if ["cancelled", "done"].contains(type), let task = event["task"] {
                    if let end = ends.updateValue(type, forKey: task) {
                        throw ana.wrong(
                            expected: "no more of task \(task.text), which was \(end)", got: event.text, hint)
                    }
                } else if type == "progress", let end = event["task"].flatMap({ ends[$0] }) {
                    throw ana.wrong(expected: "no more of this task, which was \(end)", got: event.text, hint)
                }
            }
            try fence(ana, task: hint)
            if ends.count < 20 {
                throw room.wrong("\(20 - ends.count) tasks were neither done nor cancelled", hint: hint)
            }
        }
    }

    func testTasksEndWithTheirOwner() throws {
        let ends = ServerEnds()
        let rule = "when a client leaves, in whatever way, its tasks end, and those of others go on"
        try check(rule, prepare: { ends.watch($0) }) { room in
            let bob = try room.connect("bob", to: "/ws/tasks")
            let task = try start(bob)
            let ways: [(Client) throws -> Void] = [
                { try $0.close() }, { try $0.closeWithoutCode() }, { $0.drop() }, { $0.drop(reset: true) },
            ]
            for (number, leave) in ways.enumerated() {
                let ana = try room.connect("ana", to: "/ws/tasks")
                for _ in 1...2 { try start(ana) }
                try room.expect(
                    "three streamers and three tasks sleep",
                    number == 0
                        ? Self.sleeper
                        : "bob's task runs on: when a client leaves, its own tasks end, and those of no other"
                ) { room.clock.sleeperCount == 6 }
                try leave(ana)
                try room.expect(
                    "ana's tasks end when she has left, and bob's goes on",
                    "cancel all tasks of this client, and those of no other, when its loop has ended, in whatever way"
                ) { room.clock.sleeperCount == 4 }
                try room.advance(by: .milliseconds(100), onceAsleep: 4, Self.sleeper)
                try bob.expect(json: progress(task, 10 * (number + 1)), "the tasks of others go on")
            }
            // A command is being answered when the connection breaks: the send throws in the middle of the loop.
            let ana = try room.connect("ana", to: "/ws/tasks", receiveBuffer: 4096)
            for _ in 1...2 { try start(ana) }
            try room.expect("three streamers and three tasks sleep", Self.sleeper) {
                room.clock.sleeperCount == 6
            }
            try ends.fill(ana)
            try ana.send(json: ["action": "start"])
            try room.settle()
            ana.drop(reset: true)
            try room.expect(
                "ana's tasks end when she is gone, and bob's goes on",
                "cancel all tasks also if a send throws in the loop: catch the error, cancel, and throw it again"
            ) { room.clock.sleeperCount == 4 }
        }
    }

    func testAnErrorNamesTheFault() throws {
        try check("a command that cannot be carried out is an error that names the fault, and ends nothing") {
            room in
            let ana = try room.connect("ana", to: "/ws/tasks")
            let task = try start(ana)
            let commands: [(JSONValue, String)] = [
                (["action": "dance"], "action"), ([:], "action"), (["action": 7], "action"),
                (["action": nil], "action"),
                (["task": task], "action"), (["action": "Start"], "action"), (["action": "cancel"], "task"),
                (["action": "cancel", "task": "x"], "task"), (["action": "cancel", "task": -1], "task"),
                (["action": "cancel", "task": 1_000_000], "task"),
            ]
            for (command, word) in commands {
                try expectError(
                    ana, command, naming: word,
                    "whoever sends a command waits for an answer: if it cannot be carried out, say what is wrong"
                )
            }
            for text in ["hello", "", "[1]", "7", #"{"action""#] {
                try ana.send(text)
                try ana.expect(json: ["type": "error"], "what is no JSON object is an error, too")
            }
            try ana.send([0, 255])
            try ana.expect(json: ["type": "error"], "binary is an error, too")
            try room.advance(by: .milliseconds(100), onceAsleep: 4, Self.sleeper)
            try ana.expect(json: progress(task, 10), "an error ends neither the connection nor a task")
        }
    }

    // MARK: - Steps

    private static let types = ["stocks", "weather", "news"]
    private static let onlyUpdates = "subscribers are sent what is published, and nothing else"
    private static let streamers =
        "start one task for each of the three types in app.onStartup, not one for each client; it sleeps on app.clock, "
        + "and runs on when nobody listens"
    private static let sleeper = "a task waits with clock.sleep(for: .milliseconds(100)) between two steps"

    /// A check whose clock stands still.
    private func check(
        _ rule: String, prepare: @escaping @Sendable (Application) -> Void = { _ in },
        _ script: (Classroom) throws -> Void
    ) throws {
        try grade(
            PublishAndSubscribe.self, rule,
            prepare: {
                $0.clock.useManualTime()
                prepare($0)
            }, script)
    }

    /// Publishes a value, which this many subscribers must be said to get.
    private func publish(
        _ value: JSONValue, to topic: String, at path: String? = nil, _ room: Classroom,
        subscribers count: Int,
        _ hint: String = ""
    ) throws {
        let answer = try room.post("/publish/\(path ?? topic)", value.text)
        let wanted: JSONValue = ["topic": .string(topic), "subscribers": .number(Double(count))]
        guard answer.status == 200, answer.json?.contains(wanted) == true else {
            throw room.wrong(
                "expected status 200 and \(wanted.text)", "     got status \(answer.status): \(answer.text)",
                hint: hint.isEmpty ? Self.hint(onPublishing: answer, to: topic, count) : hint)
        }
    }

    /// The likely misunderstanding behind a wrong answer to one who publishes what is not JSON.
    private static func hint(onRefusing body: [UInt8], _ answer: Classroom.HTTPAnswer) -> String {
        switch answer.status {
        case 500: "catch the DecodingError: what you throw is answered with 500, as a fault of the server"
        case 400:
            "the status is right, but a program that publishes JSON reads JSON: an object with an error, whose text "
                + "names JSON"
        case 200 where body.isEmpty:
            "nothing at all is not JSON either: refuse what cannot be decoded, and publish no guess in its place"
        default:
            "decode the body before you publish it; what cannot be decoded is answered 400, in JSON, and a guess "
                + "would hide the mistake"
        }
    }

    /// The likely misunderstanding behind a wrong answer to a publisher.
    private static func hint(
        onPublishing answer: Classroom.HTTPAnswer, to topic: String, _ count: Int
    ) -> String {
        switch answer.status {
        case 400: return "any JSON value may be published, not only an object: decode a JSONValue"
        case 404 where count == 0: return "a topic that nobody listens to is no error: 200, and 0 subscribers"
        case 500: return "the handler threw an error, which is answered 500; the lines above may say which"
        case 200: break
        default: return "what was published is answered 200"
        }
        guard let json = answer.json else {
            return "answer with Response.json(…): the topic, and how many listen"
        }
        if json["topic"] != .string(topic) {
            return "the topic is request.parameters[\"topic\"], which is decoded"
        }
        if (json["subscribers"]?.int ?? 0) > count {
            return "count those who are connected and subscribed to this topic, no others"
        }
        return "who has connected to /updates/… is subscribed until it leaves; answer how many these are"
    }

    /// Connects to a stream, and waits until its handler listens.
    private func subscribe(_ name: String, to type: String, _ room: Classroom) throws -> Client {
        let client = try room.connect(name, to: "/stream/\(type)")
        try hinting(
            "an update that is not due, before the first second is over: are the streamers started in app.onStartup?",
            {
                try hinting(ifGot: "text", "all that the server says is JSON with a type, the pong too") {
                    try fence(
                        client,
                        "nothing is sent before the first second is over, and ping is answered with a pong")
                }
            },
            when: { $0.contains { $0.contains("     got ") && $0.contains(#""data_type""#) } })
        return client
    }

    /// Had anything else come, it would be here before the pong.
    private func fence(_ client: Client, _ hint: String) throws {
        try client.send("ping")
        try client.expect(json: ["type": "pong"], hint)
    }

    /// One second passes, in which nothing but the streamers runs.
    private func tick(_ room: Classroom) throws {
        try room.advance(by: .seconds(1), onceAsleep: 3, Self.streamers)
    }

    private func expectTimestamp(_ time: String, in event: JSONValue, _ client: Client) throws {
        let text = event["timestamp"]?.string ?? ""
        // ISO 8601 knows fractions, and more than one way to write UTC.
        guard text.wholeMatch(of: /(.{19})(\.[0-9]+)?(Z|\+00:?00)/)?.1 ?? "" == time else {
            let hint =
                if text.prefix(19) == time {
                    "a time without its zone may be anywhere on earth: UTC ends with Z"
                } else if let got = Self.seconds(text), let wanted = Self.seconds(time),
                    got - wanted == 19_800
                {
                    "this is the local time in India, where the server of this check is: a formatter writes local time "
                        + "unless told otherwise, also if a Z stands in its format"
                } else {
                    "the time is clock.secondsSince1970 of the application's clock, which the check moves; Date() is "
                        + "the machine's"
                }
            throw client.wrong(expected: "\"timestamp\":\"\(time)Z\"", got: event.text, hint)
        }
    }

    /// The seconds since 1970 of a timestamp that is taken for UTC.
    private static func seconds(_ timestamp: String) -> Double? {
        (try? Date(timestamp.prefix(19) + "Z", strategy: .iso8601))?.timeIntervalSince1970
    }

    /// Starts a task, which says so and is at 0 percent.
    @discardableResult
    private func start(_ client: Client) throws -> JSONValue {
        try client.send(json: ["action": "start"])
        let event = try hinting(
            "each task runs beside the handler, in a Task of its own; a handler that does the work reads no message",
            {
                try client.expect(
                    json: ["type": "started"], "started is the answer to start, and comes first")
            },
            when: { $0.contains { $0.contains("nothing came") } })
        guard let task = event["task"], task.int != nil else {
            throw client.wrong(
                expected: "a whole number for the task", got: event.text,
                "the number is how the client names this task when it wants to cancel it")
        }
        try client.expect(json: progress(task, 0), "0 percent follows at once")
        return task
    }

    /// Starts a task, whose number no task before it has had.
    @discardableResult
    private func start(_ client: Client, otherThan earlier: inout Set<JSONValue>) throws -> JSONValue {
        let task = try start(client)
        if !earlier.insert(task).inserted {
            throw client.wrong(
                expected: "a number that no task of this connection has had", got: task.text,
                "an ID is never given twice: count the tasks that were started, not those that run")
        }
        return task
    }

    private func progress(_ task: JSONValue, _ percent: Int) -> JSONValue {
        ["type": "progress", "task": task, "percent": .number(Double(percent))]
    }

    /// Tasks that run at the same time may tell of it in any order.
    private func expectInAnyOrder(_ client: Client, _ events: [JSONValue]) throws {
        var missing = events
        while !missing.isEmpty {
            let event = try client.receiveJSON(
                wanted: missing.count == 1 ? missing[0].text : "the progress of each task")
            guard let index = missing.firstIndex(where: { event.contains($0) }) else {
                throw client.wrong(
                    expected: missing.map(\.text).joined(separator: " or "), got: event.text,
                    "each task goes its own way, ten percent each 100 ms")
            }
            missing.remove(at: index)
        }
    }

    private func expectError(_ client: Client, _ command: JSONValue, naming word: String, _ hint: String)
        throws
    {
        try client.send(json: command)
        let event = try hintingIfTheLoopEnded { try client.expect(json: ["type": "error"], hint) }
        guard event["message"]?.string?.contains(word) == true else {
            throw client.wrong(
                expected: "a message that names \"\(word)\"", got: event.text,
                "the text is yours, but it must contain the word \(word)")
        }
    }

    /// Had anything else come, it would be here before the error.
    private func fence(_ client: Client, task hint: String) throws {
        try client.send(json: ["action": "fence"])
        _ = try hintingIfTheLoopEnded { try client.expect(json: ["type": "error"], hint) }
    }

    private func hintingIfTheLoopEnded<Result>(_ part: () throws -> Result) throws -> Result {
        try hinting(
            "a command that cannot be carried out is answered with an error, and the loop goes on", part
        ) { findings in
            findings.contains { $0.contains("threw: Complaint") || $0.hasPrefix("     got close") }
        }
    }
}
