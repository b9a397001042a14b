import LevelKit
import WebSocketEngine

/// Who is in the chat, each under a name that nobody else has, and what those who may come back have missed.
actor Chat {
    /// How long the name of somebody whose connection broke is kept.
    static let patience = Duration.seconds(60)

    private struct Member {
        /// Nil while the connection is broken.
        var socket: WebSocket?
        /// Nil for plain clients, who cannot come back.
        var session: Session?
        /// Ends the membership of somebody who does not come back.
        var expiry: Task<Void, any Error>?
    }

    private var members: [String: Member] = [:]
    private let clock: ServerClock

    init(clock: ServerClock) { self.clock = clock }

    // MARK: - Plain clients

    /// Takes the name for this socket and welcomes it. Throws what closes the connection if it cannot be had.
    func join(_ socket: WebSocket, as name: String) throws {
        try requireFree(name)
        members[name] = Member(socket: socket)
        [socket].broadcast("[Server]: Welcome, \(name).")
    }

    /// Tells all but the one who says it.
    func say(_ text: String, from name: String) throws { try tell("[\(name)]: \(text)", except: name) }

    /// Frees the name and tells those who stay.
    func leave(_ name: String) throws {
        members[name] = nil
        try tell("[Server]: \(name) has left the chat.", except: name)
    }

    private func requireFree(_ name: String) throws {
        guard (1...32).contains(name.count) else {
            throw WebSocketException(code: .policyViolation, reason: "Invalid username")
        }
        // Whoever could call themselves Server could announce what they like.
        guard members[name] == nil, name != "Server" else {
            throw WebSocketException(code: 4009, reason: "Username taken")
        }
    }

    private func tell(_ text: String, except name: String) throws {
        for other in members.keys where other != name {
            let sockets = [members[other]?.socket].compactMap(\.self)
            if let event = members[other]?.session?.add(text) {
                try sockets.broadcastJSON(event)
            } else {
                sockets.broadcast(text)
            }
        }
    }

    // MARK: - Clients that come back

    /// Begins a session, or goes on with it, and sends the welcome and all that was missed. Returns the socket that
    /// this one replaces, if the server had not noticed yet that it is dead.
    ///
    /// 12. If the name belongs to this very session, keep what is known of it and stop its `expiry`; otherwise the name
    ///    must be free, and a new session begins. Then send, in this order and without an `await`:
    ///    `.welcome(received:from:)` and the events from there on. From now on `socket` is the session's socket.
    func resume(_ socket: WebSocket, as name: String, session id: String, seen: Int) throws -> WebSocket? {
        // solution
        var member = Member(session: Session(id: id))
        if let known = members[name], known.session?.id == id {
            member = known
        } else {
            try requireFree(name)
        }
        member.expiry?.cancel()
        member.expiry = nil
        let old = member.socket
        member.socket = socket
        members[name] = member
        if let session = member.session {
            let missed = session.events(after: seen)
            let from = session.next - missed.count
            try [socket].broadcastJSON(Frame.welcome(received: session.received, from: from))
            for event in missed { try [socket].broadcastJSON(event) }
        }
        return old
        // stub: throw NotImplemented("begin the session or go on with it: welcome, what was missed, the new socket")
        // end
    }

    /// A message of a session, which may have come before.
    ///
    /// 13. Tell the others only if its number is higher than all before it. Acknowledge it in any case, with its own number.
    func hear(_ n: Int, _ text: String, from name: String, session id: String) throws {
        guard let session = members[name]?.session, session.id == id else { return }
        // solution
        if n > session.received {
            members[name]?.session?.received = n
            try say(text, from: name)
        }
        if let socket = members[name]?.socket { try [socket].broadcastJSON(Frame.ack(n)) }
        // stub: throw NotImplemented("tell the others unless it came before, and acknowledge it")
        // end
    }

    /// The conversation on this socket has ended. Unless another one goes on with the session: who has closed with
    /// 1000 has left; everybody else is waited for.
    func lose(_ socket: WebSocket, of name: String) throws {
        guard members[name]?.socket === socket else { return }
        if socket.disconnect?.code == .normalClosure { return try leave(name) }
        members[name]?.socket = nil
        members[name]?.expiry = Task {
            try await clock.sleep(for: Self.patience)
            // Whoever came back in the last moment has cancelled this.
            try Task.checkCancellation()
            try leave(name)
        }
    }
}

/// What the server remembers of a client that may come back.
struct Session {
    /// So many events are kept. Who has missed more has lost the oldest.
    static let capacity = 1000

    /// Chosen by the client, at random: whoever knows it may take the name over.
    let id: String
    /// The number of the last message from the client that was passed on.
    var received = 0
    /// The number of the next event.
    private(set) var next = 1
    private var kept: [Frame] = []

    init(id: String) { self.id = id }

    /// Numbers what the chat tells this client, and keeps it.
    ///
    /// 10. The first event has number 1. Keep the last `capacity`.
    mutating func add(_ text: String) -> Frame {
        // solution
        let event = Frame.event(next, text)
        next += 1
        kept.append(event)
        if kept.count > Self.capacity { kept.removeFirst() }
        return event
        // stub: return .event(next, text)
        // end
    }

    /// What follows the event with this number, as far as it is kept.
    ///
    /// 11. The last of `kept` has the number `next - 1`. A client may name a number that is too high: it has seen
    ///    events of a server that has been started anew since. Then it has seen nothing of this session.
    func events(after seen: Int) -> [Frame] {
        // solution
        if seen >= next { return kept }
        return kept.suffix(next - 1 - max(0, seen))
        // stub: return []
        // end
    }
}
