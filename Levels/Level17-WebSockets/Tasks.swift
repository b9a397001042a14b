import Foundation
import LevelKit
import WebSocketEngine

/// The tasks of one client of `/ws/tasks`, each under a number of its own. A task takes a second, and tells how far it is.
actor Tasks {
    private let socket: WebSocket
    private let clock: ServerClock
    private var running: [Int: Task<Void, any Error>] = [:]
    private var lastID = 0

    init(_ socket: WebSocket, _ clock: ServerClock) {
        self.socket = socket
        self.clock = clock
    }

    /// One client's stay: its tasks end with it, whichever way it leaves.
    static func run(_ socket: WebSocket, _ clock: ServerClock) async throws {
        try await socket.accept()
        let tasks = Tasks(socket, clock)
        do {
            for try await message in socket { try await tasks.hear(message) }
        } catch {
            await tasks.cancelAll()
            throw error
        }
        await tasks.cancelAll()
    }

    private func hear(_ message: Message) throws {
        do {
            switch try TaskCommand(message) {
            case .start: try start()
            case .cancel(let id): try cancel(id)
            }
        } catch let complaint as Complaint {
            try tell(TaskEvent(type: .error, message: complaint.message))
        }
    }

    /// 15. Tell that a task has `started`, under the next number. Keep a `Task` that tells the `progress`, 0 at once and
    ///     then 10 more each 100 ms of `clock`, and after the 100 forgets itself and tells that it is `done`. After each
    ///     sleep, ask whether it was cancelled meanwhile.
    private func start() throws {
        throw NotImplemented("start a task that tells its progress")
    }

    /// 16. Cancel a task and tell that it is `cancelled`. One that is not running is a `Complaint`.
    private func cancel(_ id: Int) throws {
        throw NotImplemented("cancel a task, and confirm it")
    }

    /// 17. The client is gone, and nobody waits for its tasks any more.
    private func cancelAll() {
    }

    private func tell(_ event: TaskEvent) throws { try [socket].broadcastJSON(event) }
}

// MARK: - Given

/// What a client of `/ws/tasks` is sent. Members that are nil are left out.
private struct TaskEvent: Encodable {
    enum Kind: String, Encodable { case started, progress, done, cancelled, error }

    let type: Kind
    var task: Int?
    var percent: Int?
    var message: String?
}

/// What a client of `/ws/tasks` may ask for.
private enum TaskCommand {
    case start
    case cancel(Int)

    private struct Members: Decodable {
        enum Action: String, Decodable { case start, cancel }
        var action: Action
        var task: Int?
    }

    init(_ message: Message) throws {
        guard case .text(let text) = message else { throw Complaint("a command is text, not binary") }
        do {
            let members = try JSONDecoder().decode(Members.self, from: Data(text.utf8))
            switch (members.action, members.task) {
            case (.start, _): self = .start
            case (.cancel, let id?): self = .cancel(id)
            case (.cancel, nil): throw Complaint("task is missing")
            }
        } catch let error as DecodingError {
            let key = error.member ?? "a command"
            throw Complaint(
                "\(key) is wrong: send {\"action\":\"start\"} or {\"action\":\"cancel\",\"task\":1}")
        }
    }
}

extension DecodingError {
    /// The member of a JSON object that is missing or wrong; nil if it is the whole.
    fileprivate var member: String? {
        switch self {
        case .keyNotFound(let key, _): key.stringValue
        case .dataCorrupted(let context), .typeMismatch(_, let context), .valueNotFound(_, let context):
            context.codingPath.first?.stringValue
        @unknown default: nil
        }
    }
}
