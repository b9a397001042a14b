import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Synchronization

// SwiftNIO with NIOAsyncChannel, one task for each connection: `NIOAsyncServer PORT`. One event loop.

typealias Socket = NIOAsyncChannel<WebSocketFrame, WebSocketFrame>
typealias Writer = NIOAsyncChannelOutboundWriter<WebSocketFrame>

/// Those connected at `/broadcast`.
final class Audience: Sendable {
    private let writers = Mutex<[ObjectIdentifier: Writer]>([:])

    func add(_ writer: Writer, of channel: any Channel) {
        writers.withLock { $0[ObjectIdentifier(channel)] = writer }
    }

    func remove(_ channel: any Channel) {
        writers.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(channel)) }
    }

    func send(_ frame: WebSocketFrame) async {
        // One that is gone must not keep the message from the others.
        for writer in writers.withLock({ Array($0.values) }) { try? await writer.write(frame) }
    }
}

/// What a connection becomes.
enum Upgrade {
    case socket(Socket, uri: String)
    case none
}

@main
struct NIOAsyncServer {
    static let audience = Audience()

    static func main() async throws {
        let port = Int(CommandLine.arguments.last ?? "") ?? 9000
        let server: NIOAsyncChannel<EventLoopFuture<Upgrade>, Never> = try await ServerBootstrap(
            group: MultiThreadedEventLoopGroup(numberOfThreads: 1)
        )
        .serverChannelOption(.backlog, value: 1024)
        .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
        .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
        .bind(host: "127.0.0.1", port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                let upgrader = NIOTypedWebSocketServerUpgrader<Upgrade>(
                    maxFrameSize: 1 << 20,
                    shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture(HTTPHeaders()) },
                    upgradePipelineHandler: { channel, head in
                        channel.eventLoop.makeCompletedFuture {
                            Upgrade.socket(try Socket(wrappingChannelSynchronously: channel), uri: head.uri)
                        }
                    })
                return try channel.pipeline.syncOperations.configureUpgradableHTTPServerPipeline(
                    configuration: .init(
                        upgradeConfiguration: .init(
                            upgraders: [upgrader],
                            notUpgradingCompletionHandler: { channel in
                                channel.close().map { Upgrade.none }
                            })))
            }
        }
        try await withThrowingDiscardingTaskGroup { group in
            try await server.executeThenClose { connections in
                for try await connection in connections {
                    group.addTask { await serve(connection) }
                }
            }
        }
    }

    /// One connection from its handshake to its end; how it ends does not matter here.
    static func serve(_ connection: EventLoopFuture<Upgrade>) async {
        guard case .socket(let socket, let uri)? = try? await connection.get() else { return }
        try? await socket.executeThenClose { inbound, outbound in
            if uri == "/broadcast" { audience.add(outbound, of: socket.channel) }
            defer { if uri == "/broadcast" { audience.remove(socket.channel) } }
            for try await frame in inbound {
                switch frame.opcode {
                case .text, .binary, .continuation:
                    let answer = WebSocketFrame(
                        fin: frame.fin, opcode: frame.opcode, data: frame.unmaskedData)
                    if uri == "/broadcast" {
                        await audience.send(answer)
                    } else {
                        try await outbound.write(answer)
                    }
                case .ping:
                    try await outbound.write(
                        WebSocketFrame(fin: true, opcode: .pong, data: frame.unmaskedData))
                case .connectionClose:
                    try await outbound.write(
                        WebSocketFrame(fin: true, opcode: .connectionClose, data: frame.unmaskedData))
                    return
                default: break
                }
            }
        }
    }
}
