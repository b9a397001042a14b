/// Things to do later, the earliest first: a binary heap.
///
/// Cancelling only forgets the action; its entry is dropped when its time comes or when it reaches the top.
struct TimerQueue {
    /// Names a timer, for cancelling it.
    struct ID: Hashable { fileprivate let number: UInt64 }

    private struct Entry {
        var deadline: Duration
        var id: ID
        /// Timers of one deadline run in the order in which they were set.
        static func < (left: Entry, right: Entry) -> Bool {
            (left.deadline, left.id.number) < (right.deadline, right.id.number)
        }
    }

    private var heap: [Entry] = []
    private var actions: [ID: () -> Void] = [:]
    private var nextNumber: UInt64 = 0

    /// When the next action is due.
    var nextDeadline: Duration? {
        mutating get {
            while let top = heap.first, actions[top.id] == nil { removeTop() }
            return heap.first?.deadline
        }
    }

    mutating func add(at deadline: Duration, _ action: @escaping () -> Void) -> ID {
        let id = ID(number: nextNumber)
        nextNumber += 1
        actions[id] = action
        heap.append(Entry(deadline: deadline, id: id))
        var child = heap.count - 1
        while child > 0, heap[child] < heap[(child - 1) / 2] {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
        return id
    }

    mutating func cancel(_ id: ID) {
        actions[id] = nil
        // Timers that are set and cancelled all the time must not pile up until they are due.
        if heap.count > 2 * actions.count + 64 {
            heap = heap.filter { actions[$0.id] != nil }.sorted(by: <)
        }
    }

    /// Takes the next action that is due.
    mutating func takeDue(at now: Duration) -> (() -> Void)? {
        guard let deadline = nextDeadline, deadline <= now, let top = heap.first else { return nil }
        removeTop()
        return actions.removeValue(forKey: top.id)
    }

    private mutating func removeTop() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && heap[child] < heap[least] {
                least = child
            }
            if least == parent { return }
            heap.swapAt(parent, least)
            parent = least
        }
    }
}
