/// What a frame is for (RFC 6455 §5.2, §11.8).
package enum Opcode: UInt8, Sendable {
    case continuation = 0x0
    case text = 0x1
    case binary = 0x2
    case close = 0x8
    case ping = 0x9
    case pong = 0xA

    /// Control frames may stand between the fragments of a message (§5.4).
    package var isControl: Bool { rawValue & 0x8 != 0 }
}

/// The part of a frame before its payload (RFC 6455 §5.2).
///
///      0                   1                   2                   3
///      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
///     +-+-+-+-+-------+-+-------------+-------------------------------+
///     |F|R|R|R| opcode|M| Payload len |    Extended payload length    |
///     |I|S|S|S|  (4)  |A|     (7)     |           (16 or 64)          |
///     |N|V|V|V|       |S|             |                               |
///     | |1|2|3|       |K|             |                               |
///     +-+-+-+-+-------+-+-------------+-------------------------------+
///     |        the rest of a 64-bit length, then the masking key      |
///     +---------------------------------------------------------------+
package struct FrameHeader: Sendable, Equatable {
    package var isFinal: Bool
    package var opcode: Opcode
    package var payloadLength: Int
    /// The masking key in the order of the wire, or nil for a frame that is not masked.
    package var maskingKey: UInt32?

    /// Two bytes, eight of extended length, four of masking key.
    static let maximumLength = 14

    package init(opcode: Opcode, payloadLength: Int, maskingKey: UInt32? = nil, isFinal: Bool = true) {
        self.isFinal = isFinal
        self.opcode = opcode
        self.payloadLength = payloadLength
        self.maskingKey = maskingKey
    }

    /// The header at the start of `bytes` and its own length; nil while it is incomplete.
    /// Checks what a header alone can violate, as soon as the byte in question is there.
    @inline(__always)
    static func parse(
        _ bytes: UnsafeRawBufferPointer, masked mustBeMasked: Bool
    ) throws(ProtocolViolation) -> (header: FrameHeader, length: Int)? {
        guard bytes.count >= 1 else { return nil }
        let first = bytes[0]
        // §5.2: no extension was negotiated that gives the reserved bits a meaning.
        if first & 0x70 != 0 { throw ProtocolViolation(.protocolError, "a reserved bit is set (§5.2)") }
        guard let opcode = Opcode(rawValue: first & 0x0F) else {
            throw ProtocolViolation(.protocolError, "opcode \(first & 0x0F) is reserved (§5.2)")
        }
        let isFinal = first & 0x80 != 0
        if opcode.isControl && !isFinal {
            throw ProtocolViolation(.protocolError, "a control frame is fragmented (§5.5)")
        }
        guard bytes.count >= 2 else { return nil }
        let second = bytes[1]
        // §5.1: every frame of a client is masked, and none of a server.
        if (second & 0x80 != 0) != mustBeMasked {
            throw ProtocolViolation(
                .protocolError,
                mustBeMasked ? "a client's frame is not masked (§5.1)" : "a server's frame is masked (§5.1)")
        }
        var length = Int(second & 0x7F)
        if opcode.isControl && length > 125 {
            throw ProtocolViolation(.protocolError, "a control frame is longer than 125 bytes (§5.5)")
        }
        var offset = 2
        if length == 126 {
            guard bytes.count >= 4 else { return nil }
            length = Int(UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
            // §5.2: the minimal number of bytes must be used.
            if length < 126 { throw ProtocolViolation(.protocolError, "a length is not minimal (§5.2)") }
            offset = 4
        } else if length == 127 {
            guard bytes.count >= 10 else { return nil }
            let wide = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt64.self))
            if wide > UInt64(Int64.max) {
                throw ProtocolViolation(.protocolError, "the top bit of a length is set (§5.2)")
            }
            if wide < 65536 { throw ProtocolViolation(.protocolError, "a length is not minimal (§5.2)") }
            length = Int(wide)
            offset = 10
        }
        var header = FrameHeader(opcode: opcode, payloadLength: length, isFinal: isFinal)
        if mustBeMasked {
            guard bytes.count >= offset + 4 else { return nil }
            header.maskingKey = bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
            offset += 4
        }
        return (header, offset)
    }

    /// Appends the header as it stands on the wire.
    @inline(__always)
    func write(to bytes: inout [UInt8]) {
        let mask: UInt8 = maskingKey == nil ? 0 : 0x80
        bytes.append((isFinal ? 0x80 : 0) | opcode.rawValue)
        if payloadLength < 126 {
            bytes.append(mask | UInt8(payloadLength))
        } else if payloadLength < 65536 {
            bytes.append(mask | 126)
            withUnsafeBytes(of: UInt16(payloadLength).bigEndian) { bytes.append(contentsOf: $0) }
        } else {
            bytes.append(mask | 127)
            withUnsafeBytes(of: UInt64(payloadLength).bigEndian) { bytes.append(contentsOf: $0) }
        }
        if let maskingKey { withUnsafeBytes(of: maskingKey) { bytes.append(contentsOf: $0) } }
    }
}

/// A whole frame as bytes, made once and shared by everyone it is sent to.
package struct EncodedFrame: Sendable {
    package var bytes: [UInt8]

    /// A frame of a server (`maskingKey` nil) or of a client.
    package init(
        _ opcode: Opcode, _ payload: some Collection<UInt8>, maskingKey: UInt32? = nil, isFinal: Bool = true
    ) {
        bytes = []
        bytes.reserveCapacity(FrameHeader.maximumLength + payload.count)
        FrameHeader(opcode: opcode, payloadLength: payload.count, maskingKey: maskingKey, isFinal: isFinal)
            .write(to: &bytes)
        let start = bytes.count
        bytes.append(contentsOf: payload)
        if let maskingKey {
            bytes.withUnsafeMutableBytes { mask(.init(rebasing: $0[start...]), with: maskingKey) }
        }
    }

    init(_ message: Message) {
        switch message {
        case .text(let text): self.init(.text, text.utf8)
        case .binary(let bytes): self.init(.binary, bytes)
        }
    }
}
