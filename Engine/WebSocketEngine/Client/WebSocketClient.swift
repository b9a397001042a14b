import Dispatch
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Opens WebSockets to servers.
///
///     let socket = try await WebSocketClient.connect(to: "ws://localhost:8000/ws")
///     try await socket.send("Hello")
///     for try await message in socket { print(message) }
public enum WebSocketClient {
    /// Connects and performs the opening handshake (RFC 6455 §4.1). From any task.
    /// - Parameters:
    ///   - url: `ws://host:port/path?query`. For `wss://`, put a TLS proxy in front: this engine has no TLS.
    ///   - headers: Further header fields, such as Authorization.
    ///   - subprotocols: What the client offers, its favourite first: words such as `chat.v1`, each once.
    ///   - limits: What the server may make this side hold, and how long it may take.
    ///   - loop: The event loop that the connection shall live on; without one, a loop that all clients share.
    /// - Returns: The open WebSocket. It is closed with 1001 when the last reference to it is gone.
    /// - Throws: ``WebSocketError/cannotConnect(_:)``, ``WebSocketError/refused(status:_:)`` or
    ///   ``WebSocketError/invalidURL(_:)`` with what went wrong; ``WebSocketError/invalidHandshake(_:)`` for a
    ///   header or a subprotocol that cannot be sent; ``SystemError`` if there are no resources;
    ///   `CancellationError` if the task is cancelled before the WebSocket is open.
    public static func connect(
        to url: String, headers: Headers = Headers(), subprotocols: [String] = [], limits: Limits = Limits(),
        on loop: EventLoop? = nil
    ) async throws -> WebSocket {
        let target = try Target(url)
        if let name = headers.firstUnsendable(besides: Handshake.fields) {
            throw WebSocketError.invalidHandshake("header \(name)")
        }
        if let fault = Handshake.firstUnsendable(of: subprotocols) {
            throw WebSocketError.invalidHandshake("subprotocol \(fault)")
        }
        let loop = try loop ?? sharedLoop()
        let addresses = try await resolve(target)
        var failure: any Error = WebSocketError.cannotConnect("\(target.host) has no address")
        for address in addresses {
            do {
                let handshake = ClientHandshake(target, headers, subprotocols, limits, on: loop)
                return try await withTaskCancellationHandler {
                    try await withUnsafeThrowingContinuation { continuation in
                        loop.execute { handshake.start(address, continuation) }
                    }
                } onCancel: {
                    loop.execute { handshake.cancel() }
                }
            } catch let error as WebSocketError {
                // A server that refuses has been found: no other address has a better answer.
                if case .refused = error { throw error }
                failure = error
            }
        }
        throw failure
    }

    /// Where a URL leads.
    struct Target: Sendable {
        var host: String
        var port: Int
        /// Path and query, as they stand in the request.
        var resource: String

        init(_ url: String) throws(WebSocketError) {
            guard let parts = URLComponents(string: url), let host = parts.host, !host.isEmpty else {
                throw .invalidURL("\(url) is not a URL such as ws://localhost:8000/ws")
            }
            // The host is percent-decoded, and becomes a line of the request.
            if host.unicodeScalars.contains(where: {
                $0 <= " " || $0 == "\u{7F}" || "/?#@\\".unicodeScalars.contains($0)
            }) {
                throw .invalidURL("\(url) has a host that is no name and no address")
            }
            switch parts.scheme?.lowercased() {
            case "ws": break
            case "wss":
                throw .invalidURL("wss:// needs TLS, which this engine leaves to a proxy: use ws://")
            default: throw .invalidURL("\(url) does not begin with ws://")
            }
            // The brackets of an IPv6 address belong to the URL, not to the address.
            self.host = host.hasPrefix("[") ? String(host.dropFirst().dropLast()) : host
            port = parts.port ?? 80
            resource =
                (parts.percentEncodedPath.isEmpty ? "/" : parts.percentEncodedPath)
                + (parts.percentEncodedQuery.map { "?\($0)" } ?? "")
        }

        /// The value of the header Host.
        var authority: String { (host.contains(":") ? "[\(host)]" : host) + ":\(port)" }
    }

    /// The system's resolver blocks, so it gets a thread that may.
    private static func resolve(_ target: Target) async throws -> [ResolvedAddress] {
        try await withUnsafeThrowingContinuation { continuation in
            DispatchQueue.global().async {
                do throws(SystemError) {
                    continuation.resume(returning: try Socket.resolve(target.host, port: target.port))
                } catch {
                    continuation.resume(throwing: WebSocketError.cannotConnect(error.description))
                }
            }
        }
    }

    private static let shared = Mutex<EventLoop?>(nil)

    private static func sharedLoop() throws(SystemError) -> EventLoop {
        try shared.withLock { loop throws(SystemError) in
            if let loop { return loop }
            let new = try EventLoop()
            loop = new
            return new
        }
    }
}
