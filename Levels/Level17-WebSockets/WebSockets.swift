import Foundation
import LevelKit
import WebSocketEngine

/// Level 17 – WebSockets, the final exam. Read chapter 17 of Course.md first: it holds the contract.
///
/// One server with everything that the levels before it taught. What the server is made of, and who writes it:
///
/// | File              | Holds                                                      | From level | Yours  |
/// |-------------------|------------------------------------------------------------|------------|--------|
/// | WebSockets.swift  | which path leads where, and what stands around all of it   | 01–07, 13  | step 1 |
/// | Limits.swift      | how many clients, how many messages                        | 02, 13     | 2–4    |
/// | Heartbeat.swift   | pings, and the end of dead connections                     | 14         | 5      |
/// | Commands.swift    | what a client's text asks for                              | 05, 08, 10 | 6      |
/// | Chat.swift        | people, their devices, their rooms                         | 04, 08–11  | 7–14   |
/// | Tasks.swift       | work that reports how far it is                            | 12         | 15–17  |
/// | Events.swift      | everything that the chat sends                             | 04, 08–11  | given  |
/// | Journal.swift     | append-only files                                          | 09         | given  |
/// | Tokens.swift      | JSON Web Tokens                                            | 06         | given  |
/// | Accounts.swift    | who has an account, and the data directory                 | 06, 09     | given  |
/// | Echo.swift, Clients.swift, Channels.swift | `/ws`, `/ws/{client_id}`, `/ws/json` | 01, 03, 05 | given  |
@main
public struct WebSockets: Level {
    public static var title: String { "WebSockets" }

    /// The room for more clients than by default, such as for a load test, comes from the environment.
    public static func makeApplication() -> Application {
        let capacity = ProcessInfo.processInfo.environment["CAPACITY"].flatMap { Int($0) }
        return makeApplication(data: DataDirectory.path, capacity: capacity ?? 1000)
    }

    /// The server with its files in this directory and room for so many WebSockets. A restart is a second call.
    public static func makeApplication(data directory: String, capacity: Int) -> Application {
        let app = Application()
        // A handler that held `app` would be held by it: the two would never be freed. The clock is all they need.
        let clock = app.clock
        let visitors = Visitors(capacity: capacity)
        let chat = Chat(directory: directory, clock: clock)
        // The application has a heartbeat of its own. A history of the longest messages is no sign of a slow reader.
        app.limits.pingInterval = nil
        app.limits.broadcastHighWater = 2 << 20
        app.use { socket, handler in
            try visitors.enter()
            defer { visitors.leave() }
            async let _ = Heartbeat.keep(socket, clock)
            try await handler(socket)
            // Here the heartbeat is cancelled and waited for, as also when the handler throws.
        }

        app.get("/") { _ in .html(try Page.chat()) }
        app.get("/rooms") { _ in try .json(await chat.summary) }

        // 1. Open the chat when the server starts: `app.onStartup { try await chat.open() }`. Outside of it, below,
        //    give each path of the contract its handler: `app.webSocket`, `app.get`, `app.post`. The functions are all
        //    there: `echo`, `Tasks.run`, `greet` and `converse`, the method `welcome` of one `Clients()` and of one
        //    `Channels()`, `createAccount` for the accounts, and `visitors.count` for `GET /stats`.
        app.onStartup {
            throw NotImplemented("replace this by chat.open(), and give each path its handler below")
        }
        return app
    }

    public static var samples: [Sample] {
        let chat = "/ws/chat/{room}/{username}"
        return [
            .text("Hello, room!", to: chat),
            .json(#"{"type":"message","message":"Hello in JSON!"}"#, to: chat),
            .json(#"{"type":"typing"}"#, to: chat),
            .text("/pm bob Just between us.", to: chat),
            .text("ping", to: chat),
            .text("Hello!", to: "/ws"),
            .text("Hello, everyone!", to: "/ws/{client_id}"),
            .json(#"{"action":"subscribe","channel":"news"}"#, to: "/ws/json"),
            .json(#"{"action":"send","channel":"news","message":"Rain at noon"}"#, to: "/ws/json"),
            .json(#"{"action":"start"}"#, to: "/ws/tasks"),
            .text("Hello, it is me!", to: "/ws/auth"),
        ]
    }
}

extension WebSockets {
    /// One device's stay in a room of the chat.
    static func converse(_ socket: WebSocket, _ chat: Chat) async throws {
        let device = Device(socket)
        try await socket.accept()
        try await chat.join(device)
        do {
            for try await message in socket { try await chat.hear(message, from: device) }
        } catch {
            try await chat.leave(device)
            throw error
        }
        try await chat.leave(device)
    }

    /// `/ws/auth`, from level 06: the conversation with somebody whose token is valid.
    static func greet(_ socket: WebSocket, _ chat: Chat) async throws {
        let user = try await chat.identify(socket.request)
        try await socket.accept()
        try await socket.sendJSON(["type": "welcome", "user_id": user])
        for try await case .text(let text) in socket {
            try await socket.sendJSON(["user_id": user, "message": text])
        }
    }

    /// `POST /accounts`: `{"username":"ana"}` is answered with a token, which is what proves from now on who ana is.
    static func createAccount(_ request: Request, _ chat: Chat) async throws -> Response {
        do {
            let account: Account = try request.json()
            let token = try await chat.createAccount(account)
            return try .json(["username": account.username, "token": token], status: 201)
        } catch is DecodingError {
            return try .json(["error": "The body must be JSON such as {\"username\":\"ana\"}"], status: 400)
        } catch let refusal as Refusal {
            return try .json(["error": refusal.message], status: refusal.status)
        }
    }
}
