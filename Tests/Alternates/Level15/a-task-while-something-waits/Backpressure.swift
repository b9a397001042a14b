import Foundation
import LevelKit
import WebSocketEngine

/// A subscriber with its queue. A task sends as long as something waits, and there is none while nothing does.
actor Subscriber {
    private let socket: WebSocket
    private var queue: [Message] = []
    private var dropped = 0
    private var isSending = false

    init(_ socket: WebSocket) { self.socket = socket }

    func offer(_ message: Message) {
        queue.append(message)
        if queue.count > 1000 {
            queue.removeFirst(queue.count - 1000)
            dropped += 1
        }
        guard !isSending else { return }
        isSending = true
        Task { await drain() }
    }

    private func drain() async {
        do {
            while !queue.isEmpty {
                // A report of its own turn: what is dropped while it is sent is reported before the next message.
                if dropped > 0 {
                    let count = dropped
                    dropped = 0
                    try await socket.send("{\"count\":\(count),\"type\":\"dropped\"}")
                } else {
                    try await socket.send(queue.removeFirst())
                }
            }
        } catch {
            // The connection is over; its handler ends, too.
            queue = []
        }
        isSending = false
    }
}

actor Feed {
    private var subscribers: [ObjectIdentifier: Subscriber] = [:]
    private var lastPublication: Task<Void, Never>?

    var count: Int { subscribers.count }

    func add(_ subscriber: Subscriber) { subscribers[ObjectIdentifier(subscriber)] = subscriber }
    func remove(_ subscriber: Subscriber) { subscribers[ObjectIdentifier(subscriber)] = nil }

    /// One publication after the other, so that all see the same order.
    func publish(_ text: String) async throws {
        let message = try Message.json(["type": "message", "message": text])
        let before = lastPublication
        let receivers = Array(subscribers.values)
        let task = Task {
            await before?.value
            for subscriber in receivers { await subscriber.offer(message) }
        }
        lastPublication = task
        await task.value
    }
}

@main
public struct Backpressure: Level {
    public static func makeApplication() -> Application { makeApplication(data: DataDirectory.path) }

    public static func makeApplication(data directory: String) -> Application {
        let feed = Feed()
        let app = Application()
        app.webSocket("/feed") { socket in
            try await socket.accept()
            let subscriber = Subscriber(socket)
            await feed.add(subscriber)
            do {
                try await socket.sendJSON(["type": "subscribed"])
                while true { _ = try await socket.receive() }
            } catch {
                await feed.remove(subscriber)
                throw error
            }
        }
        app.webSocket("/publish") { socket in
            try await socket.accept()
            for try await case .text(let text) in socket {
                try await feed.publish(text)
                try await socket.sendJSON(["type": "published"])
            }
        }
        app.get("/subscribers") { _ in .text("{\"count\": \(await feed.count)}") }
        app.webSocket("/files/{name}") { socket in
            try await stream(socket.parameters["name"] ?? "", directory, socket)
        }
        return app
    }

    static func stream(_ name: String, _ directory: String, _ socket: WebSocket) async throws {
        let url = URL(fileURLWithPath: directory)
        let refusal = WebSocketException(code: 1008, reason: "No such file")
        if name.contains(where: { $0 == "/" || $0 == "\0" }) || name == "." || name == ".." { throw refusal }
        let descriptor = open(url.appendingPathComponent(name).path, O_RDONLY | O_NONBLOCK)
        if descriptor < 0 { throw refusal }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { throw refusal }
        try await socket.accept()
        var buffer = [UInt8](repeating: 0, count: 8192)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0 { throw POSIXError(.EIO) }
            if count == 0 { return }
            try await socket.send(Array(buffer[..<count]))
        }
    }
}
