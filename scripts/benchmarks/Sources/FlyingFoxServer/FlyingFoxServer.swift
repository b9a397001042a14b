import FlyingFox
import Synchronization

// FlyingFox: `FlyingFoxServer PORT`.

/// Echoes every message.
struct Echo: WSMessageHandler {
    func makeMessages(for client: AsyncStream<WSMessage>) async throws -> AsyncStream<WSMessage> { client }
}

/// Sends every message to all that are connected.
final class Broadcast: WSMessageHandler {
    private let members = Mutex<[Int: AsyncStream<WSMessage>.Continuation]>([:])
    private let count = Atomic(0)

    func makeMessages(for client: AsyncStream<WSMessage>) async throws -> AsyncStream<WSMessage> {
        let (messages, continuation) = AsyncStream.makeStream(of: WSMessage.self)
        let member = count.add(1, ordering: .relaxed).newValue
        members.withLock { $0[member] = continuation }
        Task {
            for await message in client {
                members.withLock { for member in $0.values { member.yield(message) } }
            }
            members.withLock { _ = $0.removeValue(forKey: member) }
            continuation.finish()
        }
        return messages
    }
}

@main
struct FlyingFoxServer {
    static func main() async throws {
        let port = UInt16(CommandLine.arguments.last ?? "") ?? 9000
        let server = HTTPServer(address: try .inet(ip4: "127.0.0.1", port: port), logger: .disabled)
        await server.appendRoute("GET /echo", to: .webSocket(Echo()))
        await server.appendRoute("GET /broadcast", to: .webSocket(Broadcast()))
        try await server.run()
    }
}
