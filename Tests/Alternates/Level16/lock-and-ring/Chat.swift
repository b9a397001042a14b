import LevelKit
import Synchronization
import WebSocketEngine

/// The chat behind a lock. Absence is waited for by the handler itself, and a number tells who came back meanwhile.
final class Chat: Sendable {
    private struct Member {
        var socket: WebSocket?
        var session: Session?
        var visits = 0
    }

    private let members = Mutex<[String: Member]>([:])
    private let clock: ServerClock

    init(clock: ServerClock) { self.clock = clock }

    func join(_ socket: WebSocket, as name: String) async throws {
        try members.withLock { members in
            try Self.check(name, in: members)
            members[name] = Member(socket: socket)
            [socket].broadcast("[Server]: Welcome, \(name).")
        }
    }

    func say(_ text: String, from name: String) async throws {
        try members.withLock { try Self.tell("[\(name)]: \(text)", to: &$0, except: name) }
    }

    func leave(_ name: String) async throws { try members.withLock { try Self.remove(name, from: &$0) } }

    func resume(_ socket: WebSocket, as name: String, session id: String, seen: Int) async throws
        -> WebSocket?
    {
        try members.withLock { members in
            var member = Member(session: Session(id: id))
            if members[name]?.session?.id == id, let known = members[name] {
                member = known
            } else {
                try Self.check(name, in: members)
            }
            let old = member.socket
            member.socket = socket
            member.visits += 1
            members[name] = member
            let missed = member.session?.events(after: seen) ?? []
            let next = member.session?.next ?? 1
            try [socket].broadcastJSON(
                Frame.welcome(received: member.session?.received ?? 0, from: next - missed.count))
            for event in missed { try [socket].broadcastJSON(event) }
            return old
        }
    }

    func hear(_ n: Int, _ text: String, from name: String, session id: String) async throws {
        try members.withLock { members in
            guard let member = members[name], let session = member.session, session.id == id else { return }
            if let socket = member.socket { try [socket].broadcastJSON(Frame.ack(max(n, session.received))) }
            guard n > session.received else { return }
            members[name]?.session?.received = n
            try Self.tell("[\(name)]: \(text)", to: &members, except: name)
        }
    }

    func lose(_ socket: WebSocket, of name: String) async throws {
        let visit = try members.withLock { members -> Int? in
            guard members[name]?.socket == socket else { return nil }
            if socket.disconnect?.code == 1000 {
                try Self.remove(name, from: &members)
                return nil
            }
            members[name]?.socket = nil
            return members[name]?.visits
        }
        guard let visit else { return }
        try await clock.sleep(for: .seconds(60))
        try members.withLock { members in
            guard members[name]?.visits == visit, members[name]?.socket == nil else { return }
            try Self.remove(name, from: &members)
        }
    }

    private static func remove(_ name: String, from members: inout [String: Member]) throws {
        members[name] = nil
        try tell("[Server]: \(name) has left the chat.", to: &members, except: name)
    }

    private static func check(_ name: String, in members: [String: Member]) throws {
        if name.isEmpty || name.count > 32 {
            throw WebSocketException(code: 1008, reason: "Invalid username")
        }
        if name == "Server" || members[name] != nil {
            throw WebSocketException(code: 4009, reason: "Username taken")
        }
    }

    private static func tell(_ text: String, to members: inout [String: Member], except name: String) throws {
        for other in members.keys where other != name {
            let event = members[other]?.session?.add(text)
            guard let socket = members[other]?.socket else { continue }
            if let event { try [socket].broadcastJSON(event) } else { [socket].broadcast(text) }
        }
    }
}

/// A ring of a thousand events: the place of an event is its number modulo a thousand.
struct Session {
    let id: String
    var received = 0
    private(set) var next = 1
    private var ring = [String](repeating: "", count: 1000)

    init(id: String) { self.id = id }

    mutating func add(_ text: String) -> Frame {
        ring[next % ring.count] = text
        next += 1
        return .event(next - 1, text)
    }

    func events(after seen: Int) -> [Frame] {
        let first = max(seen >= next ? 1 : seen + 1, next - ring.count, 1)
        return (first..<next).map { .event($0, ring[$0 % ring.count]) }
    }
}
