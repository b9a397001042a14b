import XCTest

@testable import WebSocketEngine

final class SHA1Tests: XCTestCase {
    func testTheExamplesOfFIPS180() {
        XCTAssertEqual(hex(SHA1.hash([])), "da39a3ee5e6b4b0d3255bfef95601890afd80709")
        XCTAssertEqual(hex(SHA1.hash(bytes("abc"))), "a9993e364706816aba3e25717850c26c9cd0d89d")
        XCTAssertEqual(hex(SHA1.hash(bytes(twoBlocks))), "84983e441c3bd26ebaae4aa1f95129e5e54670f1")
        XCTAssertEqual(hex(SHA1.hash(millionA)), "34aa973cd4c4daa4f61eeb2bdbad27316534016f")
    }

    func testTheAcceptKeyExampleOfRFC6455() {
        // §1.3: the key and the GUID, and the digest before its Base64 form "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".
        let message = bytes("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        XCTAssertEqual(hex(SHA1.hash(message)), "b37a4f2cc0624f1690f64606cf385945b2bec4ea")
    }

    func testEveryLengthAroundTheEndOfABlock() {
        let expected = [
            (55, "8ae2d46729cfe68ff927af5eec9c7d1b66d65ac2"),
            (56, "636e2ec698dac903498e648bd2f3af641d3c88cb"),
            (63, "6d942da0c4392b123528f2905c713a3ce28364bd"),
            (64, "c6138d514ffa2135bfce0ed0b8fac65669917ec7"),
            (65, "69bd728ad6e13cd76ff19751fde427b00e395746"),
            (119, "41c89d06001bab4ab78736b44efe7ce18ce6ae08"),
            (120, "d3dbd653bd8597b7475321b60a36891278e6a04a"),
            (128, "e6434bc401f98603d7eda504790c98c67385d535"),
        ]
        for (length, digest) in expected {
            XCTAssertEqual(hex(SHA1.hash(counting(to: length))), digest, "\(length) bytes")
        }
    }
}

final class SHA256Tests: XCTestCase {
    func testTheExamplesOfFIPS180() {
        XCTAssertEqual(
            hex(SHA256.hash([])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        XCTAssertEqual(
            hex(SHA256.hash(bytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        XCTAssertEqual(
            hex(SHA256.hash(bytes(twoBlocks))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
        XCTAssertEqual(
            hex(SHA256.hash(millionA)),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    func testEveryLengthAroundTheEndOfABlock() {
        let expected = [
            (55, "463eb28e72f82e0a96c0a4cc53690c571281131f672aa229e0d45ae59b598b59"),
            (56, "da2ae4d6b36748f2a318f23e7ab1dfdf45acdc9d049bd80e59de82a60895f562"),
            (63, "29af2686fd53374a36b0846694cc342177e428d1647515f078784d69cdb9e488"),
            (64, "fdeab9acf3710362bd2658cdc9a29e8f9c757fcf9811603a8c447cd1d9151108"),
            (65, "4bfd2c8b6f1eec7a2afeb48b934ee4b2694182027e6d0fc075074f2fabb31781"),
            (119, "da18797ed7c3a777f0847f429724a2d8cd5138e6ed2895c3fa1a6d39d18f7ec6"),
            (120, "f52b23db1fbb6ded89ef42a23ce0c8922c45f25c50b568a93bf1c075420bbb7c"),
            (128, "471fb943aa23c511f6f72f8d1652d9c880cfa392ad80503120547703e56a2be5"),
        ]
        for (length, digest) in expected {
            XCTAssertEqual(hex(SHA256.hash(counting(to: length))), digest, "\(length) bytes")
        }
    }
}

/// The test cases of RFC 4231 §4, by number.
final class HMACSHA256Tests: XCTestCase {
    func testCase1() {
        assertCode(
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            of: bytes("Hi There"), key: repeated(0x0b, 20))
    }

    func testCase2KeyShorterThanTheDigest() {
        assertCode(
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            of: bytes("what do ya want for nothing?"), key: bytes("Jefe"))
    }

    func testCase3KeyAndMessageTogetherLongerThanABlock() {
        assertCode(
            "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            of: repeated(0xdd, 50), key: repeated(0xaa, 20))
    }

    func testCase4() {
        assertCode(
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            of: repeated(0xcd, 50), key: Array(0x01...0x19))
    }

    func testCase5TruncatedTo128Bits() {
        let code = HMACSHA256.authenticationCode(for: bytes("Test With Truncation"), key: repeated(0x0c, 20))
        XCTAssertEqual(hex(Array(code.prefix(16))), "a3b6167473100ee06e0c796c2955552b")
    }

    func testCase6KeyLongerThanABlock() {
        assertCode(
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            of: bytes("Test Using Larger Than Block-Size Key - Hash Key First"), key: repeated(0xaa, 131))
    }

    func testCase7KeyAndMessageLongerThanABlock() {
        assertCode(
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            of: bytes(
                "This is a test using a larger than block-size key and a larger than block-size data. "
                    + "The key needs to be hashed before being used by the HMAC algorithm."),
            key: repeated(0xaa, 131))
    }

    func testKeysAroundTheLengthOfABlock() {
        let expected = [
            (0, "fd7adb152c05ef80dccf50a1fa4c05d5a3ec6da95575fc312ae7c5d091836351"),
            (63, "d2bee6f325e7ec9e0e412319f6775134f43f4e16e168b7386de22a29c70a7b9d"),
            (64, "6ab541b4869dca71c4ca11d8bb1b02533b789a557583161429292c7404bc21f6"),
            (65, "dfbffee4671bad00ed5d1e1999d55ed3b0cc774ac357f9ebf649c1612414fcec"),
        ]
        for (length, code) in expected {
            assertCode(code, of: bytes("abc"), key: counting(to: length))
        }
    }

    private func assertCode(
        _ expected: String, of message: [UInt8], key: [UInt8], file: StaticString = #filePath,
        line: UInt = #line
    ) {
        let code = HMACSHA256.authenticationCode(for: message, key: key)
        XCTAssertEqual(hex(code), expected, "key of \(key.count) bytes", file: file, line: line)
    }
}

// MARK: - Messages

private let twoBlocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
private let millionA = repeated(UInt8(ascii: "a"), 1_000_000)

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

private func repeated(_ byte: UInt8, _ count: Int) -> [UInt8] { .init(repeating: byte, count: count) }

/// 0, 1, 2, … as bytes.
private func counting(to count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0) } }

private func hex(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
}
