/// An incremental check for UTF-8 (RFC 3629), as RFC 6455 §8.1 asks of text and close reasons.
///
/// Text arrives in pieces that may end inside a character. The validator takes them as they come and refuses at the
/// first byte that cannot be right, so that bad text is answered (1007) before the rest of it is awaited.
///
/// It is a finite automaton over Unicode's table 3-7. A state is a bit offset; each byte has a 64-bit row in which the
/// six bits at the state's offset are the next state. One step is one load and one shift, without a branch, so that
/// text in any script costs the same.
struct UTF8Validator: Sendable {
    private enum State: UInt64, CaseIterable {
        // The value 0 makes rejection the default of every row, and final.
        case rejected = 0
        case complete = 6
        /// One, two or three continuation bytes are due.
        case needsOne = 12
        case needsTwo = 18
        case needsThree = 24
        /// After these lead bytes the second byte has a range of its own: it excludes overlong forms (E0, F0),
        /// surrogates (ED) and what lies beyond U+10FFFF (F4).
        case afterE0 = 30
        case afterED = 36
        case afterF0 = 42
        case afterF4 = 48
    }

    /// For each byte, the next state at the offset of each state.
    private static let rows: [UInt64] = {
        var rows = [UInt64](repeating: 0, count: 256)
        func allow(_ bytes: ClosedRange<UInt8>, in state: State, then next: State) {
            for byte in bytes { rows[Int(byte)] |= next.rawValue << state.rawValue }
        }
        allow(0x00...0x7F, in: .complete, then: .complete)
        allow(0xC2...0xDF, in: .complete, then: .needsOne)
        allow(0xE0...0xE0, in: .complete, then: .afterE0)
        allow(0xE1...0xEC, in: .complete, then: .needsTwo)
        allow(0xED...0xED, in: .complete, then: .afterED)
        allow(0xEE...0xEF, in: .complete, then: .needsTwo)
        allow(0xF0...0xF0, in: .complete, then: .afterF0)
        allow(0xF1...0xF3, in: .complete, then: .needsThree)
        allow(0xF4...0xF4, in: .complete, then: .afterF4)

        allow(0xA0...0xBF, in: .afterE0, then: .needsOne)
        allow(0x80...0x9F, in: .afterED, then: .needsOne)
        allow(0x90...0xBF, in: .afterF0, then: .needsTwo)
        allow(0x80...0x8F, in: .afterF4, then: .needsTwo)
        allow(0x80...0xBF, in: .needsThree, then: .needsTwo)
        allow(0x80...0xBF, in: .needsTwo, then: .needsOne)
        allow(0x80...0xBF, in: .needsOne, then: .complete)
        return rows
    }()

    /// The offset of the current state in its low six bits; the bits above are left over from the last row.
    private var state = State.complete.rawValue

    init() {}

    /// Whether the bytes so far end with a whole character.
    var isComplete: Bool { state & 63 == State.complete.rawValue }

    /// Takes the next bytes of the text.
    ///
    /// - Returns: False as soon as the bytes so far cannot be the beginning of valid UTF-8, and ever after.
    mutating func consume(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var offset = 0
        while bytes.count - offset >= 16 {
            if isComplete, bytes.isASCII16(at: offset) {
                offset += 16
            } else {
                step(through: bytes, from: offset, to: offset + 16)
                if state & 63 == State.rejected.rawValue { return false }
                offset += 16
            }
        }
        step(through: bytes, from: offset, to: bytes.count)
        return state & 63 != State.rejected.rawValue
    }

    @inline(__always)
    private mutating func step(through bytes: UnsafeRawBufferPointer, from start: Int, to end: Int) {
        Self.rows.withUnsafeBufferPointer { rows in
            // `&>>` uses the low six bits of its right side alone, which are the state.
            for offset in start..<end { state = rows[Int(bytes[offset])] &>> state }
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Whether the 16 bytes at an offset are all below 0x80.
    @inline(__always)
    fileprivate func isASCII16(at offset: Int) -> Bool {
        let first = loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        let second = loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)
        return (first | second) & 0x8080_8080_8080_8080 == 0
    }
}
