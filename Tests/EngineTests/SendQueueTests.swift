import XCTest

@testable import WebSocketEngine

final class SendQueueTests: XCTestCase {
    /// The bytes in the queue, without taking them.
    private func bytes(of queue: SendQueue) -> [UInt8] {
        queue.withPieces { first, later in later.reduce(into: Array(first)) { $0 += $1 } }
    }

    private func pieces(of queue: SendQueue) -> Int {
        queue.withPieces { first, later in (first.isEmpty ? 0 : 1) + later.count }
    }

    private func append(_ payload: [UInt8], to queue: inout SendQueue, key: UInt32? = nil) {
        payload.withUnsafeBytes {
            queue.append(FrameHeader(opcode: .binary, payloadLength: $0.count, maskingKey: key), payload: $0)
        }
    }

    func testAnEmptyQueue() {
        var queue = SendQueue()
        XCTAssertTrue(queue.isEmpty)
        XCTAssertEqual(bytes(of: queue), [])
        queue.append([])
        XCTAssertEqual(pieces(of: queue), 0)
        queue.removeAll()
        XCTAssertEqual(queue.count, 0)
    }

    func testSmallFramesAreGathered() {
        var queue = SendQueue()
        for i in 0..<100 { append([UInt8(i)], to: &queue) }
        XCTAssertEqual(pieces(of: queue), 1)
        XCTAssertEqual(queue.count, 300)
        XCTAssertEqual(bytes(of: queue), (0..<100).flatMap { [0x82, 1, UInt8($0)] as [UInt8] })
    }

    func testSharedBytesAreNeverWrittenTo() {
        let shared = [UInt8](repeating: 7, count: 100)
        var queue = SendQueue()
        queue.append(shared)
        append([1], to: &queue)
        queue.append(shared)
        append([2], to: &queue)
        XCTAssertEqual(shared, .init(repeating: 7, count: 100))
        XCTAssertEqual(pieces(of: queue), 4)
        XCTAssertEqual(bytes(of: queue), shared + [0x82, 1, 1] + shared + [0x82, 1, 2])
    }

    func testAClientsFramesAreMaskedInPlace() {
        var queue = SendQueue()
        append([1, 2, 3], to: &queue)
        append([1, 2, 3, 4, 5], to: &queue, key: UInt32(littleEndian: 0x4030_2010))
        XCTAssertEqual(
            bytes(of: queue),
            [0x82, 3, 1, 2, 3, 0x82, 0x85, 0x10, 0x20, 0x30, 0x40, 0x11, 0x22, 0x33, 0x44, 0x15])
    }

    func testAQueueThatIsNeverEmptyDoesNotGrow() {
        var queue = SendQueue()
        let shared = [UInt8](repeating: 1, count: 100)
        for _ in 0..<10 { queue.append(shared) }
        for _ in 0..<10_000 {
            queue.append(shared)
            queue.remove(100)
            XCTAssertLessThan(queue.withPieces { _, later in later.endIndex }, 200)
        }
        XCTAssertEqual(queue.count, 1000)
    }

    /// Against a plain array: whatever is added and removed in whatever portions.
    func testAgainstAModel() {
        var random = SplitMix64(seed: 1)
        for _ in 0..<60 {
            var queue = SendQueue()
            var model: [UInt8] = []
            for step in 0..<60 {
                switch Int.random(in: 0..<8, using: &random) {
                case 0...2:
                    let payload = [UInt8](
                        repeating: UInt8(step), count: Int.random(in: 0..<200, using: &random))
                    append(payload, to: &queue)
                    model += EncodedFrame(.binary, payload).bytes
                case 3:
                    let payload = [UInt8](
                        repeating: UInt8(step), count: Int.random(in: 16_000..<17_000, using: &random))
                    append(payload, to: &queue)
                    model += EncodedFrame(.binary, payload).bytes
                case 4:
                    let payload = [UInt8](repeating: UInt8(step), count: 20_000)
                    queue.append(FrameHeader(opcode: .binary, payloadLength: 20_000), largePayload: payload)
                    model += EncodedFrame(.binary, payload).bytes
                case 5:
                    let shared = [UInt8](
                        repeating: UInt8(step), count: Int.random(in: 0..<50, using: &random))
                    queue.append(shared)
                    model += shared
                case 6 where Int.random(in: 0..<5, using: &random) == 0:
                    queue.removeAll()
                    model = []
                default:
                    let count = Int.random(in: 0...min(model.count, 25_000), using: &random)
                    if count > 0 { queue.remove(count) }
                    model.removeFirst(count)
                }
                XCTAssertEqual(queue.count, model.count)
                XCTAssertEqual(queue.isEmpty, model.isEmpty)
                XCTAssertFalse(!model.isEmpty && queue.withPieces { first, _ in first.isEmpty })
            }
            XCTAssertTrue(bytes(of: queue) == model)
        }
    }
}

/// A seeded generator: the same numbers in every run (Steele, Lea and Flood, 2014).
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
