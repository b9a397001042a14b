import LevelKit
import WebSocketEngine

// One flat list of all devices; whether a change is news is seen by comparing the users before and after it.
@main
public struct Presence: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let house = House()
        app.webSocket("/ws/rooms/{room}/{user}") { socket in
            guard let room = socket.parameters["room"], let user = socket.parameters["user"] else {
                return try await socket.reject(status: 404)
            }
            try await socket.accept()
            let device = Device(socket: socket, room: room, user: user)
            try await house.change(device) { $0.append(device) }
            while true {
                do {
                    guard case .text(let text) = try await socket.receive() else { continue }
                    try await house.say(text, device)
                } catch {
                    try await house.change(device) { $0.removeAll { $0.socket == socket } }
                    throw error
                }
            }
        }
        app.get("/rooms/{room}") { request in
            try Response.json(await house.present(in: request.parameters["room"] ?? ""))
        }
        return app
    }
}

struct Device: Sendable {
    let socket: WebSocket
    let room: String
    let user: String
}

struct Line: Encodable {
    var users: [String]?
    var message: String?
    var user: String?
    var room: String
    var type: String
}

struct Present: Encodable {
    var devices = 0
    let user: String
}

actor House {
    private var devices: [Device] = []

    func change(_ device: Device, _ work: @Sendable (inout [Device]) -> Void) throws {
        let before = users(in: device.room)
        work(&devices)
        let after = users(in: device.room)
        let line = Line(users: after, room: device.room, type: "presence")
        for other in devices where other.room == device.room {
            if before != after || other.socket == device.socket { try [other.socket].broadcastJSON(line) }
        }
    }

    func say(_ text: String, _ device: Device) throws {
        try devices.filter { $0.room == device.room }.map(\.socket)
            .broadcastJSON(Line(message: text, user: device.user, room: device.room, type: "message"))
    }

    func present(in room: String) -> [Present] {
        users(in: room).map { user in
            Present(devices: devices.filter { $0.room == room && $0.user == user }.count, user: user)
        }
    }

    private func users(in room: String) -> [String] {
        Set(devices.filter { $0.room == room }.map(\.user)).sorted()
    }
}
