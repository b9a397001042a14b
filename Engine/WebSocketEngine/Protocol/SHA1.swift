/// SHA-1 (FIPS 180-4 §6.1), for `Sec-WebSocket-Accept` alone.
///
/// SHA-1 is broken as a signature, and nothing relies on it here: RFC 6455 §4.2.2 uses it to show that the server read
/// the handshake, with no secret involved (§10.8). Use ``SHA256`` for everything else.
enum SHA1 {
    /// The digest of a message: 20 bytes.
    static func hash(_ message: [UInt8]) -> [UInt8] {
        var a: UInt32 = 0x6745_2301
        var b: UInt32 = 0xEFCD_AB89
        var c: UInt32 = 0x98BA_DCFE
        var d: UInt32 = 0x1032_5476
        var e: UInt32 = 0xC3D2_E1F0

        paddedToBlocks(message).withUnsafeBytes { padded in
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 80) { schedule in
                for block in stride(from: 0, to: padded.count, by: 64) {
                    for t in 0..<16 {
                        schedule[t] = padded.bigEndianWord(at: block + 4 * t)
                    }
                    for t in 16..<80 {
                        schedule[t] =
                            (schedule[t - 3] ^ schedule[t - 8] ^ schedule[t - 14] ^ schedule[t - 16])
                            .rotatedLeft(by: 1)
                    }
                    let before = (a, b, c, d, e)
                    for t in 0..<80 {
                        let mixed: UInt32
                        switch t {
                        case ..<20: mixed = ((b & c) | (~b & d)) &+ 0x5A82_7999
                        case ..<40: mixed = (b ^ c ^ d) &+ 0x6ED9_EBA1
                        case ..<60: mixed = ((b & c) | (b & d) | (c & d)) &+ 0x8F1B_BCDC
                        default: mixed = (b ^ c ^ d) &+ 0xCA62_C1D6
                        }
                        let next = a.rotatedLeft(by: 5) &+ mixed &+ e &+ schedule[t]
                        (a, b, c, d, e) = (next, a, b.rotatedLeft(by: 30), c, d)
                    }
                    a &+= before.0
                    b &+= before.1
                    c &+= before.2
                    d &+= before.3
                    e &+= before.4
                }
            }
        }
        return [a, b, c, d, e].flatMap(\.bigEndianBytes)
    }
}

// MARK: - What SHA-1 and SHA-256 share

/// The message, a bit 1, zeros, and the length in bits as 64 bits: a whole number of 64-byte blocks (FIPS 180-4 §5.1.1).
func paddedToBlocks(_ message: [UInt8]) -> [UInt8] {
    let blocks = (message.count + 1 + 8 + 63) / 64
    var padded = message
    padded.reserveCapacity(blocks * 64)
    padded.append(0x80)
    padded.append(contentsOf: repeatElement(0, count: blocks * 64 - 8 - padded.count))
    withUnsafeBytes(of: (UInt64(message.count) * 8).bigEndian) { padded.append(contentsOf: $0) }
    return padded
}

extension UnsafeRawBufferPointer {
    func bigEndianWord(at offset: Int) -> UInt32 {
        UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
}

extension UInt32 {
    func rotatedLeft(by bits: UInt32) -> UInt32 { (self &<< bits) | (self &>> (32 - bits)) }

    func rotatedRight(by bits: UInt32) -> UInt32 { (self &>> bits) | (self &<< (32 - bits)) }

    var bigEndianBytes: [UInt8] { withUnsafeBytes(of: bigEndian) { Array($0) } }
}
