// Different: the file holds records, each with its length and a checksum before it, and is read before the handlers are
// described; every client has a queue that a task of its own empties, and the history goes through it too.
import Foundation
import LevelKit
import WebSocketEngine

@main
public struct History: Level {
    public static func makeApplication() -> Application { makeApplication(data: DataDirectory.path) }

    public static func makeApplication(data directory: String) -> Application {
        let app = Application()
        let house: House
        do {
            house = House(try Records(in: directory))
        } catch {
            app.onStartup { throw error }
            return app
        }
        app.webSocket("/ws/rooms/{room}/{user}") { socket in
            try await socket.accept()
            let place = Place(
                room: socket.parameters["room", default: ""], user: socket.parameters["user", default: ""])
            let (outbox, key) = try await house.enter(place)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { for await text in outbox { try await socket.send(text) } }
                do {
                    for try await message in socket {
                        if case .text(let text) = message { try await house.say(text, at: place) }
                    }
                } catch {}
                try await house.leave(place, key)
                group.cancelAll()
            }
        }
        return app
    }
}

struct Place: Sendable {
    let room, user: String
}

struct Entry: Codable, Sendable {
    var message: String
    var room: String
    var type: String
    var user: String
}

actor House {
    private var records: Records
    private var past: [String: ArraySlice<Entry>] = [:]
    private var guests: [String: [UUID: AsyncStream<String>.Continuation]] = [:]

    init(_ records: sending Records) {
        self.records = records
        for entry in records.entries {
            past[entry.room] = (past[entry.room, default: []] + [entry]).suffix(50)
        }
    }

    func enter(_ place: Place) throws -> (AsyncStream<String>, UUID) {
        struct Past: Encodable {
            let messages: [Entry]
            let room: String
            let type = "history"
        }
        let (stream, continuation) = AsyncStream.makeStream(of: String.self)
        let key = UUID()
        continuation.yield(try text(Past(messages: Array(past[place.room] ?? []), room: place.room)))
        guests[place.room, default: [:]][key] = continuation
        try tell(Entry(message: "\(place.user) joined", room: place.room, type: "system", user: place.user))
        return (stream, key)
    }

    func leave(_ place: Place, _ key: UUID) throws {
        guests[place.room]?.removeValue(forKey: key)?.finish()
        try tell(Entry(message: "\(place.user) left", room: place.room, type: "system", user: place.user))
    }

    func say(_ message: String, at place: Place) throws {
        let entry = Entry(message: message, room: place.room, type: "message", user: place.user)
        try records.add(entry)
        past[place.room] = (past[place.room, default: []] + [entry]).suffix(50)
        try tell(entry)
    }

    private func tell(_ entry: Entry) throws {
        let text = try text(entry)
        for guest in guests[entry.room, default: [:]].values { guest.yield(text) }
    }

    private func text(_ value: some Encodable) throws -> String {
        String(decoding: try JSONEncoder().encode(value), as: UTF8.self)
    }
}

/// length (4 bytes), sum of the payload's bytes (4 bytes), payload.
struct Records {
    private let file: FileHandle
    private(set) var entries: [Entry] = []

    init(in directory: String) throws {
        let folder = URL(fileURLWithPath: directory)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let log = folder.appendingPathComponent("log.bin")
        if !FileManager.default.fileExists(atPath: log.path) {
            FileManager.default.createFile(atPath: log.path, contents: nil)
        }
        file = try FileHandle(forUpdating: log)
        let bytes = [UInt8](try file.readToEnd() ?? Data())
        var position = 0
        while position + 8 <= bytes.count {
            let length = Self.number(bytes[position..<position + 4])
            let sum = Self.number(bytes[position + 4..<position + 8])
            guard position + 8 + length <= bytes.count else { break }
            let payload = bytes[position + 8..<position + 8 + length]
            guard payload.reduce(0, { $0 + Int($1) }) == sum else { break }
            entries.append(try JSONDecoder().decode(Entry.self, from: Data(payload)))
            position += 8 + length
        }
        if position < bytes.count {
            FileHandle.standardError.write(Data("\(bytes.count - position) torn bytes at the end\n".utf8))
            try file.truncate(atOffset: UInt64(position))
        }
    }

    mutating func add(_ entry: Entry) throws {
        let payload = [UInt8](try JSONEncoder().encode(entry))
        let sum = payload.reduce(0) { $0 + Int($1) }
        try file.write(contentsOf: Data(Self.bytes(payload.count) + Self.bytes(sum) + payload))
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }
    private static func bytes(_ number: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(number >> $0 & 0xFF) } }
}
