/// Masks or unmasks in place: byte i is XORed with byte i mod 4 of the key (RFC 6455 §5.3).
///
/// Masking keeps a hostile script from choosing the bytes that a proxy sees on the wire (§10.3); it hides nothing.
/// `offset` is the number of payload bytes already done, for a payload that arrives in pieces.
///
/// Thirty-two bytes at a time: in the trial, byte by byte cost more than everything else at 64 KiB.
@inline(__always)
package func mask(_ bytes: UnsafeMutableRawBufferPointer, with key: UInt32, offset: Int = 0) {
    guard let start = bytes.baseAddress else { return }
    let count = bytes.count
    var key = rotated(key, by: offset)
    let wide = UInt64(key) | UInt64(key) << 32
    let vector = SIMD4<UInt64>(repeating: wide)
    var i = 0
    while i &+ 32 <= count {
        let word = start.loadUnaligned(fromByteOffset: i, as: SIMD4<UInt64>.self)
        start.storeBytes(of: word ^ vector, toByteOffset: i, as: SIMD4<UInt64>.self)
        i &+= 32
    }
    while i &+ 8 <= count {
        let word = start.loadUnaligned(fromByteOffset: i, as: UInt64.self)
        start.storeBytes(of: word ^ wide, toByteOffset: i, as: UInt64.self)
        i &+= 8
    }
    while i < count {
        let byte = start.load(fromByteOffset: i, as: UInt8.self)
        start.storeBytes(of: byte ^ UInt8(truncatingIfNeeded: key), toByteOffset: i, as: UInt8.self)
        key = rotated(key, by: 1)
        i &+= 1
    }
}

/// The key as it stands for a payload byte at `offset`. Keys are kept as loaded from the wire, so that on
/// the little-endian machines Swift runs on their first byte is the lowest.
@inline(__always)
private func rotated(_ key: UInt32, by offset: Int) -> UInt32 {
    let bits = UInt32(truncatingIfNeeded: offset & 3) &* 8
    return bits == 0 ? key : key &>> bits | key &<< (32 &- bits)
}
