import Foundation
import LevelKit
import WebSocketEngine

/// The tasks of one connection, each under a number of its own.
actor Jobs {
    private let socket: WebSocket
    private let clock: ServerClock
    private var running: [Int: Task<Void, any Error>] = [:]
    private var lastID = 0

    init(for socket: WebSocket, _ clock: ServerClock) {
        self.socket = socket
        self.clock = clock
    }

    /// Starts a task under the next number.
    ///
    /// 9. Send `.started`. Then keep a `Task` in `running`. It sends the progress: 0 at once, and ten more each
    ///    100 ms of the clock. In the end it takes itself out of `running` and sends `.done`.
    func start() async throws {
        // solution
        lastID += 1
        let id = lastID
        try await socket.sendJSON(JobEvent(type: .started, task: id))
        running[id] = Task { try await self.run(id) }
        // stub: throw NotImplemented("start a task that sends its progress")
        // end
    }
    // solution

    private func run(_ id: Int) async throws {
        for percent in stride(from: 0, through: 100, by: 10) {
            if percent > 0 { try await clock.sleep(for: .milliseconds(100)) }
            try await socket.sendJSON(JobEvent(type: .progress, task: id, percent: percent))
        }
        // Whoever takes it out tells of its end: a task that is being cancelled does not say "done" too.
        guard running.removeValue(forKey: id) != nil else { return }
        try await socket.sendJSON(JobEvent(type: .done, task: id))
    }
    // end

    /// Ends a task before its time. Throws a `Complaint` if there is no such task, or none any more.
    ///
    /// 10. Take it out of `running`, cancel it, and wait until it has ended. Only then send `.cancelled`.
    func cancel(_ id: Int) async throws {
        // solution
        guard let task = running.removeValue(forKey: id) else {
            throw Complaint(message: "task \(id) is not running")
        }
        task.cancel()
        // How it ended does not matter: it was told to.
        _ = await task.result
        try await socket.sendJSON(JobEvent(type: .cancelled, task: id))
        // stub: throw NotImplemented("cancel a task, wait for its end, and confirm")
        // end
    }

    /// Ends all tasks; nobody is there to be told.
    ///
    /// 11. Cancel them all, and wait until they have ended.
    func cancelAll() async {
        // solution
        let tasks = running.values
        running = [:]
        for task in tasks { task.cancel() }
        for task in tasks { _ = await task.result }
        // end
    }
}

extension PublishAndSubscribe {
    /// Called once for every client of `/ws/tasks`, which is open.
    ///
    /// 12. Parse each message as a `Command` and carry it out. A `Complaint` becomes an event of type `.error`, and the
    ///     loop goes on. However the loop ends, cancel all tasks then.
    static func takeOrders(_ jobs: Jobs, from socket: WebSocket) async throws {
        // solution
        do {
            for try await message in socket {
                do {
                    switch try Command.parse(message) {
                    case .start: try await jobs.start()
                    case .cancel(let id): try await jobs.cancel(id)
                    }
                } catch let complaint as Complaint {
                    try await socket.sendJSON(JobEvent(type: .error, message: complaint.message))
                }
            }
        } catch {
            await jobs.cancelAll()
            throw error
        }
        await jobs.cancelAll()
        // stub: throw NotImplemented("carry out commands, and cancel all tasks in the end")
        // end
    }
}

/// What a client of `/ws/tasks` is sent. Members that are nil are left out.
struct JobEvent: Encodable {
    enum Kind: String, Encodable { case started, progress, done, cancelled, error }

    let type: Kind
    var task: Int?
    var percent: Int?
    var message: String?
}

/// What a client asks for and cannot have. It is told so, and stays.
struct Complaint: Error {
    let message: String
}

/// What a client of `/ws/tasks` may ask for.
enum Command {
    case start
    case cancel(Int)

    /// Throws a `Complaint` that names the fault.
    static func parse(_ message: Message) throws -> Command {
        guard case .text(let text) = message else {
            throw Complaint(message: "a command is text, not binary")
        }
        let value: JSONValue
        do {
            value = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
        } catch let error as DecodingError {
            throw Complaint(message: "a command is JSON: \(error.reason)")
        }
        guard case .object(let members) = value else {
            throw Complaint(message: "a command is a JSON object, such as {\"action\":\"start\"}")
        }
        switch members["action"] {
        case .string("start"): return .start
        case .string("cancel"):
            guard case .int(let id) = members["task"] else {
                throw Complaint(message: "task must be the number of a task")
            }
            return .cancel(id)
        default: throw Complaint(message: "action must be start or cancel")
        }
    }
}
