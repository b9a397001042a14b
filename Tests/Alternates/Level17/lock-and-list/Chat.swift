import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

/// One connection to one room.
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

/// The chat, with a lock instead of an actor: one list of all devices, and everything else is asked of it.
final class Chat: Sendable {
    private struct Place: Hashable {
        var room: String
        var user: String
    }

    private struct State {
        var archive: Archive?
        var accounts: [Account] = []
        var devices: [Device] = []
        var messages: [Event] = []
        /// Who is typing, and the number of the timer that counts.
        var typing: [Place: (timer: Int, task: Task<Void, any Error>)] = [:]
        var timers = 0
        var rate = RateLimit()

        func users(in room: String) -> [String] {
            Set(devices.filter { $0.room == room }.map(\.user)).sorted()
        }

        func tell(_ event: Event, in room: String, except user: String? = nil) throws {
            try devices.filter { $0.room == room && $0.user != user }.map(\.socket).broadcastJSON(event)
        }
    }

    private let directory: String
    private let clock: ServerClock
    private let state = Mutex(State())

    init(directory: String, clock: ServerClock) {
        self.directory = directory
        self.clock = clock
    }

    func open() async throws {
        try state.withLock { state in
            let archive = try Archive(in: directory)
            state.accounts = try archive.accounts.read()
            state.messages = try archive.messages.read()
            state.archive = archive
        }
    }

    func join(_ device: Device) async throws {
        try state.withLock { state in
            let (room, user) = (device.room, device.user)
            if max(user.count, room.count) > 32 {
                throw WebSocketException(code: 1008, reason: "Name too long")
            }
            let isAccount = state.accounts.contains { $0.username == user }
            if isAccount {
                let claims = try state.archive?.tokens.claims(
                    of: Tokens.token(in: device.socket.request), at: clock.secondsSince1970)
                if claims?.sub != user { throw WebSocketException.accessDenied }
            } else if state.devices.contains(where: { $0.user == user }) {
                throw WebSocketException(code: 4009, reason: "Username taken")
            }
            let history = Array(state.messages.filter { $0.room == room }.suffix(50))
            try [device.socket].broadcastJSON(Event.history(history, room))
            let isKnown = state.users(in: room).contains(user)
            state.devices.append(device)
            let presence = Event.presence(state.users(in: room), room)
            if isKnown { return try [device.socket].broadcastJSON(presence) }
            try state.tell(.joined(user, room), in: room)
            try state.tell(presence, in: room)
        }
    }

    func leave(_ device: Device) async throws {
        try state.withLock { state in
            let (room, user) = (device.room, device.user)
            state.devices.removeAll { $0.socket == device.socket }
            if state.users(in: room).contains(user) { return }
            if let typing = state.typing.removeValue(forKey: Place(room: room, user: user)) {
                typing.task.cancel()
                try state.tell(.stopped(user, room), in: room)
            }
            try state.tell(.left(user, room), in: room)
            try state.tell(.presence(state.users(in: room), room), in: room)
        }
    }

    func hear(_ message: Message, from device: Device) async throws {
        try state.withLock { state in
            let (room, user) = (device.room, device.user)
            try state.rate.spend(by: user, at: clock.now)
            do {
                switch try Command(message) {
                case .ping:
                    [device.socket].broadcast("pong")
                case .say(let text):
                    if text.utf8.count > 4096 { throw Complaint("too long") }
                    // Numbers may be anything that grows.
                    let id = (state.messages.last?.id ?? 40) + 10
                    let event = Event.message(text, id: id, from: user, in: room, at: clock.timestamp)
                    try state.archive?.messages.append(event)
                    state.messages.append(event)
                    state.typing.removeValue(forKey: Place(room: room, user: user))?.task.cancel()
                    try state.tell(event, in: room)
                case .whisper(let name, let text):
                    if text.utf8.count > 4096 { throw Complaint("too long") }
                    guard state.devices.contains(where: { $0.user == name }) else {
                        throw Complaint("there is no \(name)")
                    }
                    let event = Event.privateMessage(text, from: user, to: name, at: clock.timestamp)
                    let readers = state.devices.filter { $0.user == user || $0.user == name }
                    try readers.map(\.socket).broadcastJSON(event)
                case .typing:
                    try type(in: room, user, &state)
                }
            } catch let complaint as Complaint {
                try [device.socket].broadcastJSON(Event.error(complaint.message))
            }
        }
    }

    /// A timer has a number, and counts only as long as it is the latest of its user.
    private func type(in room: String, _ user: String, _ state: inout State) throws {
        let place = Place(room: room, user: user)
        if let earlier = state.typing[place] {
            earlier.task.cancel()
        } else {
            try state.tell(.typing(user, room), in: room, except: user)
        }
        state.timers += 1
        let timer = state.timers
        let deadline = clock.now.advanced(by: .seconds(3))
        let task = Task {
            try await clock.sleep(until: deadline)
            try self.state.withLock { state in
                guard state.typing[place]?.timer == timer else { return }
                state.typing[place] = nil
                try state.tell(.stopped(user, room), in: room, except: user)
            }
        }
        state.typing[place] = (timer, task)
    }

    func identify(_ request: Request) async throws -> String {
        guard let tokens = state.withLock({ $0.archive?.tokens }) else { throw CocoaError(.fileNoSuchFile) }
        return try tokens.claims(of: Tokens.token(in: request), at: clock.secondsSince1970).sub
    }

    func createAccount(_ account: Account) async throws -> String {
        try state.withLock { state in
            let name = account.username
            if name.isEmpty || name.count > 32 { throw Refusal(status: 400, message: "1 to 32 characters") }
            if state.accounts.contains(where: { $0.username == name })
                || state.devices.contains(where: { $0.user == name })
            {
                throw Refusal(status: 409, message: "Username taken")
            }
            guard let archive = state.archive else { throw CocoaError(.fileNoSuchFile) }
            try archive.accounts.append(account)
            state.accounts.append(account)
            return try archive.tokens.sign(Claims(sub: name, exp: clock.secondsSince1970 + 100_000))
        }
    }

    var summary: [RoomSummary] {
        get async {
            state.withLock { state in
                Set(state.devices.map(\.room)).sorted().map {
                    RoomSummary(name: $0, members: state.users(in: $0).count)
                }
            }
        }
    }
}

/// More members than the contract has do no harm.
struct RoomSummary: Encodable {
    let name: String
    let members: Int
    var topic = ""
}
