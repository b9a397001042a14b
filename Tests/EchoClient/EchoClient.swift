import WebSocketEngine

/// Echoes what a conformance suite sends, case after case: `EchoClient ws://127.0.0.1:PORT COUNT`.
@main
struct EchoClient {
    static func main() async throws {
        guard CommandLine.arguments.count == 3, let count = Int(CommandLine.arguments[2]) else {
            print("Usage: EchoClient ws://HOST:PORT COUNT")
            return
        }
        let suite = CommandLine.arguments[1]
        // On the connection's own thread an answer is ready before the next frame is looked at.
        let loop = try EventLoop()
        try await Task(executorPreference: loop) {
            for number in 1...count {
                try await echo("\(suite)/runCase?case=\(number)&agent=WebSocketEngine", on: loop)
            }
            try await echo("\(suite)/updateReports?agent=WebSocketEngine", on: loop)
        }.value
    }

    private static func echo(_ url: String, on loop: EventLoop) async throws {
        var limits = Limits()
        limits.messageBytes = 32 << 20
        let socket = try await WebSocketClient.connect(to: url, limits: limits, on: loop)
        do {
            for try await message in socket { try await socket.send(message) }
        } catch is WebSocketDisconnect {
            // The suite ended the case while an answer was on its way.
        }
    }
}
