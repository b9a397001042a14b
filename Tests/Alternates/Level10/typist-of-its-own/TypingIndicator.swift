import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

// Each connection has an object of its own that knows whether it is typing, and numbers its timers. The rooms know
// nothing of typing; they only send to their members.
@main
public struct TypingIndicator: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let rooms = Rooms()
        app.webSocket("/ws/rooms/{room}/{user}") { socket in
            guard let room = socket.parameters["room"], let user = socket.parameters["user"] else {
                return try await socket.reject(status: 404)
            }
            try await socket.accept()
            let typist = Typist(socket, room, user, rooms, app.clock)
            await typist.join()
            for try await message in socket {
                do {
                    guard case .text(let text) = message else { throw NoCommand() }
                    let command = try JSONDecoder().decode(Command.self, from: Data(text.utf8))
                    switch (command.type, command.message) {
                    case ("typing", _): await typist.key()
                    case ("message", let words?): await typist.say(words)
                    default: throw NoCommand()
                    }
                } catch {
                    try? await socket.sendJSON(["type": "error", "message": "\(error)"])
                }
            }
            await typist.leave()
        }
        return app
    }
}

struct NoCommand: Error {}

struct Command: Decodable {
    var type: String
    var message: String?
}

struct Line: Encodable {
    var message: String?
    var user: String
    var room: String
    var type: String
}

actor Typist {
    private let socket: WebSocket
    private let room: String
    private let user: String
    private let rooms: Rooms
    private let clock: ServerClock
    private var number = 0
    private var isTyping = false
    private var timer: Task<Void, Never>?

    init(_ socket: WebSocket, _ room: String, _ user: String, _ rooms: Rooms, _ clock: ServerClock) {
        (self.socket, self.room, self.user, self.rooms, self.clock) = (socket, room, user, rooms, clock)
    }

    func join() {
        rooms.add(socket, to: room)
        tell("system", "\(user) joined", except: nil)
    }

    func key() {
        if !isTyping { tell("typing", except: socket) }
        isTyping = true
        number += 1
        timer?.cancel()
        let deadline = clock.now.advanced(by: .seconds(3))
        timer = Task { [number, clock] in
            do { try await clock.sleep(until: deadline) } catch { return }
            self.timeIsUp(number)
        }
    }

    private func timeIsUp(_ number: Int) {
        if number == self.number { stop() }
    }

    private func stop() {
        if isTyping { tell("stopped", except: socket) }
        silence()
    }

    private func silence() {
        isTyping = false
        number += 1
        timer?.cancel()
    }

    func say(_ text: String) {
        silence()
        tell("message", text, except: nil)
    }

    func leave() {
        rooms.remove(socket, from: room)
        stop()
        tell("system", "\(user) left", except: nil)
    }

    private func tell(_ type: String, _ text: String? = nil, except: WebSocket?) {
        rooms.tell(Line(message: text, user: user, room: room, type: type), except: except)
    }
}

final class Rooms: Sendable {
    private let sockets = Mutex<[String: [WebSocket]]>([:])

    func add(_ socket: WebSocket, to room: String) {
        sockets.withLock { $0[room, default: []].append(socket) }
    }

    func remove(_ socket: WebSocket, from room: String) {
        sockets.withLock { $0[room]?.removeAll { $0 == socket } }
    }

    func tell(_ line: Line, except: WebSocket?) {
        do {
            try sockets.withLock {
                try $0[line.room, default: []].filter { $0 != except }.broadcastJSON(line)
            }
        } catch {
            print(error)
        }
    }
}
