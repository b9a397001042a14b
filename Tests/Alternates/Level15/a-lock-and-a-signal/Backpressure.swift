import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

/// A queue made by hand: an array and a count behind a lock, and a continuation of who waits for it.
final class Mailbox: Sendable {
    struct Delivery {
        let dropped: Int
        let text: String
    }

    private struct State {
        var texts: [String] = []
        var dropped = 0
        var reader: CheckedContinuation<Void, Never>?
        var isClosed = false
    }
    private let state = Mutex(State())

    func put(_ text: String) {
        let reader = state.withLock { state in
            if state.texts.count == 1000 {
                state.texts.removeFirst()
                state.dropped += 1
            }
            state.texts.append(text)
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume()
    }

    func close() {
        let reader = state.withLock { state in
            state.isClosed = true
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume()
    }

    func take() async -> Delivery? {
        while true {
            let (delivery, isClosed) = state.withLock { state -> (Delivery?, Bool) in
                if state.texts.isEmpty || state.isClosed { return (nil, state.isClosed) }
                defer { state.dropped = 0 }
                return (Delivery(dropped: state.dropped, text: state.texts.removeFirst()), false)
            }
            if let delivery { return delivery }
            if isClosed { return nil }
            await withCheckedContinuation { continuation in
                let isReady = state.withLock { state in
                    if !state.texts.isEmpty || state.isClosed { return true }
                    state.reader = continuation
                    return false
                }
                if isReady { continuation.resume() }
            }
        }
    }
}

final class Mailboxes: Sendable {
    private let all = Mutex<[ObjectIdentifier: Mailbox]>([:])

    var count: Int { all.withLock { $0.count } }
    func add(_ mailbox: Mailbox) { all.withLock { $0[ObjectIdentifier(mailbox)] = mailbox } }
    func remove(_ mailbox: Mailbox) { all.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(mailbox)) } }
    func put(_ text: String) { all.withLock { for mailbox in $0.values { mailbox.put(text) } } }
}

@main
public struct Backpressure: Level {
    public static func makeApplication() -> Application { makeApplication(data: DataDirectory.path) }

    public static func makeApplication(data directory: String) -> Application {
        let mailboxes = Mailboxes()
        let app = Application()
        app.webSocket("/feed") { socket in
            let mailbox = Mailbox()
            mailboxes.add(mailbox)
            defer {
                mailboxes.remove(mailbox)
                mailbox.close()
            }
            try await socket.accept()
            try await socket.send(#"{ "type" : "subscribed", "limit" : 1000 }"#)
            let sending = Task {
                while let delivery = await mailbox.take() {
                    if delivery.dropped > 0 {
                        try await socket.send(#"{"type":"dropped","count":\#(delivery.dropped)}"#)
                    }
                    try await socket.sendJSON(["type": "message", "message": delivery.text])
                }
            }
            defer { sending.cancel() }
            for try await _ in socket {}
        }
        app.webSocket("/publish") { socket in
            try await socket.accept()
            for try await message in socket {
                guard case .text(let text) = message else { continue }
                mailboxes.put(text)
                try await socket.sendJSON(["type": "published"])
            }
        }
        app.get("/subscribers") { _ in try .json(["count": mailboxes.count]) }
        app.webSocket("/files/{name}") { socket in
            let name = socket.parameters["name"] ?? ""
            // Only names that the directory lists lead to a file.
            let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
            var isFolder: ObjCBool = false
            guard names.contains(name),
                FileManager.default.fileExists(atPath: directory + "/" + name, isDirectory: &isFolder),
                !isFolder.boolValue
            else { return try await socket.close(code: .policyViolation, reason: "No such file") }
            try await socket.accept()
            // Pages of a mapped file are read when they are looked at.
            let file = try Data(
                contentsOf: URL(fileURLWithPath: directory + "/" + name), options: .alwaysMapped)
            for start in stride(from: 0, to: file.count, by: 8192) {
                try await socket.send([UInt8](file[start..<min(start + 8192, file.count)]))
            }
            try await socket.close()
        }
        return app
    }
}
