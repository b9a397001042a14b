/// Received messages in order, until a task asks for them.
struct Inbox {
    private var messages: ContiguousArray<Message?> = []
    private var head = 0
    private(set) var byteCount = 0

    var count: Int { messages.count - head }
    var isEmpty: Bool { messages.isEmpty }
    /// Places taken up, those of messages that are gone included.
    var places: Int { messages.count }

    @inline(__always)
    mutating func append(_ message: Message) {
        byteCount += message.byteCount
        messages.append(message)
    }

    @inline(__always)
    mutating func popFirst() -> Message? {
        if messages.isEmpty { return nil }
        let message = messages[head]
        messages[head] = nil
        head += 1
        if head == messages.count {
            messages.removeAll(keepingCapacity: messages.count <= 64)
            head = 0
        } else if head >= 64 {
            // An inbox that is never quite empty must not grow with every message that passes through it.
            messages.removeFirst(head)
            head = 0
        }
        byteCount -= message?.byteCount ?? 0
        return message
    }
}

extension Message {
    fileprivate var byteCount: Int {
        switch self {
        case .text(let text): text.utf8.count
        case .binary(let bytes): bytes.count
        }
    }
}
