import Foundation
import LevelKit
import WebSocketEngine

/// One connection to one room.
struct Device: Hashable {
    let socket: WebSocket
    let room: String
    let user: String

    init(_ socket: WebSocket) {
        self.socket = socket
        room = socket.parameters["room"] ?? ""
        user = socket.parameters["username"] ?? ""
    }
}

/// The chat without actors: all that happens goes through one queue, and one task takes it from there and owns the state.
final class Chat: Sendable {
    typealias Step = @Sendable (inout World) throws -> Void
    private let queue: AsyncStream<Step>.Continuation
    private let clock: ServerClock

    init(directory: String, clock: ServerClock) {
        self.clock = clock
        let (steps, queue) = AsyncStream.makeStream(of: Step.self)
        self.queue = queue
        Task {
            var world = World(directory: directory, clock: clock, queue: queue)
            // A step tells of its own errors.
            for await step in steps { try? step(&world) }
        }
    }

    deinit { queue.finish() }

    /// Puts a step into the queue and waits for what it comes to.
    private func run<Value: Sendable>(_ body: @escaping @Sendable (inout World) throws -> Value) async throws
        -> Value
    {
        try await withCheckedThrowingContinuation { continuation in
            queue.yield { world in continuation.resume(with: Result { try body(&world) }) }
        }
    }

    func open() async throws { try await run { try $0.open() } }
    func join(_ device: Device) async throws { try await run { try $0.join(device) } }
    func leave(_ device: Device) async throws { try await run { try $0.leave(device) } }
    func identify(_ request: Request) async throws -> String {
        try await run { try $0.claims(in: request).sub }
    }
    func createAccount(_ account: Account) async throws -> String { try await run { try $0.create(account) } }
    var summary: [RoomSummary] { get async throws { try await run { $0.summary } } }

    func hear(_ message: Message, from device: Device) async throws {
        try await run { try $0.hear(message, from: device) }
    }
}

/// All that the chat knows. One task owns it.
struct World {
    private struct Place: Hashable {
        var room: String
        var user: String
    }
    private struct Timer {
        var number: Int
        var task: Task<Void, any Error>
    }

    let directory: String
    let clock: ServerClock
    let queue: AsyncStream<Chat.Step>.Continuation
    private var archive: Archive?
    private var accounts: Set<String> = []
    private var here: [Place: Set<WebSocket>] = [:]
    private var histories: [String: [Event]] = [:]
    private var timers: [Place: Timer] = [:]
    private var timersEver = 0
    private var rate = RateLimit()
    private var lastID = 0

    init(directory: String, clock: ServerClock, queue: AsyncStream<Chat.Step>.Continuation) {
        self.directory = directory
        self.clock = clock
        self.queue = queue
    }

    mutating func open() throws {
        let archive = try Archive(in: directory)
        self.archive = archive
        for account in try archive.accounts.read() { accounts.insert(account.username) }
        for message in try archive.messages.read() { keep(message) }
    }

    private mutating func keep(_ message: Event) {
        lastID = message.id ?? 0
        histories[message.room ?? "", default: []].append(message)
    }

    func claims(in request: Request) throws -> Claims {
        guard let archive else { throw CocoaError(.fileNoSuchFile) }
        return try archive.tokens.claims(of: Tokens.token(in: request), at: clock.secondsSince1970)
    }

    private func sockets(of user: String) -> Set<WebSocket> {
        here.filter { $0.key.user == user }.values.reduce(into: []) { $0.formUnion($1) }
    }

    private func tell(_ event: Event, _ room: String, except user: String? = nil) throws {
        try here.filter { $0.key.room == room && $0.key.user != user }.values.joined().broadcastJSON(event)
    }

    private func presence(_ room: String) -> Event {
        .presence(here.keys.filter { $0.room == room }.map(\.user).sorted(), room)
    }

    mutating func join(_ device: Device) throws {
        let place = Place(room: device.room, user: device.user)
        guard place.user.count <= 32, place.room.count <= 32 else {
            throw WebSocketException(code: .policyViolation, reason: "Name too long")
        }
        if accounts.contains(place.user) {
            guard try claims(in: device.socket.request).sub == place.user else {
                throw WebSocketException.accessDenied
            }
        } else if !sockets(of: place.user).isEmpty {
            throw WebSocketException(code: 4009, reason: "Username taken")
        }
        try [device.socket].broadcastJSON(Event.history(histories[place.room]?.suffix(50) ?? [], place.room))
        if here[place] != nil {
            here[place]?.insert(device.socket)
            try [device.socket].broadcastJSON(presence(place.room))
        } else {
            here[place] = [device.socket]
            try tell(.joined(place.user, place.room), place.room)
            try tell(presence(place.room), place.room)
        }
    }

    mutating func leave(_ device: Device) throws {
        let place = Place(room: device.room, user: device.user)
        here[place]?.remove(device.socket)
        guard here[place]?.isEmpty == true else { return }
        here[place] = nil
        if let timer = timers.removeValue(forKey: place) {
            timer.task.cancel()
            try tell(.stopped(place.user, place.room), place.room)
        }
        try tell(.left(place.user, place.room), place.room)
        try tell(presence(place.room), place.room)
    }

    mutating func hear(_ message: Message, from device: Device) throws {
        try rate.spend(by: device.user, at: clock.now)
        do {
            switch try Command(message) {
            case .ping: [device.socket].broadcast("pong")
            case .typing: try type(Place(room: device.room, user: device.user))
            case .say(let text): try say(text, from: device)
            case .whisper(let name, let text):
                guard text.utf8.count <= 4096 else { throw Complaint("at most 4096 bytes") }
                let theirs = sockets(of: name)
                if theirs.isEmpty { throw Complaint("nobody is called \(name)") }
                let event = Event.privateMessage(text, from: device.user, to: name, at: clock.timestamp)
                try theirs.union(sockets(of: device.user)).broadcastJSON(event)
            }
        } catch let complaint as Complaint {
            try [device.socket].broadcastJSON(Event.error(complaint.message))
        }
    }

    private mutating func say(_ text: String, from device: Device) throws {
        guard text.utf8.count <= 4096 else { throw Complaint("at most 4096 bytes") }
        let event = Event.message(
            text, id: lastID + 1, from: device.user, in: device.room, at: clock.timestamp)
        try archive?.messages.append(event)
        keep(event)
        timers.removeValue(forKey: Place(room: device.room, user: device.user))?.task.cancel()
        try tell(event, device.room)
    }

    private mutating func type(_ place: Place) throws {
        if timers[place] == nil { try tell(.typing(place.user, place.room), place.room, except: place.user) }
        timers[place]?.task.cancel()
        timersEver += 1
        let task = Task { [clock, queue, number = timersEver] in
            try await clock.sleep(for: .seconds(3))
            queue.yield { try $0.end(place, number) }
        }
        timers[place] = Timer(number: timersEver, task: task)
    }

    /// The end of a timer, if it is still the one that counts.
    private mutating func end(_ place: Place, _ number: Int) throws {
        guard timers[place]?.number == number else { return }
        timers[place] = nil
        try tell(.stopped(place.user, place.room), place.room, except: place.user)
    }

    mutating func create(_ account: Account) throws -> String {
        let name = account.username
        guard (1...32).contains(name.count) else { throw Refusal(status: 400, message: "1 to 32 characters") }
        guard !accounts.contains(name), sockets(of: name).isEmpty, let archive else {
            throw Refusal(status: 409, message: "Username taken")
        }
        try archive.accounts.append(account)
        accounts.insert(name)
        return try archive.tokens.sign(Claims(sub: name, exp: clock.secondsSince1970 + 3600))
    }

    var summary: [RoomSummary] {
        Dictionary(grouping: here.keys, by: \.room).map { RoomSummary(name: $0, members: $1.count) }
            .sorted { $0.name < $1.name }
    }
}

struct RoomSummary: Encodable {
    let name: String
    let members: Int
}
