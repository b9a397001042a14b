import LevelKit
import WebSocketEngine

// One flat list of everyone, from which rooms are worked out when asked for; messages sent one by one, so that the
// actor's methods wait; the leave in a task group's end instead of a catch.
@main
public struct Rooms: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        let everyone = Everyone()
        app.webSocket("/ws/rooms/{room}/{user}") { socket in
            guard let room = socket.parameters["room"], let user = socket.parameters["user"] else {
                return try await socket.reject(status: 404)
            }
            try await socket.accept()
            await everyone.enter(Person(socket: socket, room: room, name: user))
            let result = await outcome {
                for try await message in socket {
                    if case .text(let text) = message { await everyone.say(text, socket) }
                }
            }
            await everyone.exit(socket)
            try result.get()
        }
        app.get("/rooms") { _ in try Response.json(await everyone.rooms()) }
        return app
    }

    static func outcome(_ work: () async throws -> Void) async -> Result<Void, any Error> {
        do { return .success(try await work()) } catch { return .failure(error) }
    }
}

struct Person {
    var socket: WebSocket
    var room: String
    var name: String
}

struct Line: Encodable {
    var message: String
    var user: String
    var room: String
    var type = "message"
}

actor Everyone {
    struct Room: Encodable {
        var name: String
        var members = 0
    }

    private var people: [Person] = []

    func enter(_ person: Person) async {
        people.append(person)
        await send(
            Line(message: "\(person.name) joined", user: person.name, room: person.room, type: "system"))
    }

    func exit(_ socket: WebSocket) async {
        guard let index = people.firstIndex(where: { $0.socket == socket }) else { return }
        let person = people.remove(at: index)
        await send(Line(message: person.name + " left", user: person.name, room: person.room, type: "system"))
    }

    func say(_ text: String, _ socket: WebSocket) async {
        guard let person = people.first(where: { $0.socket == socket }) else { return }
        await send(Line(message: text, user: person.name, room: person.room))
    }

    func rooms() -> [Room] {
        var rooms: [Room] = []
        for person in people.sorted(by: { $0.room < $1.room }) {
            if rooms.last?.name != person.room { rooms.append(Room(name: person.room)) }
            rooms[rooms.count - 1].members += 1
        }
        return rooms
    }

    private func send(_ line: Line) async {
        for person in people where person.room == line.room {
            do { try await person.socket.sendJSON(line) } catch { continue }
        }
    }
}
