import Foundation
import LevelKit
import WebSocketEngine

/// Level 15 – Backpressure. Read chapter 15 of Course.md first.
///
/// Write a feed whose slow readers cost nobody else anything, and files that are sent no faster than they are read:
///
/// - Who connects to `/feed` is sent `{"type":"subscribed"}`, and from then on every text that is published, in order:
///   `{"type":"message","message":"hi"}`. What a subscriber sends is ignored.
/// - Every text that is sent to `/publish` is published, and then answered with `{"type":"published"}`. No subscriber,
///   however slow, delays this answer or another subscriber.
/// - For each subscriber up to 1,000 messages wait, beside the one that is being sent. If one more comes, the oldest of
///   those that wait is dropped. Before the message that follows on a gap, the subscriber is told how many are missing:
///   `{"type":"dropped","count":7}`.
/// - `GET /subscribers` answers `{"count":2}`. Who has left, in whatever way, is not counted.
/// - `/files/{name}` sends the file of that name in the data directory, as it is, in binary messages of 8,192 bytes, of
///   which the last may be shorter, and closes with 1000. It reads on only when `send` lets it.
/// - A name that no file directly in the data directory has: close 1008 `No such file`. No name leads out of it.
@main
public struct Backpressure: Level {
    public static func makeApplication() -> Application { makeApplication(data: DataDirectory.path) }

    /// The server that sends the files of this directory.
    public static func makeApplication(data directory: String) -> Application {
        let feed = Feed()
        let app = Application()
        app.webSocket("/feed") { socket in
            try await subscribe(socket, to: feed)
        }
        app.webSocket("/publish") { socket in
            try await socket.accept()
            for try await case .text(let text) in socket {
                try await feed.publish(text)
                try await socket.sendJSON(Event(type: .published))
            }
        }
        app.get("/subscribers") { _ in
            try .json(["count": await feed.count])
        }
        app.webSocket("/files/{name}") { socket in
            try await send(file: socket.parameters["name"] ?? "", in: directory, to: socket)
        }
        return app
    }

    /// Called once for every subscriber.
    ///
    /// 4. Accept, join the feed, and only then say so. Then deliver what comes until the client has left, which is
    ///    learned by receiving: two tasks of one group, as in chapter 14. Leave the feed, whichever way this ends, also
    ///    if saying so throws.
    static func subscribe(_ socket: WebSocket, to feed: Feed) async throws {
        // solution
        try await socket.accept()
        let queue = await feed.join()
        do {
            try await socket.sendJSON(Event(type: .subscribed))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await deliver(queue, to: socket) }
                group.addTask { for try await _ in socket {} }
                try await group.next()
                group.cancelAll()
            }
        } catch {
            await feed.leave(queue)
            throw error
        }
        await feed.leave(queue)
        // stub: throw NotImplemented("join the feed, deliver what comes until the client has left, and leave")
        // end
    }

    /// Sends what waits in the queue, at the pace of this reader.
    ///
    /// 3. `for await entry in queue.entries` gives one after the other. Numbers that are missing in between were dropped:
    ///    say how many, then send the entry's message.
    static func deliver(_ queue: Feed.Queue, to socket: WebSocket) async throws {
        // solution
        var last = queue.start
        for await entry in queue.entries {
            let missing = entry.number - last - 1
            if missing > 0 { try await socket.sendJSON(Event(type: .dropped, count: missing)) }
            try await socket.send(entry.message)
            last = entry.number
        }
        // stub: throw NotImplemented("send what waits, and say what was dropped")
        // end
    }

    /// Sends a file in chunks, at the pace of this reader.
    ///
    /// 5. Refuse a name with a `/` or a `\0` in it, one that nothing in the directory has, and that of a directory, such
    ///    as `..`: throw a `WebSocketException` with code 1008. It may be thrown before `accept()`.
    /// 6. Accept. Read 8,192 bytes and send them, and so on until `file.read(upToCount:)` gives none or nil.
    static func send(file name: String, in directory: String, to socket: WebSocket) async throws {
        // solution
        let path = "\(directory)/\(name)"
        var isDirectory: ObjCBool = false
        guard !name.contains("/"), !name.contains("\0"),
            FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory),
            !isDirectory.boolValue, let file = FileHandle(forReadingAtPath: path)
        else { throw WebSocketException(code: .policyViolation, reason: "No such file") }
        try await socket.accept()
        while let chunk = try file.read(upToCount: 8192), !chunk.isEmpty {
            try await socket.send([UInt8](chunk))
        }
        // stub: throw NotImplemented("send the file in chunks of 8,192 bytes")
        // end
    }

    public static var samples: [Sample] {
        [
            .text("Hello, subscribers!", to: "/publish"),
            .text("Is anybody slow?", to: "/publish"),
        ]
    }
}

/// What the server tells its clients, as JSON. Members that are nil are left out.
struct Event: Encodable {
    enum Kind: String, Encodable { case subscribed, message, dropped, published }

    let type: Kind
    var message: String?
    var count: Int?
}

/// What is published, and a queue for each of those who subscribe.
actor Feed {
    /// A published message; numbers go up by one.
    struct Entry: Sendable {
        let number: Int
        let message: Message
    }

    /// What waits for one subscriber.
    struct Queue: Sendable {
        let id: Int
        /// The number of the last entry before this subscriber joined.
        let start: Int
        let entries: AsyncStream<Entry>
    }

    private var lastID = 0
    private var lastNumber = 0
    private var continuations: [Int: AsyncStream<Entry>.Continuation] = [:]

    /// How many subscribe.
    var count: Int { continuations.count }

    /// 1. Make a stream that keeps the newest 1,000 entries:
    ///    `AsyncStream.makeStream(of: Entry.self, bufferingPolicy: …)`. Keep its continuation under a new id.
    func join() -> Queue {
        lastID += 1
        // solution
        let (entries, continuation) = AsyncStream.makeStream(
            of: Entry.self, bufferingPolicy: .bufferingNewest(1000))
        continuations[lastID] = continuation
        // stub: let entries = AsyncStream<Entry> { nil }
        // end
        return Queue(id: lastID, start: lastNumber, entries: entries)
    }

    /// Forgets a subscriber, and all that waits for it.
    func leave(_ queue: Queue) { continuations[queue.id] = nil }

    /// 2. Give the message, with the next number, to each continuation: `yield` never waits.
    func publish(_ text: String) throws {
        // solution
        let message = try Message.json(Event(type: .message, message: text))
        lastNumber += 1
        for continuation in continuations.values {
            continuation.yield(Entry(number: lastNumber, message: message))
        }
        // stub: throw NotImplemented("give the message to every subscriber's queue")
        // end
    }
}
