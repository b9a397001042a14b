extension Sequence<WebSocket> {
    /// Sends one message to all of them, encoded once. Needs no `await`: nobody waits for a slow reader.
    ///
    /// Sockets that are not open are passed over, so that one dead client does not stop the others from hearing. One
    /// that has more than ``Limits/broadcastHighWater`` unsent is dropped. From any task or thread.
    public func broadcast(_ message: Message) {
        let frame = EncodedFrame(message)
        var elsewhere: [ObjectIdentifier: [WebSocketSession]] = [:]
        for socket in self {
            let session = socket.session
            if session.loop.isCurrent {
                session.loop.catchUp()
                session.broadcast(frame, message)
            } else {
                elsewhere[ObjectIdentifier(session.loop), default: []].append(session)
            }
        }
        for sessions in elsewhere.values {
            sessions.first?.loop.execute {
                for session in sessions { session.broadcast(frame, message) }
            }
        }
    }

    /// Sends one text message to all of them; see ``broadcast(_:)-(Message)``.
    public func broadcast(_ text: String) { broadcast(.text(text)) }

    /// Sends `value` as JSON in a text message to all of them; see ``broadcast(_:)-(Message)``.
    /// - Throws: `EncodingError` if `value` has no JSON form; then nobody is sent anything.
    public func broadcastJSON(_ value: some Encodable) throws { broadcast(try Message.json(value)) }
}
