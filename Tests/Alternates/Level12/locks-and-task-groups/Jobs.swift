import Foundation
import Synchronization
import WebSocketEngine

/// Tasks that nobody has taken off yet. Whoever takes one off decides how it ends.
final class Board: Sendable {
    private let open = Mutex<[Int: AsyncStream<Void>.Continuation]>([:])

    func put(_ id: Int, _ signal: AsyncStream<Void>.Continuation) { open.withLock { $0[id] = signal } }
    func take(_ id: Int) -> AsyncStream<Void>.Continuation? { open.withLock { $0.removeValue(forKey: id) } }
}

extension PublishAndSubscribe {
    static func converse(_ socket: WebSocket, _ clock: ServerClock) async throws {
        let board = Board()
        try await withThrowingDiscardingTaskGroup { group in
            // However the loop ends, the children end with it.
            defer { group.cancelAll() }
            var next = 700
            for try await message in socket {
                guard case .text(let text) = message,
                    case .object(let fields)? = try? JSONDecoder().decode(
                        JSONValue.self, from: Data(text.utf8))
                else {
                    try await socket.sendJSON(["type": "error", "message": "?"])
                    continue
                }
                switch (fields["action"], fields["task"]) {
                case (.string("start"), _):
                    next += 7
                    let id = next
                    let (signal, continuation) = AsyncStream.makeStream(of: Void.self)
                    board.put(id, continuation)
                    try await tell(socket, "started", id)
                    group.addTask { await work(id, socket, clock, board, signal) }
                case (.string("cancel"), .int(let id)):
                    if let continuation = board.take(id) {
                        continuation.finish()
                    } else {
                        try await socket.sendJSON(["type": "error", "message": "no task \(id)"])
                    }
                case (.string("cancel"), _):
                    try await socket.sendJSON(["type": "error", "message": "which task?"])
                default:
                    try await socket.sendJSON(["type": "error", "message": "this action is unknown"])
                }
            }
        }
    }

    /// The steps race against the signal to end.
    private static func work(
        _ id: Int, _ socket: WebSocket, _ clock: ServerClock, _ board: Board, _ signal: AsyncStream<Void>
    ) async {
        await withTaskGroup { race in
            race.addTask {
                do {
                    for step in 0...10 {
                        if step > 0 { try await clock.sleep(for: .milliseconds(100)) }
                        try await tell(socket, "progress", id, step * 10)
                    }
                } catch {}
            }
            race.addTask { for await _ in signal {} }
            await race.next()
            race.cancelAll()
        }
        if Task.isCancelled { return }
        do {
            try await tell(socket, board.take(id) == nil ? "cancelled" : "done", id)
        } catch {}
    }

    private static func tell(_ socket: WebSocket, _ type: String, _ id: Int, _ percent: Int? = nil)
        async throws
    {
        var event: [String: JSONValue] = ["type": .string(type), "task": .int(id), "by": .string("a group")]
        if let percent { event["percent"] = .int(percent) }
        try await socket.sendJSON(event)
    }
}
