import Foundation
import LevelKit
import WebSocketEngine

/// A server for conformance suites, benchmarks and experiments: `swift run -c release EchoServer --port 9000`.
///
/// Takes the options of every level's server, and `--message-bytes N`: the longest message, if not 1 MiB.
@main
struct EchoServer {
    static func main() async {
        var arguments = Array(CommandLine.arguments.dropFirst())
        let app = makeApplication()
        if let bytes = takeMessageBytes(from: &arguments) {
            app.limits.messageBytes = bytes
            // So that a long message may come in small pieces, as conformance suites send it.
            app.limits.messageFragments = max(app.limits.messageFragments, bytes / 64)
        }
        let options = ServerOptions.parseOrExit(program: "EchoServer", arguments)
        await serve(app, options, as: "EchoServer")
    }

    static func makeApplication() -> Application {
        let app = Application()
        // Every message comes back as it is. Of the subprotocols on offer the client's favourite is taken.
        app.webSocket("/echo") { socket in
            try await socket.accept(subprotocol: socket.offeredSubprotocols.first)
            for try await message in socket { try await socket.send(message) }
        }
        // Every message goes to everyone connected to the same room, the sender included.
        let audiences = Audiences()
        for path in ["/broadcast", "/broadcast/{room}"] {
            app.webSocket(path) { socket in
                try await socket.accept()
                let audience = audiences.of(socket.parameters["room"] ?? "")
                audience.add(socket)
                defer { audience.remove(socket) }
                for try await message in socket { audience.broadcast(message) }
            }
        }
        // Closes as the client wishes: /close?code=4000&reason=bye.
        app.webSocket("/close") { socket in
            let code = socket.query["code"].flatMap { UInt16($0) } ?? 1000
            try await socket.close(code: CloseCode(rawValue: code), reason: socket.query["reason"] ?? "")
        }
        // A page of this server's own origin, from which a browser may connect.
        app.get("/") { _ in .html("<!doctype html><title>EchoServer</title>") }
        return app
    }

    /// The value of `--message-bytes`, which is taken out of the arguments.
    private static func takeMessageBytes(from arguments: inout [String]) -> Int? {
        guard let place = arguments.firstIndex(of: "--message-bytes") else { return nil }
        let value = arguments[(place + 1)...].first
        guard let bytes = value.flatMap({ Int($0) }), bytes > 0 else {
            FileHandle.standardError.write(Data("EchoServer: --message-bytes needs a number above 0.\n".utf8))
            exit(2)
        }
        arguments.removeSubrange(place...(place + 1))
        return bytes
    }
}
