import Foundation
import Synchronization
import WebSocketEngine

/// What a server's operator is told: the errors that reach ``Application/onError(_:)``, and that it has stopped.
public final class OperatorLog: Sendable {
    private struct Contents {
        var errors: [String] = []
        var hasStopped = false
    }
    private let contents = Mutex(Contents())

    public init() {}

    /// Listens to an application, before it starts.
    public func listen(to application: Application) {
        application.onError { error, _ in self.contents.withLock { $0.errors.append("\(error)") } }
        application.onShutdown { self.contents.withLock { $0.hasStopped = true } }
    }

    /// The errors so far, in the order in which they came.
    public var errors: [String] { contents.withLock { $0.errors } }

    /// True when the server was told to stop and its handlers have ended.
    public var hasStopped: Bool { contents.withLock { $0.hasStopped } }
}

extension Classroom {
    /// Waits until something holds that no client can see, such as that the operator was told.
    public func expect(_ what: String, _ hint: String = "", until condition: () -> Bool) throws {
        let deadline = Date().addingTimeInterval(patience)
        while !condition() {
            if isHopeless || Date() >= deadline {
                throw explain(silence: "expected that \(what)", hint, missing: "but that did not happen")
            }
            usleep(1000)
        }
    }
}
