// Different: a lock around an array instead of an actor with a dictionary; a member more in every event; the command
// taken apart by indices; the refused are closed before the handshake is accepted.
import Foundation
import LevelKit
import Synchronization
import WebSocketEngine

@main
public struct PrivateMessages: Level {
    public static func makeApplication() -> Application {
        let members = Members()
        let app = Application()
        app.webSocket("/ws/chat/{username}") { socket in
            let me = Member(name: socket.parameters["username"] ?? "?", socket: socket)
            guard members.reserve(me) else {
                return try await socket.close(code: 4009, reason: "Username taken")
            }
            defer {
                members.remove(me)
                members.tell(["type": "system", "message": "\(me.name) left"])
            }
            try await socket.accept()
            members.tell(["type": "system", "message": "\(me.name) joined"])
            while true {
                let message = try await socket.receive()
                if case .text(let text) = message { members.handle(text, from: me) }
            }
        }
        return app
    }
}

struct Member: Sendable {
    let name: String
    let socket: WebSocket
}

final class Members: Sendable {
    private let all = Mutex<[Member]>([])

    func reserve(_ member: Member) -> Bool {
        all.withLock { all in
            if all.contains(where: { $0.name == member.name }) { return false }
            all.append(member)
            return true
        }
    }

    func remove(_ member: Member) { all.withLock { $0.removeAll { $0.socket === member.socket } } }

    func tell(_ event: [String: String], where belongs: (Member) -> Bool = { _ in true }) {
        var event = event
        event["server"] = "lock-and-array"
        guard let data = try? JSONSerialization.data(withJSONObject: event) else { return }
        // Under the lock, so that everyone hears everything in the same order; broadcasting does not wait.
        all.withLock { all in
            all.filter(belongs).map(\.socket).broadcast(String(decoding: data, as: UTF8.self))
        }
    }

    func handle(_ text: String, from me: Member) {
        guard text == "/pm" || text.hasPrefix("/pm ") else {
            return tell(["type": "message", "from": me.name, "message": text])
        }
        let rest = text.dropFirst(4)
        guard let space = rest.firstIndex(of: " "), space > rest.startIndex,
            rest.index(after: space) < rest.endIndex
        else {
            return tell(["type": "error", "message": "write /pm, a name, a message"]) {
                $0.socket === me.socket
            }
        }
        let name = String(rest[..<space])
        guard all.withLock({ $0.contains { $0.name == name } }) else {
            return tell(["type": "error", "message": "No \"\(name)\" around"]) { $0.socket === me.socket }
        }
        let message = String(rest[rest.index(after: space)...])
        tell(["type": "pm", "from": me.name, "to": name, "message": message]) {
            [name, me.name].contains($0.name)
        }
    }
}
