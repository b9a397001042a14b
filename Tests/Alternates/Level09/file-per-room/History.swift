// Different: a lock instead of an actor; a file for each room, its name in hexadecimal, read when the room is first
// entered; a torn line stays in the file and is closed with a line break; members more in every JSON.
import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

@main
public struct History: Level {
    public static func makeApplication() -> Application { makeApplication(data: DataDirectory.path) }

    public static func makeApplication(data directory: String) -> Application {
        let rooms = Rooms(directory)
        let app = Application()
        app.webSocket("/ws/rooms/{room}/{user}") { socket in
            guard let room = socket.parameters["room"], let user = socket.parameters["user"] else { return }
            try await socket.accept()
            let id = try rooms.enter(room, user, socket)
            defer { rooms.leave(room, user, id) }
            while true {
                guard case .text(let text) = try await socket.receive() else { continue }
                try rooms.say(text, in: room, by: user)
            }
        }
        return app
    }
}

final class Rooms: Sendable {
    private struct Room {
        var file: FileHandle
        var messages: [[String: String]] = []
        var members: [(id: Int, socket: WebSocket)] = []
    }
    private struct State {
        var rooms: [String: Room] = [:]
        var lastID = 0
    }

    private let directory: URL
    private let state = Mutex(State())

    init(_ directory: String) { self.directory = URL(fileURLWithPath: directory, isDirectory: true) }

    func enter(_ name: String, _ user: String, _ socket: WebSocket) throws -> Int {
        try state.withLock { state in
            var room = try state.rooms[name] ?? open(name)
            let history: [String: Any] = [
                "type": "history", "room": name, "messages": room.messages, "count": room.messages.count,
            ]
            [socket].broadcast(try json(history))
            state.lastID += 1
            room.members.append((state.lastID, socket))
            room.members.map(\.socket).broadcast(
                try json(["type": "system", "room": name, "user": user, "message": user + " joined", "v": 1]))
            state.rooms[name] = room
            return state.lastID
        }
    }

    func leave(_ name: String, _ user: String, _ id: Int) {
        state.withLock { state in
            state.rooms[name]?.members.removeAll { $0.id == id }
            let notice = ["type": "system", "room": name, "user": user, "message": user + " left"]
            guard let text = try? json(notice) else { return }
            state.rooms[name]?.members.map(\.socket).broadcast(text)
        }
    }

    func say(_ text: String, in name: String, by user: String) throws {
        try state.withLock { state in
            guard var room = state.rooms[name] else { return }
            let message = ["type": "message", "room": name, "user": user, "message": text, "at": "\(Date())"]
            let line = try json(message)
            try room.file.write(contentsOf: Data((line + "\n").utf8))
            room.messages = (room.messages + [message]).suffix(50)
            state.rooms[name] = room
            room.members.map(\.socket).broadcast(line)
        }
    }

    private func open(_ name: String) throws -> Room {
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let file = directory.appendingPathComponent(
            "room-" + name.utf8.map { String($0, radix: 16) + "." }.joined())
        let bytes = (try? Data(contentsOf: file)) ?? Data()
        if bytes.isEmpty { try bytes.write(to: file) }
        var room = Room(file: try FileHandle(forWritingTo: file))
        try room.file.seekToEnd()
        if let last = bytes.last, last != 10 { try room.file.write(contentsOf: Data([10])) }
        for line in bytes.split(separator: 10) {
            if let message = try? JSONDecoder().decode([String: String].self, from: line) {
                room.messages.append(message)
            } else {
                FileHandle.standardError.write(
                    Data("warning: a line of \(file.lastPathComponent) is torn\n".utf8))
            }
        }
        room.messages = room.messages.suffix(50)
        return room
    }

    private func json(_ value: Any) throws -> String {
        String(decoding: try JSONSerialization.data(withJSONObject: value), as: UTF8.self)
    }
}
