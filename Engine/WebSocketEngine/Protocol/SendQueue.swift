/// Bytes on their way to the socket: a queue of pieces, of which small ones are gathered and large ones shared.
///
/// A slow reader's queue holds references to broadcast frames, not copies of them.
package struct SendQueue: Sendable {
    /// The piece being sent, and how much of it has gone. Kept apart from `later`, because almost always there is
    /// just this one, and then the queue allocates nothing of its own.
    private var first: [UInt8] = []
    private var firstOffset = 0
    private var later: [[UInt8]] = []
    private var laterIndex = 0
    /// True while the last piece is this queue's own, so that small frames may be added to it.
    private var lastIsOpen = false

    /// How many bytes wait.
    package private(set) var count = 0
    package var isEmpty: Bool { count == 0 }

    /// From this size on a payload is sent from where it lies instead of being copied.
    static let largePayload = 16 * 1024

    package init() {}

    /// Adds a frame with a payload of any size.
    @inline(__always)
    mutating func append(_ header: FrameHeader, payload: UnsafeRawBufferPointer) {
        gather(upTo: FrameHeader.maximumLength + payload.count) { piece in
            header.write(to: &piece)
            let start = piece.count
            piece.append(contentsOf: payload)
            if let key = header.maskingKey {
                piece.withUnsafeMutableBytes { mask(.init(rebasing: $0[start...]), with: key) }
            }
        }
    }

    /// Adds an unmasked frame whose payload is large: the header is gathered, the payload shared.
    mutating func append(_ header: FrameHeader, largePayload payload: [UInt8]) {
        gather(upTo: FrameHeader.maximumLength) { header.write(to: &$0) }
        append(payload)
    }

    /// Adds bytes without copying them.
    package mutating func append(_ shared: [UInt8]) {
        if shared.isEmpty { return }
        count += shared.count
        lastIsOpen = false
        if first.isEmpty { first = shared } else { later.append(shared) }
    }

    /// The pieces to send next, for one `sendmsg`.
    @inline(__always)
    package func withPieces<Result>(_ body: (UnsafeRawBufferPointer, [[UInt8]].SubSequence) -> Result)
        -> Result
    {
        first.withUnsafeBytes { body(.init(rebasing: $0[firstOffset...]), later[laterIndex...]) }
    }

    /// Forgets the first `sent` bytes.
    package mutating func remove(_ sent: Int) {
        count -= sent
        if count == 0 {
            first = []
            firstOffset = 0
            later = []
            laterIndex = 0
            lastIsOpen = false
            return
        }
        firstOffset += sent
        while firstOffset >= first.count {
            firstOffset -= first.count
            first = later[laterIndex]
            later[laterIndex] = []
            laterIndex += 1
            if laterIndex == later.count {
                later.removeAll(keepingCapacity: true)
                laterIndex = 0
            }
        }
        // A queue that is never quite empty must not grow with every piece that passes through it.
        if laterIndex >= 64, laterIndex * 2 >= later.count {
            later.removeFirst(laterIndex)
            laterIndex = 0
        }
    }

    package mutating func removeAll() { if count > 0 { remove(count) } }

    /// Lets `write` add to the last piece, opening a new one if that is shared or long already.
    @inline(__always)
    private mutating func gather(upTo additional: Int, _ write: (inout [UInt8]) -> Void) {
        if first.isEmpty {
            first.reserveCapacity(max(additional, 256))
            write(&first)
            count += first.count
        } else if lastIsOpen, laterIndex == later.count, first.count < Self.largePayload {
            let before = first.count
            write(&first)
            count += first.count - before
        } else {
            if !lastIsOpen || laterIndex == later.count || later[later.count - 1].count >= Self.largePayload {
                later.append([])
            }
            let last = later.count - 1
            let before = later[last].count
            write(&later[last])
            count += later[last].count - before
        }
        lastIsOpen = true
    }
}
