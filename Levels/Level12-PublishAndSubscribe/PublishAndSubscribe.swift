import Foundation
import LevelKit
import WebSocketEngine

/// Level 12 – Publish and subscribe. Read chapter 12 of Course.md first.
///
/// Write a server that tells clients what others, the server itself, and their own tasks have to say:
///
/// - `POST /publish/{topic}` with any JSON value sends `{"topic":T,"data":VALUE,"timestamp":…}` to each client that is
///   connected to `/updates/{topic}`, and is answered 200 and `{"topic":T,"subscribers":N}`; N may be 0. A body that is
///   not JSON is answered 400 and `{"error":WHY}`; one of more than 64 KiB, 413. Then nobody is sent anything. Nobody
///   waits for a slow client.
/// - A timestamp is the time of the application's clock in UTC, as `2026-01-01T00:00:00Z`.
/// - On `/stream/{data_type}`, for `stocks`, `weather` and `news`, every second comes
///   `{"type":"data","data_type":"stocks","data":{…},"timestamp":…}`; other types are closed with 1008
///   `Invalid data type`. `ping` is answered `{"type":"pong"}`; after `unsubscribe` the server closes with 1000. Three
///   streamers, one for each type, serve all clients. They run from the start of the server to its end.
/// - On `/ws/tasks`, `{"action":"start"}` starts a task of one second: `{"type":"started","task":ID}`, then
///   `{"type":"progress","task":ID,"percent":P}` for 0, 10, … 100, one each 100 ms, then `{"type":"done","task":ID}`.
///   `{"action":"cancel","task":ID}` ends it: `{"type":"cancelled","task":ID}`. Any other command is answered
///   `{"type":"error","message":WHY}`. Tasks end with their connection.
@main
public struct PublishAndSubscribe: Level {
    public static func makeApplication() -> Application {
        let app = Application()
        // A handler that held `app` would be held by it: the two would never be freed. The clock is all they need.
        let clock = app.clock
        // 1. Set `app.limits.bodyBytes`: the engine answers a longer body with 413 by itself.

        let topics = Topics()
        app.webSocket("/updates/{topic}") { socket in
            try await socket.accept()
            try await topics.withSubscription(of: socket, to: socket.parameters["topic"] ?? "") {
                // What a subscriber says is ignored, but must be read: the loop ends when the client is gone.
                for try await _ in socket {}
            }
        }
        app.post("/publish/{topic}") { request in try await publish(request, to: topics, clock) }

        let streams = Topics()
        app.webSocket("/stream/{data_type}") { socket in try await stream(to: socket, from: streams) }
        // 7. Make `Streamers(streams, clock)`. Start them in `app.onStartup { … }`, stop them in
        //    `app.onShutdown { … }`.

        app.webSocket("/ws/tasks") { socket in
            try await socket.accept()
            try await takeOrders(Jobs(for: socket, clock), from: socket)
        }
        return app
    }

    /// Answers `POST /publish/{topic}`.
    ///
    /// 4. Decode the body with `request.json(as: JSONValue.self)`. A `DecodingError` is answered with a `Refusal` and
    ///    status 400. Otherwise publish an `Update`, and answer with a `Receipt`.
    static func publish(_ request: Request, to topics: Topics, _ clock: ServerClock) async throws -> Response
    {
        throw NotImplemented("decode the body, publish it, and answer")
    }

    public static var samples: [Sample] {
        [
            .text("ping", to: "/stream/{data_type}"),
            .text("unsubscribe", to: "/stream/{data_type}"),
            .json(#"{"action":"start"}"#, to: "/ws/tasks"),
            .json(#"{"action":"cancel","task":1}"#, to: "/ws/tasks"),
            .json(#"{"action":"dance"}"#, to: "/ws/tasks"),
        ]
    }
}

/// What subscribers of a topic are sent.
struct Update: Encodable {
    let topic: String
    let data: JSONValue
    let timestamp: String
}

/// What a publisher is answered.
struct Receipt: Encodable {
    let topic: String
    let subscribers: Int
}

/// What a publisher is answered whose body is not JSON.
struct Refusal: Encodable {
    let error: String
}

extension ServerClock {
    /// 2. The time now, in UTC: `secondsSince1970` as a `Date`, which has a method `ISO8601Format()`.
    var timestamp: String {
        ""
    }
}

/// Who listens to what.
actor Topics {
    private var subscribers: [String: Set<WebSocket>] = [:]

    func subscribe(_ socket: WebSocket, to topic: String) {
        subscribers[topic, default: []].insert(socket)
    }

    func unsubscribe(_ socket: WebSocket, from topic: String) {
        subscribers[topic]?.remove(socket)
        if subscribers[topic]?.isEmpty == true { subscribers[topic] = nil }
    }

    /// Subscribes for as long as `conversation` lasts, however it ends.
    nonisolated func withSubscription(
        of socket: WebSocket, to topic: String, _ conversation: () async throws -> Void
    ) async throws {
        await subscribe(socket, to: topic)
        do {
            try await conversation()
        } catch {
            await unsubscribe(socket, from: topic)
            throw error
        }
        await unsubscribe(socket, from: topic)
    }

    /// Sends a message to all subscribers of a topic, and returns how many they are.
    ///
    /// 3. Wait for nobody. A topic without subscribers has 0, and that is no error.
    func publish(_ message: some Encodable & Sendable, to topic: String) throws -> Int {
        throw NotImplemented("send to all subscribers, and count them")
    }
}
