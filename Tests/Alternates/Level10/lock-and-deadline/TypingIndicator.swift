import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

// A class with a lock instead of an actor. A timer is never replaced: it looks, when it wakes, whether the time has
// moved on, and sleeps again. JSON is read and written without Codable, with a key more than asked for.
@main
public struct TypingIndicator: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let house = House(clock: app.clock)
        app.webSocket("/ws/rooms/{room}/{user}") { socket in
            let (room, user) = (socket.parameters["room"] ?? "", socket.parameters["user"] ?? "")
            try await socket.accept()
            house.enter(socket, user, room)
            defer { house.exit(socket) }
            while true {
                let message = try await socket.receive()
                guard case .text(let text) = message, let command = Self.command(in: text) else {
                    try await socket.send(#"{"message":"what?","type":"error"}"#)
                    continue
                }
                if let words = command { house.say(words, socket) } else { house.key(socket) }
            }
        }
        return app
    }

    /// The text of a message, nil for a key, and nothing at all for what is no command.
    static func command(in text: String) -> String?? {
        do {
            guard let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
            else { return nil }
            switch object["type"] as? String {
            case "typing": return .some(nil)
            case "message": return (object["message"] as? String).map { .some($0) }
            default: return nil
            }
        } catch {
            return nil
        }
    }
}

final class House: Sendable {
    private struct Guest {
        let socket: WebSocket
        let user: String
        let room: String
        var silentFrom: ServerClock.Instant?
        var timer: Task<Void, any Error>?
    }

    private let clock: ServerClock
    private let guests = Mutex<[Guest]>([])

    init(clock: ServerClock) { self.clock = clock }

    func enter(_ socket: WebSocket, _ user: String, _ room: String) {
        guests.withLock {
            $0.append(Guest(socket: socket, user: user, room: room))
            Self.tell("system", "\(user) joined", by: $0[$0.count - 1], $0)
        }
    }

    func key(_ socket: WebSocket) {
        guests.withLock { guests in
            guard let index = guests.firstIndex(where: { $0.socket == socket }) else { return }
            let wasSilent = guests[index].silentFrom == nil
            guests[index].silentFrom = clock.now.advanced(by: .seconds(3))
            if !wasSilent { return }
            Self.tell("typing", by: guests[index], guests.filter { $0.socket != socket })
            guests[index].timer = Task.detached { try await self.watch(socket) }
        }
    }

    private func watch(_ socket: WebSocket) async throws {
        while let deadline = deadline(of: socket) { try await clock.sleep(until: deadline) }
    }

    /// When to look again; nil once the guest is silent, which the others have been told then.
    private func deadline(of socket: WebSocket) -> ServerClock.Instant? {
        guests.withLock { guests in
            guard !Task.isCancelled, let index = guests.firstIndex(where: { $0.socket == socket }),
                let deadline = guests[index].silentFrom
            else { return nil }
            if clock.now < deadline { return deadline }
            guests[index].silentFrom = nil
            Self.tell("stopped", by: guests[index], guests.filter { $0.socket != socket })
            return nil
        }
    }

    func say(_ text: String, _ socket: WebSocket) {
        guests.withLock { guests in
            guard let index = guests.firstIndex(where: { $0.socket == socket }) else { return }
            guests[index].silentFrom = nil
            guests[index].timer?.cancel()
            Self.tell("message", text, by: guests[index], guests)
        }
    }

    func exit(_ socket: WebSocket) {
        guests.withLock { guests in
            guard let index = guests.firstIndex(where: { $0.socket == socket }) else { return }
            let guest = guests.remove(at: index)
            guest.timer?.cancel()
            if guest.silentFrom != nil { Self.tell("stopped", by: guest, guests) }
            Self.tell("system", "\(guest.user) left", by: guest, guests)
        }
    }

    private static func tell(_ type: String, _ text: String = "", by guest: Guest, _ all: [Guest]) {
        let event = ["type": type, "room": guest.room, "user": guest.user, "message": text]
        do {
            try all.filter { $0.room == guest.room }.map(\.socket).broadcastJSON(event)
        } catch {
            print("untold: \(error)")
        }
    }
}
