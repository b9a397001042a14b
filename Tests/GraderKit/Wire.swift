import Foundation
import WebSocketEngine

/// A blocking TCP connection with deadlines, for a client that shares no thread with the server it tests: whatever
/// the server does to its own threads, the client's patience ends on time.
final class Wire {
    enum Received {
        case bytes([UInt8])
        /// The peer has closed its side, or reset the connection.
        case end
        case nothing
    }

    let descriptor: Int32
    private var isOpen = true

    /// Nil if nobody listens.
    init?(port: Int, receiveBuffer: Int? = nil) {
        #if os(Linux)
            descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        #else
            descriptor = socket(AF_INET, SOCK_STREAM, 0)
        #endif
        if let receiveBuffer { set(SOL_SOCKET, SO_RCVBUF, Int32(receiveBuffer)) }
        set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        #if canImport(Darwin)
            set(SOL_SOCKET, SO_NOSIGPIPE, 1)
        #endif
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result != 0 {
            close(descriptor)
            return nil
        }
    }

    /// A connection that was accepted.
    init(descriptor: Int32) {
        self.descriptor = descriptor
        set(Int32(IPPROTO_TCP), TCP_NODELAY, 1)
        #if canImport(Darwin)
            set(SOL_SOCKET, SO_NOSIGPIPE, 1)
        #endif
    }

    deinit { end() }

    /// The port of this end.
    var localPort: Int {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        _ = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    private func set(_ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    /// False if the peer is gone, or does not take the bytes within five seconds.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            guard wait(for: POLLOUT, milliseconds: 5000) else { return false }
            #if os(Linux)
                let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
            #else
                let flags = MSG_DONTWAIT
            #endif
            let sent = rest.withUnsafeBytes { Foundation.send(descriptor, $0.baseAddress, $0.count, flags) }
            if sent < 0 {
                if errno == EAGAIN || errno == EINTR { continue }
                return false
            }
            rest = rest.dropFirst(sent)
        }
        return true
    }

    /// What arrives within so many milliseconds.
    func receive(milliseconds: Int) -> Received {
        guard isOpen else { return .end }
        guard wait(for: POLLIN, milliseconds: milliseconds) else { return .nothing }
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count > 0 { return .bytes(Array(buffer[..<count])) }
        return .end
    }

    private func wait(for event: some BinaryInteger, milliseconds: Int) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(event), revents: 0)
        return poll(&entry, 1, Int32(milliseconds)) > 0
    }

    /// Ends the connection as a crashed computer or a lost network does: without a word of WebSocket.
    /// `reset` also throws away what is on its way.
    func end(reset: Bool = false) {
        guard isOpen else { return }
        isOpen = false
        if reset {
            var option = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }
        close(descriptor)
    }

    /// Sends FIN, but goes on receiving.
    func endSending() { _ = shutdown(descriptor, Int32(SHUT_WR)) }
}
