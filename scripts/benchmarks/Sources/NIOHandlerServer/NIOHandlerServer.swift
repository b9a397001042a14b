import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket

// SwiftNIO with channel handlers: `NIOHandlerServer PORT`. One event loop, written the way NIO is at its fastest:
// everything stays on the loop, and what one read brought is flushed once.

/// Echoes every message.
final class EchoHandler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        if let answer = answer(to: frame) { context.write(wrapOutboundOut(answer), promise: nil) }
    }

    func channelReadComplete(context: ChannelHandlerContext) { context.flush() }
}

/// Sends every message to all that are connected. Lives on the one event loop.
final class BroadcastHandler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundOut = WebSocketFrame

    /// Those connected, shared by their handlers.
    final class Audience { var members: [ObjectIdentifier: any Channel] = [:] }

    private let audience: Audience

    init(audience: Audience) { self.audience = audience }

    func handlerAdded(context: ChannelHandlerContext) {
        audience.members[ObjectIdentifier(context.channel)] = context.channel
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        audience.members[ObjectIdentifier(context.channel)] = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        guard let answer = answer(to: frame) else { return }
        if answer.opcode.isControlOpcode {
            context.write(wrapOutboundOut(answer), promise: nil)
        } else {
            for member in audience.members.values { member.write(answer, promise: nil) }
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        for member in audience.members.values { member.flush() }
    }
}

/// The frame to send for one that came: data as it is, Pong for Ping, Close for Close.
func answer(to frame: WebSocketFrame) -> WebSocketFrame? {
    switch frame.opcode {
    case .text, .binary, .continuation:
        WebSocketFrame(fin: frame.fin, opcode: frame.opcode, data: frame.unmaskedData)
    case .ping: WebSocketFrame(fin: true, opcode: .pong, data: frame.unmaskedData)
    case .connectionClose: WebSocketFrame(fin: true, opcode: .connectionClose, data: frame.unmaskedData)
    default: nil
    }
}

@main
struct NIOHandlerServer {
    static func main() async throws {
        let port = Int(CommandLine.arguments.last ?? "") ?? 9000
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let audience = NIOLoopBoundBox.makeBoxSendingValue(
            BroadcastHandler.Audience(), eventLoop: group.next())
        let upgrader = NIOWebSocketServerUpgrader(
            maxFrameSize: 1 << 20,
            shouldUpgrade: { channel, _ in channel.eventLoop.makeSucceededFuture(HTTPHeaders()) },
            upgradePipelineHandler: { channel, head in
                channel.eventLoop.makeCompletedFuture {
                    if head.uri == "/broadcast" {
                        try channel.pipeline.syncOperations.addHandler(
                            BroadcastHandler(audience: audience.value))
                    } else {
                        try channel.pipeline.syncOperations.addHandler(EchoHandler())
                    }
                }
            })
        let server = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.pipeline.configureHTTPServerPipeline(
                    withServerUpgrade: (upgraders: [upgrader], completionHandler: { _ in }))
            }
            .bind(host: "127.0.0.1", port: port).get()
        try await server.closeFuture.get()
    }
}
