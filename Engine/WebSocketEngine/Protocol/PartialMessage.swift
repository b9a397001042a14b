/// A message that arrives in pieces: fragments (RFC 6455 §5.4), or one frame over several reads.
struct PartialMessage: Sendable {
    /// The payload so far. While ``isSizedForFrame``, it has its final size already and is filled from the front.
    private(set) var bytes: [UInt8] = []
    private(set) var fragments = 0
    private(set) var isSizedForFrame = false
    private var isText = false
    private var utf8 = UTF8Validator()

    var isInProgress: Bool { fragments > 0 }

    mutating func beginFrame(_ header: FrameHeader) {
        if fragments == 0 { isText = header.opcode == .text }
        fragments += 1
        guard header.isFinal, fragments == 1, header.payloadLength >= SendQueue.largePayload else { return }
        // A large message in one frame: its array is made once and filled in place. The memory is not touched
        // before bytes arrive, so announcing a length costs a peer's victim address space only.
        bytes = [UInt8](unsafeUninitializedCapacity: header.payloadLength) { _, count in
            count = header.payloadLength
        }
        isSizedForFrame = true
        filled = 0
    }

    private var filled = 0

    /// Adds unmasked payload bytes, checking text as it arrives: an invalid byte is refused before the rest of
    /// its frame is there.
    mutating func append(_ piece: UnsafeRawBufferPointer) throws(ProtocolViolation) {
        try check(piece)
        guard isSizedForFrame else { return bytes.append(contentsOf: piece) }
        let start = filled
        bytes.withUnsafeMutableBytes { $0[start...].copyBytes(from: piece) }
        filled += piece.count
    }

    /// Lets `read` fill the array from `offset` on, then unmasks and checks what it read. Returns how much that was.
    mutating func fill(
        _ header: FrameHeader, from offset: Int, _ read: (UnsafeMutableRawBufferPointer) -> Int
    ) throws(ProtocolViolation) -> Int {
        let isText = isText
        var validator = utf8
        let (count, isValid) = bytes.withUnsafeMutableBytes { all in
            let rest = UnsafeMutableRawBufferPointer(rebasing: all[offset...])
            let count = max(0, read(rest))
            let piece = UnsafeMutableRawBufferPointer(rebasing: rest[..<count])
            if let key = header.maskingKey { mask(piece, with: key, offset: offset) }
            return (count, !isText || validator.consume(.init(piece)))
        }
        utf8 = validator
        filled += count
        if !isValid { throw .invalidText }
        return count
    }

    /// The whole message; this value is ready for the next one then.
    mutating func finish() throws(ProtocolViolation) -> Message {
        defer { self = PartialMessage() }
        guard isText else { return .binary(bytes) }
        // §8.1: the text as a whole is UTF-8; a character may be split between fragments but not left unfinished.
        if !utf8.isComplete { throw .invalidText }
        return .text(String(decoding: bytes, as: UTF8.self))
    }

    private mutating func check(_ piece: UnsafeRawBufferPointer) throws(ProtocolViolation) {
        if isText, !utf8.consume(piece) { throw .invalidText }
    }
}

extension ProtocolViolation {
    static var invalidText: ProtocolViolation { .init(.invalidPayload, "a text message is not UTF-8 (§8.1)") }
}
