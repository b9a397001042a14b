/// SHA-256 (FIPS 180-4 §6.2).
public enum SHA256 {
    /// The digest of a message: 32 bytes.
    public static func hash(_ message: [UInt8]) -> [UInt8] {
        var state = initialState
        paddedToBlocks(message).withUnsafeBytes { padded in
            withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { schedule in
                for block in stride(from: 0, to: padded.count, by: 64) {
                    for t in 0..<16 {
                        schedule[t] = padded.bigEndianWord(at: block + 4 * t)
                    }
                    for t in 16..<64 {
                        let x = schedule[t - 15]
                        let y = schedule[t - 2]
                        let sigma0 = x.rotatedRight(by: 7) ^ x.rotatedRight(by: 18) ^ (x &>> 3)
                        let sigma1 = y.rotatedRight(by: 17) ^ y.rotatedRight(by: 19) ^ (y &>> 10)
                        schedule[t] = sigma1 &+ schedule[t - 7] &+ sigma0 &+ schedule[t - 16]
                    }
                    state = compress(state, UnsafeBufferPointer(schedule))
                }
            }
        }
        return [state.a, state.b, state.c, state.d, state.e, state.f, state.g, state.h]
            .flatMap(\.bigEndianBytes)
    }

    private typealias State = (
        a: UInt32, b: UInt32, c: UInt32, d: UInt32, e: UInt32, f: UInt32, g: UInt32, h: UInt32
    )

    /// The 64 rounds over one block.
    private static func compress(_ before: State, _ schedule: UnsafeBufferPointer<UInt32>) -> State {
        var (a, b, c, d, e, f, g, h) = before
        roundConstants.withUnsafeBufferPointer { constants in
            for t in 0..<64 {
                let sum1 = e.rotatedRight(by: 6) ^ e.rotatedRight(by: 11) ^ e.rotatedRight(by: 25)
                let choice = (e & f) ^ (~e & g)
                let t1 = h &+ sum1 &+ choice &+ constants[t] &+ schedule[t]
                let sum0 = a.rotatedRight(by: 2) ^ a.rotatedRight(by: 13) ^ a.rotatedRight(by: 22)
                let majority = (a & b) ^ (a & c) ^ (b & c)
                (h, g, f, e, d, c, b, a) = (g, f, e, d &+ t1, c, b, a, t1 &+ sum0 &+ majority)
            }
        }
        return (
            before.a &+ a, before.b &+ b, before.c &+ c, before.d &+ d,
            before.e &+ e, before.f &+ f, before.g &+ g, before.h &+ h
        )
    }

    /// Fractional parts of the square roots of the first 8 primes (FIPS 180-4 §5.3.3).
    private static let initialState: State = (
        0x6A09_E667, 0xBB67_AE85, 0x3C6E_F372, 0xA54F_F53A, 0x510E_527F, 0x9B05_688C, 0x1F83_D9AB, 0x5BE0_CD19
    )

    /// Fractional parts of the cube roots of the first 64 primes (FIPS 180-4 §4.2.2).
    private static let roundConstants: [UInt32] = [
        0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
        0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
        0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
        0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
        0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
        0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
        0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
        0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
    ]
}

/// HMAC-SHA-256 (RFC 2104), the `HS256` of JSON Web Tokens.
public enum HMACSHA256 {
    /// The authentication code of a message under a key of any length: 32 bytes.
    ///
    /// Compare codes in a time that does not depend on where they differ: `==` stops at the first difference, and so
    /// tells an attacker how much of a forged code is right.
    public static func authenticationCode(for message: [UInt8], key: [UInt8]) -> [UInt8] {
        var blockKey = key.count > 64 ? SHA256.hash(key) : key
        blockKey.append(contentsOf: repeatElement(0, count: 64 - blockKey.count))
        let inner = SHA256.hash(blockKey.map { $0 ^ 0x36 } + message)
        return SHA256.hash(blockKey.map { $0 ^ 0x5C } + inner)
    }
}
