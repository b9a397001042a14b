import GraderKit
import Level13
import Synchronization
import WebSocketEngine
import XCTest

/// Level 13 – Middleware and limits. Chapter 13 of Course.md.
final class Level13Tests: XCTestCase {
    // MARK: - Who may come in

    func testWhoHasAKeyIsLetInOnEveryRoute() throws {
        try check("a client with a key is let in on every route, under the name that the key stands for") {
            room in
            let hint = "the middleware remembers in socket.storage whose key it is, and calls the handler"
            let ana = try connect(room, "ana", "/ws/echo?token=ana-laptop", hint)
            let whose = "the policy says whose a key is: not the key is remembered, but the user"
            try hinting(ifGot: "text \"Welcome, ana-", whose) { try ana.expect("Welcome, ana", hint) }
            let phone = try connect(room, "ana's phone", "/ws/shout?token=ana-phone", hint)
            try phone.expect("Welcome, ana", "both keys are ana's: the policy says whose a key is")
            let ben = try enter(room, "ben", "/ws/shout?x=1&token=ben-laptop", hint)
            try ana.send("hi")
            try ana.expect("Echo: hi")
            try ana.send([1, 2])
            try ana.expect([1, 2])
            for client in [phone, ben] {
                try client.send("hi")
                try client.expect("HI")
            }
        }
    }

    func testForeignPagesAreRefused() throws {
        let policy = Policy(origins: ["https://app.example", "http://dev.example:3000"])
        try check("pages of other origins are refused with status 403", policy) { room in
            let origins = [
                "https://evil.example", "null", "http://app.example", "https://app.example:8443",
                "https://app.example.evil.example", "https://my.app.example", "http://dev.example",
                "http://127.0.0.1", "https://",
            ]
            for (index, origin) in origins.enumerated() {
                let path = index % 2 == 0 ? "/ws/echo?token=ana-laptop" : "/ws/shout?token=ana-laptop"
                let hint =
                    index == 0
                    ? "a foreign page is to get no WebSocket, not even to be closed: "
                        + "socket.reject(status: 403)"
                    : "compare whole origins: scheme, host and port. What looks like a listed one may "
                        + "be another host"
                try hinting(ifGot: "status", "exactly 403: socket.reject(status: 403)") {
                    try room.expectRefusal(
                        "a page of \(origin)", to: path, headers: ["Origin": origin], status: 403...403, hint)
                }
            }
        }
    }

    func testOwnPagesListedPagesAndProgramsAreLetIn() throws {
        let policy = Policy(origins: ["https://app.example", "http://dev.example:3000"])
        try check(
            "the server's own pages, those on the list, and programs without an Origin are let in", policy
        ) {
            room in
            for path in ["/ws/echo", "/ws/shout"] {
                let own = ["http://127.0.0.1:\(room.port)", "https://127.0.0.1:\(room.port)"]
                for origin in own {
                    _ = try enter(
                        room, "an own page", "\(path)?token=ana-laptop", origin: origin,
                        "the server's own pages have an Origin, too: socket.request.ownOrigins says which")
                }
                for origin in ["https://app.example", "http://dev.example:3000"] {
                    _ = try enter(
                        room, "a listed page", "\(path)?token=ana-laptop", origin: origin,
                        "the list is policy.origins; app.origins stays .any, or the engine refuses first")
                }
                _ = try enter(
                    room, "a program", "\(path)?token=ana-laptop",
                    "only browsers send an Origin: without one there is no page to be wary of")
            }
        }
    }

    func testWithoutAKeyTheCloseIs4001() throws {
        let policy = Policy(keys: ["sesame": "ana"])
        try check("without a key of the list: close 4001, and nothing before", policy) { room in
            for path in ["/ws/echo", "/ws/shout"] {
                for query in ["", "?token=", "?key=sesame"] {
                    try expectNoKey(
                        room, path + query, "Missing token", "no token, or an empty one: .missingToken")
                }
                for query in ["?token=ana", "?token=Sesame", "?token=sesam", "?token=ana-laptop"] {
                    try expectNoKey(
                        room, path + query, "Invalid token",
                        "only what policy.keys lists is a key: .invalidToken")
                }
                _ = try enter(room, "ana", "\(path)?token=sesame")
            }
        }
    }

    // MARK: - Capacity

    func testTheServerHasSoManyPlaces() throws {
        let policy = Policy(capacity: 3)
        try check("one connection more than the capacity is closed with 1008 Server at capacity", policy) {
            room in
            let ana = try enter(room, "ana", "/ws/echo?token=ana-laptop")
            let ben = try enter(room, "ben", "/ws/shout?token=ben-laptop")
            let phone = try enter(room, "ana's phone", "/ws/echo?token=ana-phone", "three fit")
            let hint = "all routes share the slots, and each connection takes one, whoever's it is"
            try room.expectGet("/stats", json: ["connections": 3], hint)
            for path in ["/ws/echo", "/ws/shout", "/ws/echo"] {
                try expectFull(
                    room, "\(path)?token=ben-laptop", taken: 3,
                    "three are in, and three fit: with as many slots taken as there are, the server is full")
            }
            // Those who are in notice nothing; HTTP needs no slot, no key and no token.
            for client in [ana, phone] {
                try client.send("hi")
                try client.expect("Echo: hi")
            }
            try ben.close()
            try room.expectGet(
                "/stats", json: ["connections": 2], Self.whicheverWay)
            _ = try enter(room, "ben", "/ws/shout?token=ben-laptop", "the slot is free again")
        }
    }

    func testASlotIsReturnedHoweverTheClientLeaves() throws {
        let policy = Policy(capacity: 2, burst: 1000)
        try check("a slot is returned, in whatever way the client leaves", policy) { room in
            let hint = Self.whicheverWay
            let ben = try enter(room, "ben", "/ws/echo?token=ben-laptop")
            let ways: [(Client) throws -> Void] = [
                { try $0.close() }, { try $0.closeWithoutCode() },
                { try $0.close(code: 4000, reason: "bye") },
                { $0.drop() }, { $0.drop(reset: true) },
            ]
            for leave in ways {
                let ana = try enter(room, "ana", "/ws/echo?token=ana-laptop", hint)
                try leave(ana)
                _ = try hinting(
                    ifGot: "{\"connections\":0}", "one end returns one slot: not in a defer and a catch too"
                ) {
                    try room.expectGet("/stats", json: ["connections": 1], hint)
                }
            }
            // A reader that reads nothing: the handler waits in send() when the connection is cut.
            let slow = try room.connect("ana", to: "/ws/echo?token=ana-laptop", receiveBuffer: 4096)
            let long = String(repeating: "long ", count: 200_000)
            for _ in 0..<8 { try slow.send(long) }
            for _ in 0..<60 {
                try ben.send("turn")
                try ben.expect("Echo: turn", "one client that does not read must not stop the others")
            }
            slow.drop(reset: true)
            try room.expectGet("/stats", json: ["connections": 1], hint)
            _ = try enter(room, "ana", "/ws/shout?token=ana-laptop", hint)
            try expectFull(
                room, "/ws/echo?token=ana-laptop", taken: 2, "every end returns one slot, not two")
        }
    }

    func testASlotIsReturnedWhenTheServerEndsTheConnection() throws {
        let policy = Policy(capacity: 1, burst: 2)
        try check(
            "a slot is returned when the handler throws, and when the rate limit ends the connection", policy,
            prepare: { $0.letClientsVanish() }
        ) { room in
            let hint = Self.whicheverWay
            let ana = try enter(room, "ana", "/ws/shout?token=ana-laptop")
            try ana.send([1])
            try ana.expectClose(
                1011, reason: "Internal error",
                "an error of the handler passes the middleware: throw it on, and the engine closes "
                    + "with 1011")
            try room.expectGet("/stats", json: ["connections": 0], hint)
            let ben = try enter(room, "ben", "/ws/echo?token=ben-laptop", hint)
            try spend(2, by: ben)
            try expectLimit(ben)
            try room.expectGet("/stats", json: ["connections": 0], hint)
            for _ in 0..<2 {
                try room.vanish("cy", at: "/ws/echo?token=ben-laptop")
                try room.expectGet("/stats", json: ["connections": 0], "accept() throws: " + hint)
            }
            _ = try enter(room, "ana", "/ws/echo?token=ana-laptop", hint)
            try expectFull(
                room, "/ws/echo?token=ana-laptop", taken: 1, "every end returns one slot, not two")
        }
    }

    func testTheRefusedTakeNoSlotAndReturnNone() throws {
        let policy = Policy(capacity: 2)
        try check("whoever is refused takes no slot, and returns none", policy) { room in
            let ana = try enter(room, "ana", "/ws/echo?token=ana-laptop")
            for _ in 0..<3 { try expectForeign(room, "/ws/echo?token=ana-laptop") }
            for _ in 0..<3 {
                try expectNoKey(room, "/ws/echo", "Missing token", "")
            }
            let hint = "only who passed the checks before may take a slot, and only who took one may free it"
            let full = "two are in, and two fit: who finds no slot free takes none, and does not get in"
            try room.expectGet("/stats", json: ["connections": 1], hint)
            let ben = try enter(room, "ben", "/ws/shout?token=ben-laptop", hint)
            for _ in 0..<3 {
                try expectFull(room, "/ws/echo?token=ana-phone", taken: 2, full)
                try expectForeign(room, "/ws/shout?token=ana-phone")
                try expectNoKey(room, "/ws/echo?token=x", "Invalid token", "")
            }
            try room.expectGet("/stats", json: ["connections": 2], hint)
            for client in [ana, ben] { try client.close() }
            try room.expectGet("/stats", json: ["connections": 0], hint)
        }
    }

    func testTheChecksComeInOrder() throws {
        let policy = Policy(capacity: 1, burst: 1)
        try check("the first that refuses decides: origin, then key, then capacity, then rate", policy) {
            room in
            let hint =
                "the origin is asked first, then the key, then the slot: the middleware used first is "
                + "the outermost"
            try expectForeign(room, "/ws/echo", hint)
            try expectForeign(room, "/ws/echo?token=x", hint)
            let ana = try enter(room, "ana", "/ws/echo?token=ana-laptop")
            try spend(1, by: ana)
            // The server is full now, and ana has no token left.
            try room.expectGet(
                "/stats", json: ["connections": 1],
                "ana should still be in: she has sent no message without a token. Receive first, then spend"
            )
            for path in ["/ws/echo", "/ws/shout"] {
                try expectForeign(room, path, hint)
                try expectForeign(room, "\(path)?token=ana-laptop", hint)
                try expectNoKey(room, path, "Missing token", hint)
                try expectNoKey(room, "\(path)?token=x", "Invalid token", hint)
                try expectFull(room, "\(path)?token=ana-phone", taken: 1, hint)
            }
            try expectLimit(ana)
        }
    }

    func testTheRefusedDoNotReachTheHandler() throws {
        let calls = Counter()
        try check(
            "whoever is refused does not reach the handler", Policy(capacity: 2),
            prepare: { app in
                app.webSocket("/ws/probe") { socket in
                    calls.add()
                    try await socket.accept()
                }
            }
        ) { room in
            let ana = try enter(room, "ana", "/ws/echo?token=ana-laptop")
            /// A route that is not the student's own may stand without middleware: then nobody is refused there.
            func expectNoCall(to path: String, origin: String? = nil, _ hint: String) throws {
                let before = calls.count
                let client = try room.connectIfAllowed(
                    "a client", to: path, headers: origin.map { ["Origin": $0] } ?? [:])
                if let client, case .close(1000, _) = try client.receiveNext() { return }
                try spend(1, by: ana)
                if calls.count > before {
                    throw room.wrong(
                        "expected the handler of /ws/probe, a route of this check, not to be called",
                        "     got a call, for a client that was refused", hint: hint)
                }
            }
            try expectNoCall(
                to: "/ws/probe?token=ana-phone", origin: "https://evil.example",
                "the refused client reached the handler: return after `socket.reject(status: 403)`")
            for query in ["", "?token=x"] {
                try expectNoCall(
                    to: "/ws/probe" + query,
                    "the client without a key reached the handler: throw, or return after the close")
            }
            _ = try enter(room, "ben", "/ws/echo?token=ben-laptop")
            try expectNoCall(
                to: "/ws/probe?token=ana-phone",
                "the client without a slot reached the handler: throw, or return after the close")
        }
    }

    func testOfManyAtOnceNoneIsTooMany() throws {
        let policy = Policy(capacity: 10)
        try check("of 100 clients who come at the same moment as many get in as fit", policy, loops: 2) {
            room in
            let hint =
                "ask for a free slot and take it in one step, under one lock or in one call of an actor"
            for _ in 0..<2 {
                let crowd = try hinting(ifGot: "HTTP status 403", Self.noPage) {
                    try room.connectSimultaneously(
                        (1...100).map { ("Client \($0)", "/ws/echo?token=ana-laptop") }, hint)
                }
                var inside: [Client] = []
                for client in crowd {
                    switch try client.receiveNext() {
                    case .message(.text("Welcome, ana")): inside.append(client)
                    case .close(1008, reason: "Server at capacity"): continue
                    case let other: throw room.wrong("\(client.name) got \(other)", hint: hint)
                    }
                }
                guard inside.count == 10 else {
                    throw room.wrong(
                        "10 slots were free, and \(inside.count) of 100 clients got in", hint: hint)
                }
                try room.expectGet("/stats", json: ["connections": 10], hint)
                try room.simultaneously { for client in inside { client.drop() } }
                try room.expectGet("/stats", json: ["connections": 0], hint)
            }
        }
    }

    // MARK: - Rate

    func testABurstIsHandledAndNoMore() throws {
        let errors = Counter()
        try check(
            "a message without a token is not handled: close 1008 Rate limit exceeded", Policy(burst: 3),
            prepare: { app in
                app.onError { error, _ in
                    if case WebSocketError.unexpectedMessage = error { errors.add() }
                }
            }
        ) { room in
            let ana = try enter(room, "ana", "/ws/echo?token=ana-laptop")
            for text in ["one", "two"] { try ana.send(text) }
            try ana.send([3])
            for text in ["four", "five", "six"] { try ana.send(text) }
            for text in ["one", "two"] { try ana.expect("Echo: \(text)", "the bucket is full at first") }
            try ana.expect([3], "the bucket is full at first; binary costs a token, as text does")
            try expectNotHandled(
                ana,
                "three tokens were in the bucket, by policy.burst, and are spent, by text and binary alike: "
                    + "a message for which there is no whole token is not handled")
            let ben = try enter(room, "ben", "/ws/shout?token=ben-laptop")
            for text in ["one", "two", "three", "four"] { try ben.send(text) }
            for text in ["ONE", "TWO", "THREE"] { try ben.expect(text, "the bucket is full at first") }
            try expectNotHandled(ben, "a route is limited only if it receives with receiveWithinLimit()")
            // For the handler, bytes are an error, if it ever sees them.
            let again = try enter(room, "ben, back again", "/ws/shout?token=ben-laptop")
            try again.send([1])
            try expectNotHandled(again)
            try room.expectGet("/stats", json: ["connections": 0], Self.whicheverWay)
            _ = try enter(room, "ana", "/ws/echo?token=ana-laptop")
            if errors.count > 0 {
                throw room.wrong(
                    "expected the binary message without a token not to reach the handler of /ws/shout",
                    "     got it there, after the close",
                    hint:
                        "spend must end receiveWithinLimit() by its error: then there is no message to return"
                )
            }
        }
    }

    func testTokensComeBackWithTime() throws {
        let policy = Policy(burst: 3, refill: .seconds(10))
        try check("tokens come back one by one with time, and never more than the bucket holds", policy) {
            room in
            try room.advance(by: .seconds(3600))
            let full = "a bucket that is full takes no more: the rest runs over"
            let ana = try enter(room, "ana", "/ws/echo?token=ana-laptop")
            try spend(3, by: ana, "the bucket is full at first")
            try room.advance(by: .seconds(11))
            try spend(
                1, by: ana, "a token comes back every 10 s here: add it, and ask app.clock what time it is")
            try expectLimit(
                ana,
                "11 s bring one token here: the bucket is not full then, and what came back once "
                    + "comes no second time")
            try room.advance(by: .seconds(20))
            let again = "what has come back once must not come back again: remember when you counted last"
            try expectTokens(
                2, room,
                tooFew:
                    "a refused message costs nothing, or who tries again would never get through",
                tooMany: again)
            try room.advance(by: .seconds(6))
            let early =
                "no token comes back before its time, also after a refusal: remember when you counted last"
            try expectTokens(0, room, tooFew: "", tooMany: early)
            try room.advance(by: .seconds(8))
            let parts =
                "6 s and 8 s are more than 10 s: who asks in between must not lose the part that has passed"
            try expectTokens(1, room, tooFew: parts, tooMany: again)
            try room.advance(by: .seconds(3600))
            try expectTokens(3, room, tooFew: "an hour fills the bucket", tooMany: full)
        }
    }

    func testEveryUserHasABucket() throws {
        let policy = Policy(burst: 2)
        try check("what one user spends costs no other user anything", policy) { room in
            let ana = try enter(room, "ana", "/ws/echo?token=ana-laptop")
            let ben = try enter(room, "ben", "/ws/echo?token=ben-laptop")
            let hint =
                "one bucket for each user, not one for all; whose a connection is, is in socket.storage"
            try spend(2, by: ana, hint)
            try spend(2, by: ben, hint)
            try expectLimit(ana, hint)
            try expectLimit(ben, hint)
        }
    }

    func testAUserHasOneBucket() throws {
        let policy = Policy(burst: 3)
        try check(
            "all connections and keys of a user share one bucket, and a new connection fills none", policy
        ) {
            room in
            let hint = "the bucket belongs to the user, not to the connection, the key or the route"
            for _ in 0..<5 {
                try enter(
                    room, "ana", "/ws/echo?token=ana-laptop",
                    "connecting costs no token: only messages do"
                ).close()
            }
            let laptop = try enter(room, "ana's laptop", "/ws/echo?token=ana-laptop")
            let phone = try enter(room, "ana's phone", "/ws/shout?token=ana-phone")
            try spend(1, by: laptop, "a waiting connection costs nothing: receive first, then spend")
            try phone.send("hi")
            try phone.expect("HI", "connecting costs no token: only messages do")
            try spend(1, by: laptop, "connecting costs no token: only messages do")
            try expectLimit(phone, hint)
            let again = try enter(room, "ana's phone, back again", "/ws/echo?token=ana-phone")
            try expectLimit(again, "neither a refusal nor a new connection fills the bucket")
            // Whoever sent too much is closed; the others stay, and go on when there is a token.
            try room.advance(by: .seconds(1))
            try spend(1, by: laptop, "only the connection that sent too much is closed")
            try expectLimit(laptop, hint)
        }
    }

    func testOfManyMessagesAtOnceNoneIsTooMany() throws {
        let policy = Policy(burst: 10)
        try check(
            "of 40 messages sent at the same moment as many are handled as there are tokens",
            policy, loops: 2
        ) {
            room in
            let hint = "look at the bucket and change it in one step, and put back no older copy"
            let crowd = try (1...40).map { try enter(room, "ana \($0)", "/ws/echo?token=ana-laptop") }
            try room.simultaneously { for client in crowd { try client.send("hi") } }
            var handled = 0
            for client in crowd {
                switch try client.receiveNext() {
                case .message(.text("Echo: hi")): handled += 1
                case .close(1008, reason: "Rate limit exceeded"): continue
                case let other: throw room.wrong("\(client.name) got \(other)", hint: hint)
                }
            }
            guard handled == 10 else {
                throw room.wrong(
                    "there were 10 tokens, and \(handled) of 40 messages were handled", hint: hint)
            }
        }
    }

    // MARK: - Steps

    /// Runs a check with these limits; time stands still, so that no token comes back by itself.
    private func check(
        _ rule: String, _ policy: Policy = Policy(), loops: Int = 1,
        prepare: @escaping @Sendable (Application) -> Void = { _ in }, _ script: (Classroom) throws -> Void
    ) throws {
        try grade(
            MiddlewareAndLimits.self, rule, loops: loops,
            makeApplication: { MiddlewareAndLimits.makeApplication(policy: policy) },
            prepare: {
                $0.clock.useManualTime()
                prepare($0)
            }, script)
    }

    /// Connects, and waits for the greeting.
    private func enter(
        _ room: Classroom, _ name: String, _ path: String, origin: String? = nil, _ hint: String = ""
    ) throws -> Client {
        let headers = origin.map { ["Origin": $0] } ?? [:]
        let client = try connect(room, name, path, headers: headers, hint)
        let user = path.contains("ben-") ? "ben" : "ana"
        try client.expect("Welcome, \(user)", hint)
        return client
    }

    /// Connects a client, by default one that is no page.
    private func connect(
        _ room: Classroom, _ name: String, _ path: String, headers: [String: String] = [:], _ hint: String
    ) throws -> Client {
        if !headers.isEmpty { return try room.connect(name, to: path, headers: headers, hint) }
        return try hinting(ifGot: "HTTP status 403", Self.noPage) {
            try room.connect(name, to: path, hint)
        }
    }

    private static let noPage = "this client sent no Origin: it is no page, and rule 1 lets it pass"

    private static let whicheverWay =
        "free the slot whichever way the handler ends. Most conversations end by an error: "
        + "a line after handler(socket) is not reached then. Use defer"

    /// Nobody is let in here, and is told so with a close.
    private func expectNoKey(_ room: Classroom, _ path: String, _ reason: String, _ hint: String) throws {
        let client = try connect(room, "Eve", path, Self.byAClose)
        try hinting(ifGot: "text", "nothing is sent to a client before its key is found in the list") {
            try hinting(
                ifGot: "close 1008 \"\(reason)", "the code for a key that is missing or unknown is 4001"
            ) {
                try hinting(
                    ifGot: "close 1008 \"Server at capacity\"",
                    "the key is asked before the slot: app.use in the order of the table"
                ) {
                    try client.expectClose(4001, reason: reason, hint)
                }
            }
        }
    }

    /// So many slots are taken, and stay so.
    private func expectFull(_ room: Classroom, _ path: String, taken: Int, _ hint: String) throws {
        let client = try connect(room, "One too many", path, Self.byAClose)
        try hinting(ifGot: "close 1013", "the code for a server at capacity is 1008 here") {
            try client.expectClose(1008, reason: "Server at capacity", hint)
        }
        try hinting(
            ifGot: "{\"connections\":\(taken - 1)",
            "the one refused before has freed a slot that it never took: defer comes after take()"
        ) {
            try room.expectGet(
                "/stats", json: ["connections": .number(Double(taken))],
                "the one refused before is counted: count only whom a free slot was found for")
        }
    }

    private static let byAClose =
        "a page cannot read why a handshake was refused: throw the WebSocketException, which opens and closes"

    private func expectForeign(_ room: Classroom, _ path: String, _ hint: String = "") throws {
        try hinting(ifGot: "status", "exactly 403: socket.reject(status: 403)") {
            try room.expectRefusal(
                "a foreign page", to: path, headers: ["Origin": "https://evil.example"], status: 403...403,
                hint)
        }
    }

    /// Sends messages on /ws/echo, which must be answered.
    private func spend(_ count: Int, by client: Client, _ hint: String = "") throws {
        for _ in 0..<count {
            try client.send("hi")
            try client.expect("Echo: hi", hint)
        }
    }

    /// The user's bucket is empty: one message more ends the connection.
    private func expectLimit(_ client: Client, _ hint: String = "") throws {
        try client.send("too much")
        try expectNotHandled(client, hint)
    }

    private func expectNotHandled(_ client: Client, _ hint: String = "") throws {
        let usual =
            "there is no token left: spend before the message is handled, on every route, for text and binary"
        try hinting(ifSilent: "who sends too much must learn why no answer comes: the connection is closed") {
            try client.expectClose(1008, reason: "Rate limit exceeded", hint.isEmpty ? usual : hint)
        }
    }

    /// Ana can send so many messages now, and no more.
    private func expectTokens(
        _ count: Int, _ room: Classroom, tooFew: String, tooMany: String
    ) throws {
        let ana = try enter(room, "ana", "/ws/echo?token=ana-laptop", "connecting costs no token")
        try spend(count, by: ana, tooFew)
        try expectLimit(ana, tooMany)
    }
}

/// Counts, from any thread.
private final class Counter: Sendable {
    private let value = Mutex(0)

    var count: Int { value.withLock { $0 } }

    func add() { value.withLock { $0 += 1 } }
}
