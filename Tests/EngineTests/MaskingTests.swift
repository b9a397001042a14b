import XCTest

@testable import WebSocketEngine

final class MaskingTests: XCTestCase {
    private let key: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]

    private var loadedKey: UInt32 { key.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) } }

    /// §5.3 word for word.
    private func model(_ bytes: ArraySlice<UInt8>, offset: Int) -> [UInt8] {
        bytes.enumerated().map { i, byte in byte ^ key[(i + offset) % 4] }
    }

    func testEveryLengthOffsetAndAlignment() {
        let bytes = (0..<120).map { UInt8($0 &* 37 & 0xFF) }
        for length in 0...100 {
            for offset in 0..<8 {
                for start in 0..<9 {
                    var masked = bytes
                    masked.withUnsafeMutableBytes {
                        mask(.init(rebasing: $0[start..<start + length]), with: loadedKey, offset: offset)
                    }
                    let expected =
                        bytes[..<start] + model(bytes[start..<start + length], offset: offset)
                        + bytes[(start + length)...]
                    if masked != Array(expected) {
                        return XCTFail("length \(length), offset \(offset), start \(start)")
                    }
                }
            }
        }
    }

    func testMaskingTwiceChangesNothing() {
        var bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
        let original = bytes
        bytes.withUnsafeMutableBytes { mask($0, with: loadedKey) }
        XCTAssertNotEqual(bytes, original)
        bytes.withUnsafeMutableBytes {
            mask(.init(rebasing: $0[..<333]), with: loadedKey)
            mask(.init(rebasing: $0[333...]), with: loadedKey, offset: 333)
        }
        XCTAssertEqual(bytes, original)
        mask(.init(start: nil, count: 0), with: loadedKey)
    }
}
