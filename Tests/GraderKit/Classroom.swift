import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

/// Where one check happens: a fresh server of the student's, and the clients that the check connects to it.
///
/// The check runs on the test's own thread and blocks; the server runs on threads of its own. So a handler that
/// loops, blocks or traps cannot keep the check from ending on time and telling what happened.
public final class Classroom {
    let transcript: Transcript
    let standardError: StandardErrorCapture?
    /// The application under test; its clock stands still if the check asked for manual time.
    public let application: Application
    let server: Server
    /// True for what ``restarted(_:after:_:)`` makes.
    public internal(set) var isRestarted = false
    private let shared: Shared
    private let crashesBefore: Int
    private var clients: [Client] = []
    private var people: [Person] = []

    /// What the server's threads report.
    fileprivate final class Shared: Sendable {
        struct Reports {
            var started: Result<(Application, Server), any Error>?
            var errors: [(path: String, error: any Error)] = []
            var stopped = false
        }
        let reports = Mutex(Reports())
        let signal = DispatchSemaphore(value: 0)
    }

    /// How long a client waits, in seconds.
    var patience: Double { Patience.forAnswers }

    /// Starts a level's server on a free port, with so many event loops.
    init(
        loops: Int = 1, transcript: Transcript = Transcript(), standardError: StandardErrorCapture? = nil,
        _ makeApplication: @escaping @Sendable () -> Application
    ) throws {
        self.transcript = transcript
        self.standardError = standardError
        let crashesBefore = CrashGuard.count
        GraderExecutor.shared.replaceCrashedThread()
        let shared = Shared()
        // A thread of its own: makeApplication() is the student's code too and may do anything.
        Thread.detachNewThread {
            CrashGuard.protectThread()
            let application = makeApplication()
            application.onError { error, request in
                shared.reports.withLock { $0.errors.append((request.path, error)) }
            }
            Task.detached(executorPreference: GraderExecutor.shared) {
                do {
                    let server = try await application.start(loops: loops)
                    for loop in server.eventLoops { loop.execute { CrashGuard.protectThread() } }
                    shared.reports.withLock { $0.started = .success((application, server)) }
                } catch {
                    shared.reports.withLock { $0.started = .failure(error) }
                }
                shared.signal.signal()
            }
        }
        let deadline = Date().addingTimeInterval(Patience.forStart)
        while shared.signal.wait(timeout: .now() + .milliseconds(20)) == .timedOut {
            if CrashGuard.count > crashesBefore {
                throw Failure(.crashed, ["makeApplication() or a startup hook crashed"])
            }
            if Date() >= deadline {
                Patience.hungAtStart()
                GraderExecutor.shared.addThread()
                throw Failure(.timedOut, ["makeApplication() or a startup hook did not return"])
            }
        }
        switch shared.reports.withLock({ $0.started }) {
        case .success((let application, let server))?:
            self.application = application
            self.server = server
        case .failure(let missing as NotImplemented)?:
            throw Failure(missing)
        case .failure(let error)?:
            throw Failure(.wrong, ["the server did not start: \(error)"])
        case nil:
            throw Failure(.wrong, ["the server did not start"])
        }
        self.shared = shared
        self.crashesBefore = crashesBefore
    }

    public var port: Int { server.port }
    public var clock: ServerClock { application.clock }

    // MARK: - Connecting

    /// Connects a client, whose handshake must succeed.
    public func connect(
        _ name: String, to path: String, headers: [String: String] = [:], subprotocols: [String] = [],
        receiveBuffer: Int? = nil, _ hint: String = ""
    ) throws -> Client {
        let request = try ask(
            name, path, headers: headers, subprotocols: subprotocols, receiveBuffer: receiveBuffer)
        return try open(request, hint)
    }

    /// The client of a handshake that must succeed.
    func open(_ request: OpeningHandshake, _ hint: String) throws -> Client {
        switch try outcome(of: request) {
        case .open(let client): return client
        case .refused(let answer):
            throw explain(
                wrong: [
                    "expected the WebSocket at \(request.path) to open",
                    "     got HTTP status \(answer.status)" + (answer.text.isEmpty ? "" : ": \(answer.text)"),
                ], hint)
        }
    }

    /// Connects a client, or returns nil if its handshake is refused with an HTTP status.
    public func connectIfAllowed(
        _ name: String, to path: String, headers: [String: String] = [:]
    ) throws -> Client? {
        switch try outcome(of: try ask(name, path, headers: headers)) {
        case .open(let client): return client
        case .refused: return nil
        }
    }

    /// What comes of a handshake.
    enum Outcome {
        case open(Client)
        case refused(HTTPAnswer)
    }

    func outcome(of request: OpeningHandshake) throws -> Outcome {
        let (answer, surplus) = try readAnswer(to: request)
        guard answer.status == 101 else { return .refused(answer) }
        let client = Client(request.name, request.path, request.wire, surplus, in: self)
        client.responseHeaders = answer.headers
        clients.append(client)
        return .open(client)
    }

    /// A handshake that the server must refuse with an HTTP status from this range.
    public func expectRefusal(
        _ name: String, to path: String, headers: [String: String] = [:],
        status: ClosedRange<Int> = 400...499,
        _ hint: String = ""
    ) throws {
        let request = try ask(name, path, headers: headers, subprotocols: [], receiveBuffer: nil)
        let (answer, _) = try readAnswer(to: request)
        guard status.contains(answer.status) else {
            let wanted =
                status.count == 1 ? "\(status.lowerBound)" : "\(status.lowerBound)–\(status.upperBound)"
            throw explain(
                wrong: [
                    "expected the WebSocket at \(path) to be refused with HTTP status \(wanted)",
                    "     got "
                        + (answer.status == 101 ? "an open WebSocket (101)" : "status \(answer.status)"),
                ], hint)
        }
    }

    /// A handshake that is not answered yet.
    struct OpeningHandshake {
        var name: String
        var path: String
        var key: String
        var request: [UInt8]
        var wire: Wire
        /// The header fields that the check adds, as the transcript tells them.
        var fields: String
    }

    func ask(
        _ name: String, _ path: String, headers: [String: String] = [:], subprotocols: [String] = [],
        receiveBuffer: Int? = nil
    ) throws -> OpeningHandshake {
        let handshake = try dial(
            name, path, headers: headers, subprotocols: subprotocols, receiveBuffer: receiveBuffer)
        send(handshake)
        return handshake
    }

    /// A handshake whose TCP connection is open, and whose request is not sent yet.
    func dial(
        _ name: String, _ path: String, headers: [String: String] = [:], subprotocols: [String] = [],
        receiveBuffer: Int? = nil
    ) throws -> OpeningHandshake {
        let key = Handshake.makeKey()
        var fields = Headers()
        for (name, value) in headers.sorted(by: { $0.key < $1.key }) { fields.add(name, value) }
        let request = Handshake.request(
            target: path, host: "127.0.0.1:\(port)", key: key, subprotocols: subprotocols, headers: fields)
        guard let wire = Wire(port: port, receiveBuffer: receiveBuffer) else {
            throw explain(wrong: ["the server does not listen any more"], "")
        }
        let told = headers.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
        return OpeningHandshake(
            name: name, path: path, key: key, request: request, wire: wire,
            fields: told.isEmpty ? "" : " with " + told.joined(separator: ", "))
    }

    func send(_ handshake: OpeningHandshake) {
        transcript.add(handshake.name, "connects to \(handshake.path)\(handshake.fields)")
        handshake.wire.send(handshake.request)
    }

    private func readAnswer(to request: OpeningHandshake) throws -> (HTTPAnswer, surplus: [UInt8]) {
        let (answer, surplus) = try readAnswer(request.wire, isHandshake: true)
        if answer.status == 101 {
            if answer.headers["sec-websocket-accept"] != Handshake.acceptValue(forKey: request.key) {
                throw Failure(.wrong, ["the handshake's Sec-WebSocket-Accept does not fit its key"])
            }
        } else {
            transcript.add(request.name, "is answered with HTTP status \(answer.status)")
        }
        return (answer, surplus)
    }

    // MARK: - Plain HTTP

    /// What a plain HTTP request was answered with.
    public struct HTTPAnswer: Sendable {
        public var status: Int
        /// Names in lower case.
        public var headers: [String: String]
        public var body: [UInt8]

        public var text: String { String(decoding: body, as: UTF8.self) }
        public var json: JSONValue? { JSONValue(text: text) }
    }

    /// A GET request, written down in the transcript.
    public func get(_ path: String) throws -> HTTPAnswer { try request("GET", path, body: nil) }

    public func post(_ path: String, _ body: String, headers: [String: String] = [:]) throws -> HTTPAnswer {
        try request("POST", path, body: Array(body.utf8), headers: headers)
    }

    /// A POST request whose body need not be text.
    public func post(_ path: String, bytes: [UInt8]) throws -> HTTPAnswer {
        try request("POST", path, body: bytes)
    }

    /// A GET request whose JSON must have these members, as soon as the server has caught up with its clients:
    /// asked again until it does, for a client that has left may be seen a moment later.
    ///
    /// - Parameter inAnyOrder: Accepts the items of an array in another order.
    @discardableResult
    public func expectGet(
        _ path: String, json: JSONValue, inAnyOrder: Bool = false, _ hint: String = ""
    ) throws -> JSONValue {
        try expectAnswer("GET", path, body: nil, json: json, inAnyOrder: inAnyOrder, hint)
    }

    /// The same with a POST request, which is made anew each time.
    @discardableResult
    public func expectPost(
        _ path: String, _ body: String, json: JSONValue, _ hint: String = ""
    ) throws -> JSONValue {
        try expectAnswer("POST", path, body: Array(body.utf8), json: json, hint)
    }

    private func expectAnswer(
        _ method: String, _ path: String, body: [UInt8]?, json: JSONValue, inAnyOrder: Bool = false,
        _ hint: String
    ) throws -> JSONValue {
        let deadline = Date().addingTimeInterval(patience)
        while true {
            let answer = try request(method, path, body: body, silently: true)
            if answer.status == 200, let got = answer.json,
                got.contains(json) || inAnyOrder && got.containsInAnyOrder(json)
            {
                transcript.add("\(method) \(path)", "answers \(answer.status) \(got.text)")
                return got
            }
            if isHopeless || Date() >= deadline {
                transcript.add("\(method) \(path)", "answers \(answer.status) \(answer.text)")
                if !isHopeless { Patience.waitedInVain() }
                throw explain(
                    wrong: [
                        "expected \(method) \(path) to answer \(json.text)",
                        "     got \(answer.status == 200 ? "" : "status \(answer.status) ")\(answer.text)",
                    ], hint)
            }
            usleep(2000)
        }
    }

    func request(
        _ method: String, _ path: String, body: [UInt8]?, headers: [String: String] = [:],
        silently: Bool = false
    ) throws -> HTTPAnswer {
        guard let wire = Wire(port: port) else {
            throw explain(wrong: ["the server does not listen any more"], "")
        }
        var text = "\(method) \(path) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\n"
        for (name, value) in headers { text += "\(name): \(value)\r\n" }
        if let body { text += "Content-Length: \(body.count)\r\nContent-Type: application/json\r\n" }
        wire.send(Array((text + "\r\n").utf8) + (body ?? []))
        let (answer, _) = try readAnswer(wire, isHandshake: false)
        if !silently {
            let sent = body.map { "with \(Show.text(String(decoding: $0, as: UTF8.self))) " } ?? ""
            transcript.add("\(method) \(path)", "\(sent)answers \(answer.status) \(answer.text)")
        }
        return answer
    }

    /// Reads a response: its head, and its body unless it opens a WebSocket.
    private func readAnswer(_ wire: Wire, isHandshake: Bool) throws -> (HTTPAnswer, surplus: [UInt8]) {
        var received: [UInt8] = []
        let deadline = Date().addingTimeInterval(patience)
        while true {
            if let end = received.firstRange(of: Array("\r\n\r\n".utf8)) {
                var answer = Self.parse(head: received[..<end.lowerBound])
                let rest = Array(received[end.upperBound...])
                if answer.status == 101 { return (answer, rest) }
                if rest.count >= Int(answer.headers["content-length"] ?? "0") ?? 0 {
                    answer.body = rest
                    return (answer, [])
                }
            }
            switch wire.receive(milliseconds: 20) {
            case .bytes(let bytes): received += bytes
            case .end:
                throw explain(wrong: ["the server ended the connection instead of answering"], "")
            case .nothing:
                if isHopeless || Date() >= deadline {
                    throw explain(
                        silence: isHandshake
                            ? "expected an answer to the handshake" : "expected an answer to the request")
                }
            }
        }
    }

    private static func parse(head: ArraySlice<UInt8>) -> HTTPAnswer {
        let lines = String(decoding: head, as: UTF8.self).components(separatedBy: "\r\n")
        let status = lines[0].split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            headers[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces)
        }
        return HTTPAnswer(status: status, headers: headers, body: [])
    }

    // MARK: - Programs of the student's

    /// Starts a client program of the student's, which runs on a thread of the level's server.
    public func start(_ name: String, _ program: @escaping Person.Program) -> Person {
        let shared = shared
        let person = Person(name, in: self, on: server.eventLoops[0], program) { error in
            shared.reports.withLock { $0.errors.append((name, error)) }
        }
        people.append(person)
        return person
    }

    /// A connection that a ``ScriptedServer`` has accepted.
    func add(_ client: Client) -> Client {
        clients.append(client)
        return client
    }

    /// How the program that was started last has ended, if it has.
    private var ending: [String] { [people.last?.ending].compactMap(\.self) }

    /// True if every program has ended, so that there is nothing to wait for.
    var everybodyHasLeft: Bool { !people.isEmpty && people.allSatisfy { $0.ending != nil } }

    // MARK: - Time

    /// Moves the application's clock on, once `sleepers` tasks of the student's wait for it.
    public func advance(by duration: Duration, onceAsleep sleepers: Int = 0, _ hint: String = "") throws {
        let deadline = Date().addingTimeInterval(patience)
        while clock.sleeperCount < sleepers {
            if isHopeless || Date() >= deadline {
                let asleep = clock.sleeperCount
                throw explain(
                    silence: asleep == 0
                        ? "expected a sleep on the application's clock (app.clock.sleep(for:), not Task.sleep)"
                        : "expected \(sleepers) tasks to sleep on the application's clock",
                    hint, missing: asleep == 0 ? "but nobody slept" : "but only \(asleep) did")
            }
            usleep(500)
        }
        transcript.add("Time", "moves on by \(duration.inSeconds)")
        clock.advance(by: duration)
    }

    /// Stops the server in good order, as Ctrl-C does. Returns at once; the clients see what happens.
    public func beginShutdown() {
        transcript.add("The server", "is told to stop")
        let server = server
        Task.detached(executorPreference: GraderExecutor.shared) { try? await server.shutdown() }
    }

    // MARK: - Explaining

    var hasCrashed: Bool { CrashGuard.count > crashesBefore }

    /// True when waiting on would be for nothing: the server has crashed, or its code is not written yet.
    var isHopeless: Bool { hasCrashed || notStarted() != nil }

    /// Something else came than was expected.
    func explain(wrong findings: [String], _ hint: String) -> Failure {
        if hasCrashed { return Failure(.crashed, findings) }
        if let started = notStarted() { return started }
        return Failure(.wrong, findings + handlerErrors() + ending + (hint.isEmpty ? [] : ["hint: \(hint)"]))
    }

    /// A finding of the check's own, beyond what a client's expectations say.
    public func wrong(_ findings: String..., hint: String = "") -> Failure { explain(wrong: findings, hint) }

    /// Nothing came in time, or what was waited for did not happen.
    func explain(
        silence what: String, _ hint: String = "", missing: String = "but nothing came"
    ) -> Failure {
        if hasCrashed { return Failure(.crashed, [what]) }
        if let started = notStarted() { return started }
        if everybodyHasLeft { return explain(wrong: ["\(what), but nothing came"], hint) }
        let waited = String(format: "%g s", patience)
        let findings = ["\(what), \(missing) within \(waited)"] + handlerErrors()
        let isBlocked = !loopsAnswer()
        Patience.waitedInVain()
        if isBlocked {
            return Failure(
                .blocked,
                findings + [
                    "the event loop stands still: a handler keeps its thread busy and never waits",
                    "cure: no sleep(), no endless computing, no blocking reads; await something that suspends,",
                    "      such as socket.receive() or app.clock.sleep(for:)",
                ])
        }
        return Failure(.timedOut, findings + (hint.isEmpty ? [] : ["hint: \(hint)"]))
    }

    private func notStarted() -> Failure? {
        let errors = shared.reports.withLock { $0.errors }
        guard let missing = errors.lazy.compactMap({ $0.error as? NotImplemented }).first else { return nil }
        return Failure(missing)
    }

    private func handlerErrors() -> [String] {
        shared.reports.withLock { $0.errors }.map { "the handler of \($0.path) threw: \($0.error)" }
    }

    /// True if every event loop still takes work.
    private func loopsAnswer() -> Bool {
        let answered = DispatchSemaphore(value: 0)
        let patience = Patience.forLoops
        for loop in server.eventLoops { loop.execute { answered.signal() } }
        return server.eventLoops.allSatisfy { _ in answered.wait(timeout: .now() + patience) == .success }
    }

    // MARK: - Ending

    /// Lets everyone go. Does not wait for a server that may hang.
    func dismiss() {
        for person in people { person.dismiss() }
        for client in clients { client.hangUp() }
        let server = server
        if hasCrashed { return }
        Task.detached(executorPreference: GraderExecutor.shared) { try? await server.shutdown() }
    }
}
