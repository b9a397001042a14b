import Foundation
import WebSocketEngine

/// A server that does what a check tells it, step by step, for the client of a student to meet: it refuses, accepts,
/// answers wrongly, and cuts connections at any moment. It speaks through the engine's `WebSocketProtocol`, without a
/// loop or a task of its own.
public final class ScriptedServer {
    private let room: Classroom
    public let port: Int
    private let descriptor: Int32

    /// Takes a free port and listens; or not yet, so that whoever connects is refused by the system.
    public init(in room: Classroom, listening: Bool = true) throws {
        self.room = room
        (descriptor, port) = try Self.bind()
        if listening { listen() }
    }

    deinit { close(descriptor) }

    public func listen() { _ = Foundation.listen(descriptor, 16) }

    // MARK: - Callers

    /// A client whose handshake is not answered yet.
    public final class Caller {
        public let path: String
        /// Names in lower case.
        public let headers: [String: String]
        private let wire: Wire
        private let surplus: [UInt8]
        private let room: Classroom

        init(
            _ path: String, _ headers: [String: String], _ wire: Wire, _ surplus: [UInt8], in room: Classroom
        ) {
            self.path = path
            self.headers = headers
            self.wire = wire
            self.surplus = surplus
            self.room = room
        }

        /// The subprotocols that it offers.
        public var offers: [String] {
            (headers["sec-websocket-protocol"] ?? "").split(separator: ",")
                .map { $0.trimmingCharacters(in: .whitespaces) }
        }

        /// Answers 101. The result is this server's end of the connection.
        public func accept(subprotocol: String? = nil) -> Client {
            let key = headers["sec-websocket-key"] ?? ""
            var text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            text += "Sec-WebSocket-Accept: \(Handshake.acceptValue(forKey: key))\r\n"
            if let subprotocol { text += "Sec-WebSocket-Protocol: \(subprotocol)\r\n" }
            room.transcript.add(
                "The server", "accepts" + (subprotocol.map { " with subprotocol \($0)" } ?? ""))
            wire.send(Array("\(text)\r\n".utf8))
            return room.add(Client("The server", path, wire, surplus, role: .server, in: room))
        }

        /// Answers with another status, such as `404 Not Found`.
        public func refuse(_ status: String) {
            room.transcript.add("The server", "answers \(status)")
            wire.send(Array("HTTP/1.1 \(status)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".utf8))
            wire.end()
        }

        /// Ends the connection without an answer.
        public func drop() {
            room.transcript.add("The server", "ends the connection without an answer")
            wire.end(reset: true)
        }
    }

    /// The next client that connects.
    public func nextCaller(_ hint: String = "") throws -> Caller {
        let deadline = Date().addingTimeInterval(room.patience)
        while !isCalled(within: 10) {
            if room.isHopeless || room.everybodyHasLeft || Date() >= deadline {
                throw room.explain(silence: "expected a client to connect", hint)
            }
        }
        let wire = Wire(descriptor: Foundation.accept(descriptor, nil, nil))
        var received: [UInt8] = []
        while true {
            if let end = received.firstRange(of: Array("\r\n\r\n".utf8)) {
                return caller(received[..<end.lowerBound], wire, Array(received[end.upperBound...]))
            }
            switch wire.receive(milliseconds: 20) {
            case .bytes(let bytes): received += bytes
            case .end:
                throw room.wrong("the client has connected and ended the connection without a handshake")
            case .nothing:
                if room.isHopeless || Date() >= deadline {
                    throw room.explain(silence: "expected the client's handshake", hint)
                }
            }
        }
    }

    /// The next client that connects, accepted.
    public func nextConnection(_ hint: String = "") throws -> Client { try nextCaller(hint).accept() }

    /// True if a client has connected that nobody has asked for yet.
    public var isCalled: Bool { isCalled(within: 0) }

    /// Nobody has connected. To be asked when nothing is under way any more.
    public func expectNobody(_ hint: String = "") throws {
        if isCalled { throw room.wrong("expected no further connection", "     got one", hint: hint) }
    }

    /// Waits until the client sleeps on the classroom's clock, moves the time on to the end of its sleep, and returns
    /// how long that was: zero if it has connected without a pause.
    public func pause(_ hint: String = "") throws -> Duration {
        let deadline = Date().addingTimeInterval(room.patience)
        while room.clock.timesToSleep.isEmpty {
            if isCalled { return .zero }
            if room.isHopeless || room.everybodyHasLeft || Date() >= deadline {
                throw room.explain(silence: "expected the client to sleep on its clock", hint)
            }
            usleep(200)
        }
        let pause = room.clock.timesToSleep.first ?? .zero
        room.transcript.add("Time", "moves on by \(pause.inSeconds), to the end of the client's pause")
        room.clock.advance(by: pause)
        return pause
    }

    private func caller(_ head: ArraySlice<UInt8>, _ wire: Wire, _ surplus: [UInt8]) -> Caller {
        let lines = String(decoding: head, as: UTF8.self).components(separatedBy: "\r\n")
        let path = lines[0].split(separator: " ").dropFirst().first.map(String.init) ?? "/"
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 {
                headers[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces)
            }
        }
        room.transcript.add("The client", "connects to \(path)")
        return Caller(path, headers, wire, surplus, in: room)
    }

    // MARK: - The system's calls

    private func isCalled(within milliseconds: Int32) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, milliseconds) > 0 && entry.revents & Int16(POLLIN) != 0
    }

    private static func bind() throws -> (descriptor: Int32, port: Int) {
        #if os(Linux)
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
            let descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
            }
        }
        if !isBound {
            close(descriptor)
            throw Failure(.wrong, ["the check itself failed: there is no free port"])
        }
        return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
    }
}
