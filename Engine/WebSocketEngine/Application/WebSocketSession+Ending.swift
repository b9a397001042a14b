/// The ways in which a connection ends, and who is told.
extension WebSocketSession {
    /// Begins the closing handshake. Messages that wait for no task any more are forgotten.
    func close(_ code: CloseCode, _ reason: String) {
        if state == .connecting { try? accept(subprotocol: nil, headers: Headers()) }
        guard state == .open, wire.close(code, reason) else { return }
        end(WebSocketDisconnect(code: code, reason: reason), state: .closing)
        inbox = Inbox()
        connection?.flushLater()
        loop.runSoon { self.resumeReading() }
        // §7.1.1: a peer that does not answer is not waited for without end.
        timer = loop.schedule(after: limits.closeTimeout) { self.connection?.close() }
    }

    /// Closes an open WebSocket with 1001, and refuses one whose handshake is not answered yet.
    func shutDown() {
        if state == .connecting {
            let response = try? Response.text("The server is shutting down.\n", status: 503).encoded()
            try? reject(response ?? [])
        } else {
            close(.goingAway, "Server is shutting down")
        }
    }

    /// Cuts the connection without a Close frame.
    func abort() {
        lose("the connection was cut")
        connection?.close()
    }

    func lose(_ reason: String) { end(WebSocketDisconnect(code: .abnormalClosure, reason: reason)) }

    /// Tells everyone who waits that the connection is over. The first reason counts.
    func end(_ disconnect: WebSocketDisconnect, state newState: WebSocket.State = .closed) {
        if state == .closed { return }
        state = newState
        loop.cancel(timer)
        timer = nil
        let reason = self.disconnect ?? disconnect
        self.disconnect = reason
        publicState.withLock {
            $0.state = newState
            $0.disconnect = reason
        }
        if inbox.isEmpty || newState == .closing {
            receiver?.continuation.resume(throwing: reason)
            receiver = nil
        }
        let waiting = senders
        senders = []
        for sender in waiting { sender.continuation.resume(throwing: reason) }
    }

    /// Calls `action` when the socket is closed, at once if it is.
    func onClosed(_ action: @escaping () -> Void) {
        if connection == nil { action() } else { whenClosed.append(action) }
    }
}
