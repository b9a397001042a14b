import XCTest

@testable import WebSocketEngine

/// Inputs that once broke the protocol layer, or a deliberately damaged copy of it, found by `scripts/fuzz`; and a
/// short search of the same kind with every run of the tests.
final class FoundInputsTests: XCTestCase {
    /// Hexadecimal as `scripts/fuzz` prints it, with the fault that each found.
    private static let found = [
        // A masking key that starts anew with every piece of a payload.
        "0000818537fa213d7f9f4d5158"
    ]

    func testInputsThatWereFound() {
        for input in Self.found {
            XCTAssertNil(ProtocolProperties.fault(in: Self.bytes(input)), input)
        }
    }

    func testAShortSearch() {
        var random = SplitMix64(seed: 7)
        for _ in 0..<3000 {
            let subject = UInt8(random.next() % 8)
            let input =
                [subject]
                + (0..<random.next() % 100).map { _ in UInt8.random(in: .min ... .max, using: &random) }
            if let fault = ProtocolProperties.fault(in: input) { return XCTFail("\(input): \(fault)") }
        }
    }

    /// Whatever the reads of a socket bring together: the grammar's streams, each cut at every place.
    func testEverySplitPointOfValidStreamsGivesTheSame() {
        var random = SplitMix64(seed: 8)
        for number in 0..<60 {
            // Subjects 2 to 4 are valid streams to a server and to a client; the second byte leaves them valid.
            let input: [UInt8] =
                [2 + UInt8(number % 3), 0]
                + (0..<10 + number / 3).map { _ in UInt8.random(in: .min...239, using: &random) }
            if let fault = ProtocolProperties.fault(in: input, cutsEverywhere: true) {
                return XCTFail("\(input): \(fault)")
            }
        }
    }

    private static func bytes(_ hexadecimal: String) -> [UInt8] {
        let digits = hexadecimal.compactMap(\.hexDigitValue)
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}
