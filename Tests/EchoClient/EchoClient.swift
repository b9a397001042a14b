import Foundation
import WebSocketEngine

/// Echoes what others' servers send.
///
///     EchoClient cases ws://HOST:PORT           every case of a conformance suite that listens there
///     EchoClient once URL [SUBPROTOCOL…]        one connection, and prints how it ended
///     EchoClient crowd PORT                     thousands of connections, moved by the standard input
@main
struct EchoClient {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        if arguments.first == "crowd", let port = arguments.dropFirst().first.flatMap({ Int($0) }) {
            var crowd = Crowd(port: port)
            return crowd.obey()
        }
        // On the connection's own thread an answer is ready before the next frame is looked at.
        let loop = try EventLoop()
        try await Task(executorPreference: loop) {
            switch (arguments.first, arguments.dropFirst().first) {
            case ("cases", let suite?): try await echoCases(of: suite, on: loop)
            case ("once", let url?):
                try await echoOnce(url, offering: Array(arguments.dropFirst(2)), on: loop)
            default:
                print(
                    "Usage: EchoClient cases ws://HOST:PORT | EchoClient once URL [SUBPROTOCOL…] | "
                        + "EchoClient crowd PORT")
                exit(2)
            }
        }.value
    }

    private static func echoCases(of suite: String, on loop: EventLoop) async throws {
        var limits = Limits()
        limits.messageBytes = 16 << 20
        limits.messageFragments = limits.messageBytes / 64
        let counter = try await WebSocketClient.connect(to: "\(suite)/getCaseCount", on: loop)
        let count = Int(try await counter.receiveText()) ?? 0
        for number in stride(from: 1, through: count, by: 1) {
            let url = "\(suite)/runCase?case=\(number)&agent=WebSocketEngine"
            let socket = try await WebSocketClient.connect(to: url, limits: limits, on: loop)
            do {
                for try await message in socket { try await socket.send(message) }
            } catch is WebSocketDisconnect {
                // The suite ended the case while an answer was on its way.
            }
        }
    }

    /// Until the peer closes, or asks by a text such as `close 4000 bye` for being closed that way.
    private static func echoOnce(_ url: String, offering: [String], on loop: EventLoop) async throws {
        let socket = try await WebSocketClient.connect(to: url, subprotocols: offering, on: loop)
        print("subprotocol \(socket.subprotocol ?? "none")")
        for try await message in socket {
            if case .text(let text) = message, text.hasPrefix("close ") {
                let words = text.split(separator: " ", maxSplits: 2).map(String.init)
                let code = words.dropFirst().first.flatMap { UInt16($0) } ?? 1000
                try await socket.close(
                    code: CloseCode(rawValue: code), reason: words.dropFirst(2).first ?? "")
            } else {
                try await socket.send(message)
            }
        }
        await socket.waitUntilClosed()
        print("closed \(socket.disconnect.map { "\($0.code) \($0.reason)" } ?? "not at all")")
    }
}
