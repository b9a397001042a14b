#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension WebSocket {
    /// Sends `value` as JSON in a text message, its keys in alphabetical order.
    /// - Throws: `EncodingError` if `value` has no JSON form; ``WebSocketDisconnect`` when the connection is over.
    nonisolated(nonsending) public func sendJSON(_ value: some Encodable) async throws {
        try await send(try Message.json(value))
    }

    /// The next message, which must be text that holds a `Value` in JSON.
    /// - Throws: `DecodingError` if it does not; ``WebSocketError/unexpectedMessage(_:)`` if it is binary;
    ///   ``WebSocketDisconnect`` when the connection is over.
    nonisolated(nonsending)
        public func receiveJSON<Value: Decodable>(as type: Value.Type = Value.self) async throws -> Value
    {
        try JSONDecoder().decode(type, from: Data(try await receiveText().utf8))
    }
}

extension Message {
    /// A text message that holds `value` in JSON, its keys in alphabetical order.
    public static func json(_ value: some Encodable) throws -> Message {
        .text(String(decoding: try JSON.encode(value), as: UTF8.self))
    }
}
