import WebSocketEngine

// Given, from level 03. There is nothing to change here.

/// `/ws/{client_id}`: clients known by their numbers, of whom everyone hears everyone.
actor Clients {
    private var sockets: [Int: WebSocket] = [:]
    private var reserved: Set<Int> = []

    /// One client's stay.
    nonisolated func welcome(_ socket: WebSocket) async throws {
        guard let id = socket.parameters["client_id"].flatMap({ Int($0) }) else {
            return try await socket.reject(status: 400, "The id of a client is an integer.\n")
        }
        guard await reserve(id) else {
            return try await socket.reject(status: 409, "Client \(id) is connected already.\n")
        }
        do {
            try await socket.accept()
            await join(id, socket)
            for try await case .text(let text) in socket { await hear(text, from: id) }
        } catch {
            await leave(id)
            throw error
        }
        await leave(id)
    }

    private func reserve(_ id: Int) -> Bool {
        guard sockets[id] == nil else { return false }
        return reserved.insert(id).inserted
    }

    private func join(_ id: Int, _ socket: WebSocket) {
        reserved.remove(id)
        sockets[id] = socket
        sockets.values.broadcast("Client \(id) joined")
    }

    private func leave(_ id: Int) {
        reserved.remove(id)
        guard sockets.removeValue(forKey: id) != nil else { return }
        sockets.values.broadcast("Client \(id) left")
    }

    /// A text is for all, or after `/to ID` for one.
    private func hear(_ text: String, from id: Int) {
        guard text == "/to" || text.hasPrefix("/to ") else {
            return sockets.values.broadcast("Client \(id): \(text)")
        }
        let parts = text.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false)
        if parts.count == 3, let recipient = Int(parts[1]), !parts[2].isEmpty {
            if let socket = sockets[recipient] {
                [socket].broadcast("Client \(id) (only you): \(parts[2])")
            } else {
                tell(id, "Client \(recipient) is not here")
            }
        } else {
            tell(id, "Usage: /to ID MESSAGE")
        }
    }

    private func tell(_ id: Int, _ text: String) {
        if let socket = sockets[id] { [socket].broadcast(text) }
    }
}
