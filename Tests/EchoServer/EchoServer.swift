import WebSocketEngine
@main struct EchoServer {
    static func main() async throws {
        let app = Application()
        app.webSocket("/echo") { socket in
            try await socket.accept()
            for try await message in socket { try await socket.send(message) }
        }
        let server = try await app.start(port: Int(CommandLine.arguments.last!)!)
        print(server.port)
        while true { try await Task.sleep(for: .seconds(1000)) }
    }
}
