import Foundation
import Synchronization
import WebSocketEngine

final class Table: Sendable {
    private let socket: WebSocket
    private let clock: ServerClock
    private let tasks = Mutex<[Int: Task<Void, any Error>]>([:])
    private let last = Atomic(0)

    init(_ socket: WebSocket, _ clock: ServerClock) {
        self.socket = socket
        self.clock = clock
    }

    func clear() { tasks.withLock { for task in $0.values { task.cancel() } } }

    private func tell(_ text: String) { [socket].broadcast(text) }

    func obey(_ message: Message) async throws {
        guard case .text(let text) = message,
            let order = (try? JSONSerialization.jsonObject(with: Data(text.utf8))) as? [String: Any]
        else { return tell(#"{"type":"error","message":"an action in JSON, please"}"#) }
        switch order["action"] as? String {
        case "start": start()
        case "cancel":
            guard let id = order["task"] as? Int, let task = tasks.withLock({ $0.removeValue(forKey: id) })
            else {
                return tell(#"{"type":"error","message":"there is no such task"}"#)
            }
            task.cancel()
            _ = await task.result
            tell(#"{"type":"cancelled","task":\#(id)}"#)
        default: tell(#"{"type":"error","message":"an unknown action"}"#)
        }
    }

    private func start() {
        let id = last.add(1, ordering: .relaxed).newValue
        tell(#"{"type":"started","task":\#(id)}"#)
        tell(#"{"type":"progress","task":\#(id),"percent":0}"#)
        tasks.withLock { tasks in
            tasks[id] = Task.detached { [self] in
                let begin = clock.now
                for step in 1...10 {
                    try await clock.sleep(until: begin.advanced(by: .milliseconds(100 * step)))
                    tell(#"{"type":"progress","task":\#(id),"percent":\#(10 * step)}"#)
                }
                if self.tasks.withLock({ $0.removeValue(forKey: id) }) != nil {
                    tell(#"{"type":"done","task":\#(id)}"#)
                }
            }
        }
    }
}
