import WebSocketEngine

extension Classroom {
    /// A client that is gone before the handler has accepted it: its `accept()` throws ``WebSocketDisconnect``.
    /// The check asks for it with `prepare: { $0.letClientsVanish() }`.
    public func vanish(_ name: String, at path: String) throws {
        transcript.add(name, "asks for \(path) and vanishes before it is accepted")
        try expectRefusal(name, to: path, headers: ["Vanish": "now"])
    }

    /// Many clients, one after the other, who leave as soon as they have asked: behind each handshake the server finds a
    /// Close frame and the end of TCP. Nobody waits for an answer.
    public func passBy(_ count: Int, at path: String) throws {
        transcript.add("\(count) visitors", "connect to \(path) and leave at once")
        for number in 1...count {
            let handshake = try dial("Visitor \(number)", path)
            handshake.wire.send(handshake.request + [0x88, 0x80, 0, 0, 0, 0])
            handshake.wire.end()
        }
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
