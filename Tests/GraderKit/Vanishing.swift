import WebSocketEngine

extension Classroom {
    /// A client that is gone before the handler has accepted it: its `accept()` throws ``WebSocketDisconnect``.
    /// The check asks for it with `prepare: { $0.letClientsVanish() }`.
    public func vanish(_ name: String, at path: String) throws {
        transcript.add(name, "asks for \(path) and vanishes before it is accepted")
        try expectRefusal(name, to: path, headers: ["Vanish": "now"])
    }
}

extension Application {
    /// Makes ``Classroom/vanish(_:at:)`` work.
    public func letClientsVanish() {
        use { socket, handler in
            if socket.headers["Vanish"] != nil { try await socket.reject(status: 410) }
            try await handler(socket)
        }
    }
}
