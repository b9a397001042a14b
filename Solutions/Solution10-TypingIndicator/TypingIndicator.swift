import Foundation
import LevelKit
import WebSocketEngine

/// Level 10 – Typing indicator. Read chapter 10 of Course.md first.
///
/// The rooms of level 04 at `/ws/rooms/{room}/{user}` show who is typing. A client sends commands in JSON, each a text
/// message: `{"type":"typing"}` at every key, and `{"type":"message","message":"hi"}`.
///
/// - When ana begins to type, the others in her room, not she, are sent `{"type":"typing","room":"tea","user":"ana"}`.
///   Further `typing` commands tell nobody anything.
/// - When 3 seconds have passed since her last `typing`, the others are sent
///   `{"type":"stopped","room":"tea","user":"ana"}`. Then she may begin anew.
/// - A message goes to everyone in the room, as in level 04, and ends its sender's typing: no `stopped` follows.
/// - Whoever leaves while typing, however that happens, has stopped: the others are sent `stopped`, then `ana left`.
/// - Time is that of `app.clock`. Whoever is typing has one timer, a task that sleeps on it; whoever is not has none.
/// - Anything else that a client sends is answered, to it alone, with `{"type":"error","message":…}`, and changes
///   nothing.
@main
public struct TypingIndicator: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let rooms = Rooms(clock: app.clock)
        app.webSocket("/ws/rooms/{room}/{user}") { socket in
            let member = Member(
                socket: socket, room: socket.parameters["room"] ?? "", user: socket.parameters["user"] ?? "")
            try await socket.accept()
            try await rooms.join(member)
            do {
                for try await message in socket { try await obey(message, of: member, in: rooms) }
            } catch {
                try await rooms.leave(member)
                throw error
            }
            try await rooms.leave(member)
        }
        return app
    }

    /// Does what a client asks for, or tells it that it cannot be done.
    static func obey(_ message: Message, of member: Member, in rooms: Rooms) async throws {
        do {
            switch try Command(message) {
            case .typing: try await rooms.typing(member)
            case .message(let text): try await rooms.say(text, as: member)
            }
        } catch is DecodingError {
            let usage = #"send {"type":"typing"} or {"type":"message","message":"…"}"#
            try await member.socket.sendJSON(["type": "error", "message": usage])
        }
    }

    public static var samples: [Sample] {
        [
            .json(#"{"type":"typing"}"#, to: "/ws/rooms/{room}/{user}"),
            .json(#"{"type":"message","message":"Hello, room!"}"#, to: "/ws/rooms/{room}/{user}"),
        ]
    }
}

/// One connection in one room. Two connections are two members, whatever their names.
struct Member: Hashable {
    let socket: WebSocket
    let room: String
    let user: String
}

/// What a client may ask for.
enum Command: Decodable {
    case typing
    case message(String)

    enum Kind: String, Decodable { case typing, message }
    enum CodingKeys: CodingKey { case type, message }

    /// Throws a `DecodingError` if the message is no command. Binary is none, whatever is in it.
    init(_ message: Message) throws {
        guard case .text(let text) = message else {
            throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "a command is text"))
        }
        self = try JSONDecoder().decode(Command.self, from: Data(text.utf8))
    }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        switch try fields.decode(Kind.self, forKey: .type) {
        case .typing: self = .typing
        case .message: self = .message(try fields.decode(String.self, forKey: .message))
        }
    }
}

/// What the server tells a room. `typing` and `stopped` have no message, and what is nil is left out.
struct Event: Encodable {
    enum Kind: String, Encodable { case system, message, typing, stopped }

    let type: Kind
    let room: String
    let user: String
    var message: String?

    init(_ type: Kind, of member: Member, _ message: String? = nil) {
        self.type = type
        room = member.room
        user = member.user
        self.message = message
    }
}

/// Who is in which room, and who is typing there.
actor Rooms {
    private let clock: ServerClock
    private var members: [String: Set<Member>] = [:]
    // solution
    /// One for each member that is typing: it tells the others when it is over.
    private var timers: [Member: Task<Void, any Error>] = [:]
    // stub: // 1. Who is typing, and which task is the timer of each? A dictionary can answer both.
    // end

    init(clock: ServerClock) { self.clock = clock }

    func join(_ member: Member) throws {
        members[member.room, default: []].insert(member)
        try tell(Event(.system, of: member, "\(member.user) joined"))
    }

    /// The member has pressed a key.
    ///
    /// 2. If it was not typing, tell the others.
    /// 3. Start its timer, in place of the one that may be running: a `Task` that sleeps 3 seconds on `clock`, and
    ///    after which the member is not typing any more and the others are told. Mind a timer that has slept to its
    ///    end and is waiting for its turn while you cancel it.
    func typing(_ member: Member) throws {
        // solution
        if !cancelTimer(of: member) { try tell(Event(.typing, of: member), except: member) }
        timers[member] = Task {
            try await clock.sleep(for: .seconds(3))
            // Whoever has slept to the end does not notice by itself that it was cancelled before its turn came.
            try Task.checkCancellation()
            try stop(member)
        }
        // stub: throw NotImplemented("tell the others that someone is typing, and start the timer")
        // end
    }

    /// Passes a text on to everyone in the room.
    ///
    /// 4. The typing ends with it, without a word of its own.
    func say(_ text: String, as member: Member) throws {
        // solution
        cancelTimer(of: member)
        try tell(Event(.message, of: member, text))
        // stub: throw NotImplemented("end the typing, and pass the text on")
        // end
    }

    /// Takes the member off the list and tells those who stay.
    ///
    /// 5. If it was typing, it has stopped before it has left.
    func leave(_ member: Member) throws {
        members[member.room]?.remove(member)
        if members[member.room]?.isEmpty == true { members[member.room] = nil }
        // solution
        try stop(member)
        try tell(Event(.system, of: member, "\(member.user) left"))
        // stub: throw NotImplemented("tell those who stay that someone has stopped typing, and left")
        // end
    }
    // solution

    /// Tells the others that the member is not typing any more, if it was typing.
    private func stop(_ member: Member) throws {
        if cancelTimer(of: member) { try tell(Event(.stopped, of: member), except: member) }
    }

    /// Ends the member's timer, if it has one, and thereby its typing. True if it was typing.
    @discardableResult
    private func cancelTimer(of member: Member) -> Bool {
        guard let timer = timers.removeValue(forKey: member) else { return false }
        timer.cancel()
        return true
    }
    // end

    /// Sends an event to everyone in its room but one, if one is given.
    private func tell(_ event: Event, except absent: Member? = nil) throws {
        try members[event.room, default: []].filter { $0 != absent }.map(\.socket).broadcastJSON(event)
    }
}
