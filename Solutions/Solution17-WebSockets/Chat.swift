import Foundation
import LevelKit
import WebSocketEngine

/// One connection to one room, under one name. A person with an account may have several, here and there.
struct Device {
    let socket: WebSocket
    let room: String
    let user: String

    init(_ socket: WebSocket) {
        self.socket = socket
        room = socket.parameters["room"] ?? ""
        user = socket.parameters["username"] ?? ""
    }
}

/// One room. It stays as long as there is anybody or any history in it.
private struct Room {
    /// Who is here, on which sockets. Nobody is here without a socket.
    var members: [String: Set<WebSocket>] = [:]
    /// The last 50 messages, oldest first.
    var history: [Event] = []
    /// Who is typing: the task that will say that they stopped.
    var typists: [String: Task<Void, any Error>] = [:]
}

/// The chat: who has which name, who is in which room, and what was said there.
///
/// One actor, because these belong together: a name is asked for and taken, the history read and the joiner listed,
/// each in one step. None of its methods contains an `await`, so nobody ever sees a step half done.
actor Chat {
    private let archive: Result<Archive, any Error>
    private let clock: ServerClock
    private var accounts: Set<String> = []
    /// Everybody's sockets, in whatever room. A guest's name is taken while it is in here.
    private var devices: [String: Set<WebSocket>] = [:]
    private var rooms: [String: Room] = [:]
    private var rate = RateLimit()
    /// The number of the latest message.
    private var lastID = 0

    init(directory: String, clock: ServerClock) {
        archive = Result { try Archive(in: directory) }
        self.clock = clock
    }

    /// Takes over what the archive holds. Called before the server listens.
    func open() throws {
        let archive = try archive.get()
        for account in try archive.accounts.read() { accounts.insert(account.username) }
        for message in try archive.messages.read() { remember(message) }
    }

    // MARK: - Coming and going

    /// Throws the close of the contract for a name that this device may not have.
    ///
    /// 7. Names and rooms have at most 32 characters. Then: a name with an account needs a token, and the token must
    ///    be this person's; `claims(in:)` below reads it. A name without one must be free: `devices` knows.
    private func admit(_ device: Device) throws {
        // solution
        guard device.user.count <= 32, device.room.count <= 32 else { throw WebSocketException.nameTooLong }
        if accounts.contains(device.user) {
            let claims = try claims(in: device.socket.request)
            guard claims.sub == device.user else { throw WebSocketException.accessDenied }
        } else if devices[device.user] != nil {
            throw WebSocketException.usernameTaken
        }
        // stub: throw NotImplemented("find out whether this device may have this name")
        // end
    }

    /// Lets a device in, or throws.
    ///
    /// 8. Admit it. Send it the history, list it in `devices` and among the room's members; then, if it is this user's
    ///    first device here, tell all in the room of the join and who is present; otherwise tell only this device who
    ///    is present. `[socket].broadcastJSON(…)` sends to one without an `await`.
    func join(_ device: Device) throws {
        // solution
        try admit(device)
        try [device.socket].broadcastJSON(Event.history(rooms[device.room]?.history ?? [], device.room))
        devices[device.user, default: []].insert(device.socket)
        let isFirst = rooms[device.room]?.members[device.user] == nil
        rooms[device.room, default: Room()].members[device.user, default: []].insert(device.socket)
        if isFirst {
            try tell(.joined(device.user, device.room), in: device.room)
            try tell(presence(in: device.room), in: device.room)
        } else {
            try [device.socket].broadcastJSON(presence(in: device.room))
        }
        // stub: throw NotImplemented("let a device into its room")
        // end
    }

    /// 9. Takes the device off both lists. If it was the user's last one in this room, tell those who stay: that the
    ///    user stopped typing (if so), left, and who is present now. Forget a room with nobody and nothing in it.
    func leave(_ device: Device) throws {
        // solution
        devices[device.user]?.remove(device.socket)
        if devices[device.user]?.isEmpty == true { devices[device.user] = nil }
        rooms[device.room]?.members[device.user]?.remove(device.socket)
        guard rooms[device.room]?.members[device.user]?.isEmpty == true else { return }
        rooms[device.room]?.members[device.user] = nil
        try endTyping(of: device)
        try tell(.left(device.user, device.room), in: device.room)
        try tell(presence(in: device.room), in: device.room)
        if let room = rooms[device.room], room.members.isEmpty, room.history.isEmpty {
            rooms[device.room] = nil
        }
        // stub: throw NotImplemented("let a device leave its room")
        // end
    }

    // MARK: - What people say

    /// Does what a message asks for.
    ///
    /// 10. Spend a token (`rate.spend`), and read the `Command`. A `Complaint`, from there or from what you call, goes
    ///     to this device as an error event. `[socket].broadcast("pong")` answers a ping.
    func hear(_ message: Message, from device: Device) throws {
        // solution
        try rate.spend(by: device.user, at: clock.now)
        do {
            switch try Command(message) {
            case .say(let text): try say(text, from: device)
            case .whisper(let name, let text): try whisper(text, from: device.user, to: name)
            case .typing: try beginTyping(of: device)
            case .ping: [device.socket].broadcast("pong")
            }
        } catch let complaint as Complaint {
            try [device.socket].broadcastJSON(Event.error(complaint.message))
        }
        // stub: throw NotImplemented("do what a message asks for")
        // end
    }

    /// 11. A text has at most 4,096 bytes of UTF-8. Give the message the next number, write it to the archive's
    ///     `messages`, then remember it and tell the room. It ends the typing: stop the timer, and tell nobody of that.
    private func say(_ text: String, from device: Device) throws {
        // solution
        try checkLength(of: text)
        let message = Event.message(
            text, id: lastID + 1, from: device.user, in: device.room, at: clock.timestamp)
        try archive.get().messages.append(message)
        remember(message)
        rooms[device.room]?.typists.removeValue(forKey: device.user)?.cancel()
        try tell(message, in: device.room)
        // stub: throw NotImplemented("keep a message, and tell it to the room")
        // end
    }

    /// 12. A text has at most 4,096 bytes here, too. To all devices of both people, once to each.
    private func whisper(_ text: String, from sender: String, to recipient: String) throws {
        // solution
        try checkLength(of: text)
        guard let theirs = devices[recipient], let own = devices[sender] else {
            throw Complaint("\(recipient) is not here")
        }
        try theirs.union(own).broadcastJSON(
            Event.privateMessage(text, from: sender, to: recipient, at: clock.timestamp))
        // stub: throw NotImplemented("send a private message")
        // end
    }

    /// 13. Tell the others that this user types, unless they know. Begin the 3 s anew: a `Task` that sleeps on `clock`
    ///     and then calls `endTyping`. After the sleep it must ask whether it was cancelled: it may have woken up, and
    ///     waited for its turn, while this method ran.
    private func beginTyping(of device: Device) throws {
        // solution
        if let earlier = rooms[device.room]?.typists[device.user] {
            earlier.cancel()
        } else {
            try tell(.typing(device.user, device.room), in: device.room, except: device.user)
        }
        rooms[device.room]?.typists[device.user] = Task {
            try await clock.sleep(for: .seconds(3))
            try Task.checkCancellation()
            try endTyping(of: device)
        }
        // stub: throw NotImplemented("tell the others who is typing, for 3 s")
        // end
    }

    /// 14. If this user types, stop the timer and tell the others.
    private func endTyping(of device: Device) throws {
        // solution
        guard let timer = rooms[device.room]?.typists.removeValue(forKey: device.user) else { return }
        timer.cancel()
        try tell(.stopped(device.user, device.room), in: device.room, except: device.user)
        // end
    }

    // MARK: - Given

    /// Sends an event to all devices in a room, or to all but one user's.
    private func tell(_ event: Event, in room: String, except user: String? = nil) throws {
        guard let members = rooms[room]?.members else { return }
        try members.lazy.filter { $0.key != user }.flatMap(\.value).broadcastJSON(event)
    }

    private func presence(in room: String) -> Event {
        .presence(rooms[room]?.members.keys.sorted() ?? [], room)
    }

    /// Takes a message into its room's history, which holds 50.
    private func remember(_ message: Event) {
        guard let room = message.room else { return }
        rooms[room, default: Room()].history.append(message)
        if let count = rooms[room]?.history.count, count > 50 { rooms[room]?.history.removeFirst(count - 50) }
        lastID = max(lastID, message.id ?? 0)
    }

    private func checkLength(of text: String) throws {
        if text.utf8.count > 4096 { throw Complaint("A message has at most 4096 bytes") }
    }

    /// What the token of a request says, or the close for none, an invalid or an expired one.
    private func claims(in request: Request) throws -> Claims {
        try archive.get().tokens.claims(of: Tokens.token(in: request), at: clock.secondsSince1970)
    }

    /// Who it is that shows this token.
    func identify(_ request: Request) throws -> String { try claims(in: request).sub }

    /// Makes an account and returns its token. Asks and takes in one step with `join`: no guest gets the name meanwhile.
    func createAccount(_ account: Account) throws -> String {
        let name = account.username
        guard !name.allSatisfy(\.isWhitespace), name.count <= 32 else {
            throw Refusal(status: 400, message: "A username has 1 to 32 characters")
        }
        if accounts.contains(name) || devices[name] != nil {
            throw Refusal(status: 409, message: "Username taken")
        }
        let archive = try archive.get()
        try archive.accounts.append(account)
        accounts.insert(name)
        let year = 365.0 * 24 * 60 * 60
        return try archive.tokens.sign(Claims(sub: name, exp: clock.secondsSince1970 + year))
    }

    /// What `GET /rooms` answers: the rooms in which anybody is.
    var summary: [RoomSummary] {
        rooms.filter { !$0.value.members.isEmpty }
            .map { RoomSummary(name: $0.key, members: $0.value.members.count) }.sorted { $0.name < $1.name }
    }
}

/// One room in the answer to `GET /rooms`.
struct RoomSummary: Encodable {
    let name: String
    let members: Int
}

extension WebSocketException {
    static let usernameTaken = WebSocketException(code: 4009, reason: "Username taken")
    static let nameTooLong = WebSocketException(code: .policyViolation, reason: "Name too long")
}
