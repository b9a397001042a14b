import XCTest

@testable import WebSocketEngine

final class UTF8ValidatorTests: XCTestCase {
    private let mixed =
        "Hello, κόσμε! Grüße aus Zürich – 日本語のテキスト, 한국어, 👋🏽🌍 and plain ASCII to the very end."

    // MARK: What is valid

    func testNoTextIsValid() {
        XCTAssertNil(rejection([]))
        XCTAssertTrue(UTF8Validator().isComplete)
    }

    func testTheFirstAndLastCharacterOfEveryRowOfTable3_7() {
        for text in [
            "\u{0}", "\u{7F}", "\u{80}", "\u{7FF}", "\u{800}", "\u{FFF}", "\u{1000}", "\u{CFFF}", "\u{D000}",
            "\u{D7FF}", "\u{E000}", "\u{FFFF}", "\u{10000}", "\u{3FFFF}", "\u{40000}", "\u{FFFFF}",
            "\u{100000}", "\u{10FFFF}",
        ] {
            XCTAssertNil(rejection(Array(text.utf8)), hex(Array(text.utf8)))
            assertComplete(Array(text.utf8), true)
        }
    }

    func testNoncharactersAreValid() {
        // RFC 3629 excludes surrogates alone.
        XCTAssertNil(rejection([0xEF, 0xB7, 0x90]), "U+FDD0")
        XCTAssertNil(rejection([0xEF, 0xBF, 0xBE]), "U+FFFE")
        XCTAssertNil(rejection([0xF0, 0x9F, 0xBF, 0xBE]), "U+1FFFE")
    }

    // MARK: What is not, and at which byte

    func testContinuationBytesCannotBegin() {
        for byte in UInt8(0x80)...0xBF { XCTAssertEqual(rejection([byte]), 0, hex([byte])) }
    }

    func testBytesThatNeverOccur() {
        for byte in [0xC0, 0xC1] + Array(UInt8(0xF5)...0xFF) {
            XCTAssertEqual(rejection([byte]), 0, hex([byte]))
        }
    }

    func testTheRangeOfTheSecondByteIsThatOfTable3_7() {
        for lead in UInt8(0xC2)...0xF4 {
            let allowed: ClosedRange<UInt8> =
                switch lead {
                case 0xE0: 0xA0...0xBF  // below: overlong
                case 0xED: 0x80...0x9F  // above: surrogates
                case 0xF0: 0x90...0xBF  // below: overlong
                case 0xF4: 0x80...0x8F  // above: beyond U+10FFFF
                default: 0x80...0xBF
                }
            for second in UInt8.min ... .max {
                let expected = allowed.contains(second) ? nil : 1
                XCTAssertEqual(rejection([lead, second]), expected, hex([lead, second]))
            }
        }
    }

    func testTheLaterBytesMustContinue() {
        let starts: [[UInt8]] = [
            [0xE1, 0x80], [0xE0, 0xA0], [0xED, 0x80], [0xF1, 0x80], [0xF0, 0x90], [0xF4, 0x80],
        ]
        for start in starts {
            for byte in UInt8.min ... .max {
                let expected = 0x80...0xBF ~= byte ? nil : 2
                XCTAssertEqual(rejection(start + [byte]), expected, hex(start + [byte]))
            }
        }
        for byte in UInt8.min ... .max {
            XCTAssertEqual(rejection([0xF3, 0x80, 0x80, byte]), 0x80...0xBF ~= byte ? nil : 3, hex([byte]))
        }
    }

    func testOverlongFormsSurrogatesAndWhatIsBeyondUnicode() {
        XCTAssertEqual(rejection([0xC0, 0xAF]), 0)
        XCTAssertEqual(rejection([0xE0, 0x80, 0xAF]), 1)
        XCTAssertEqual(rejection([0xF0, 0x80, 0x80, 0xAF]), 1)
        XCTAssertEqual(rejection([0xED, 0xA0, 0x80]), 1)
        XCTAssertEqual(rejection([0xED, 0xBF, 0xBF]), 1)
        XCTAssertEqual(rejection([0xED, 0xA0, 0xBD, 0xED, 0xB8, 0x80]), 1)
        XCTAssertEqual(rejection([0xF4, 0x90, 0x80, 0x80]), 1)
    }

    func testBadTextIsRefusedAtTheByteThatSpoilsItAndNotLater() {
        // The text of Autobahn's cases 6.4: the byte after F4 shows that the character lies beyond U+10FFFF.
        let beyond: [UInt8] = [0xF4, 0x90, 0x80, 0x80]
        XCTAssertEqual(rejection(Array("κ\u{1F79}σμε".utf8) + beyond + Array("edited".utf8)), 12)
        for position in [0, 1, 7, 8, 15, 16, 17, 31, 32, 40] {
            XCTAssertEqual(rejection(ascii(position) + [0xFF] + ascii(40)), position)
        }
    }

    func testALongRunOfASCIIDoesNotHideAnUnfinishedCharacter() {
        for position in 0...32 {
            for unfinished: [UInt8] in [[0xC3], [0xE2, 0x82], [0xF0, 0x9F, 0x91]] {
                let start = ascii(position) + unfinished
                var whole = UTF8Validator()
                XCTAssertFalse(consume(start + ascii(64), &whole), "\(position)")
                var pieces = UTF8Validator()
                XCTAssertTrue(consume(start, &pieces), "\(position)")
                XCTAssertFalse(consume(ascii(64), &pieces), "\(position)")
            }
        }
    }

    func testBadTextStaysBad() {
        var validator = UTF8Validator()
        XCTAssertFalse(consume([0xFF], &validator))
        XCTAssertFalse(consume([0x41], &validator))
        XCTAssertFalse(consume([], &validator))
        XCTAssertFalse(consume(ascii(100), &validator))
        XCTAssertFalse(validator.isComplete)
    }

    // MARK: Pieces

    func testAnUnfinishedCharacterIsNotComplete() {
        for text in ["é", "€", "👋"] {
            let bytes = Array(text.utf8)
            for length in 1..<bytes.count { assertComplete(Array(bytes.prefix(length)), false) }
            assertComplete(bytes, true)
        }
    }

    func testValidTextAtEverySplitPoint() {
        let bytes = Array(mixed.utf8)
        for split in 0...bytes.count {
            var validator = UTF8Validator()
            XCTAssertTrue(consume(Array(bytes[..<split]), &validator), "\(split)")
            XCTAssertEqual(validator.isComplete, String(validating: bytes[..<split], as: UTF8.self) != nil)
            XCTAssertTrue(consume(Array(bytes[split...]), &validator), "\(split)")
            XCTAssertTrue(validator.isComplete, "\(split)")
        }
    }

    func testBadTextAtEverySplitPoint() {
        let good = Array(mixed.utf8)
        let bytes = good + [0xED, 0xA0] + good
        for split in 0...bytes.count {
            var validator = UTF8Validator()
            XCTAssertEqual(consume(Array(bytes[..<split]), &validator), split < good.count + 2, "\(split)")
            XCTAssertFalse(consume(Array(bytes[split...]), &validator), "\(split)")
        }
    }

    func testTextAtEveryAlignment() {
        let bytes = ascii(16) + Array(mixed.utf8)
        for skipped in 0..<16 {
            let accepted = bytes.withUnsafeBytes { all in
                var validator = UTF8Validator()
                return validator.consume(UnsafeRawBufferPointer(rebasing: all[skipped...]))
            }
            XCTAssertTrue(accepted)
        }
    }

    // MARK: Against the standard library

    func testItAgreesWithStringOnRandomBytes() {
        var random = SeededGenerator(seed: 3629)
        // Bytes that are often nearly right find more than bytes at large.
        let interesting: [UInt8] = [
            0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xEC, 0xED,
            0xEE,
            0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
        ]
        for _ in 0..<20_000 {
            let length = Int.random(in: 0...6, using: &random)
            assertAgreesWithString((0..<length).map { _ in interesting.randomElement(using: &random) ?? 0 })
        }
    }

    func testItAgreesWithStringOnSpoiledText() {
        var random = SeededGenerator(seed: 6455)
        let scalars = Array(mixed.unicodeScalars)
        for _ in 0..<3_000 {
            var text = String.UnicodeScalarView()
            for _ in 0..<Int.random(in: 1...40, using: &random) {
                text.append(scalars.randomElement(using: &random) ?? "a")
            }
            var bytes = Array(String(text).utf8)
            assertAgreesWithString(bytes)
            bytes[Int.random(in: bytes.indices, using: &random)] = .random(in: .min ... .max, using: &random)
            assertAgreesWithString(bytes)
        }
    }

    private func assertAgreesWithString(_ bytes: [UInt8], file: StaticString = #filePath, line: UInt = #line)
    {
        let expected = String(validating: bytes, as: UTF8.self) != nil
        var whole = UTF8Validator()
        let accepted = consume(bytes, &whole) && whole.isComplete
        var piecewise = UTF8Validator()
        let acceptedPiecewise = bytes.allSatisfy { consume([$0], &piecewise) } && piecewise.isComplete
        if accepted != expected || acceptedPiecewise != expected {
            XCTFail("\(hex(bytes)) is \(expected ? "valid" : "invalid")", file: file, line: line)
        }
    }

    // MARK: Helpers

    /// The offset of the byte at which the validator says no, fed one at a time; `nil` if it never does.
    private func rejection(_ bytes: [UInt8]) -> Int? {
        var validator = UTF8Validator()
        return bytes.firstIndex { !consume([$0], &validator) }
    }

    private func assertComplete(
        _ bytes: [UInt8], _ expected: Bool, file: StaticString = #filePath, line: UInt = #line
    ) {
        var validator = UTF8Validator()
        XCTAssertTrue(consume(bytes, &validator), hex(bytes), file: file, line: line)
        XCTAssertEqual(validator.isComplete, expected, hex(bytes), file: file, line: line)
    }

    private func consume(_ bytes: [UInt8], _ validator: inout UTF8Validator) -> Bool {
        bytes.withUnsafeBytes { validator.consume($0) }
    }

    private func ascii(_ count: Int) -> [UInt8] { Array(repeating: UInt8(ascii: "a"), count: count) }

    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { String($0, radix: 16, uppercase: true) }.joined(separator: " ")
    }
}

/// SplitMix64: the same numbers in every run, so that a failure comes back.
private struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
