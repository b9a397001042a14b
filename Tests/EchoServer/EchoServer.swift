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
        return app
    }
}
