import LevelKit
import WebSocketEngine

/// A server for conformance suites, benchmarks and experiments: `swift run -c release EchoServer --port 9000`.
@main
struct EchoServer {
    static func main() async {
        let options = ServerOptions.parseOrExit(program: "EchoServer")
        await serve(makeApplication(), options, as: "EchoServer")
    }

    static func makeApplication() -> Application {
        let app = Application()
        // Every message comes back as it is.
        app.webSocket("/echo") { socket in
            try await socket.accept()
            for try await message in socket { try await socket.send(message) }
        }
        // Every message goes to everyone connected here, the sender included.
        let audience = Audience()
        app.webSocket("/broadcast") { socket in
            try await socket.accept()
            audience.add(socket)
            defer { audience.remove(socket) }
            for try await message in socket { audience.broadcast(message) }
        }
        return app
    }
}
