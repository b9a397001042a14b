import CSystem

/// A system call that failed, as the number the system gave and what was being done.
public struct SystemError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The system's `errno`.
    public let code: Int32
    /// What was being done, such as "listen on 127.0.0.1:8000".
    public let action: String

    init(_ action: String, code: Int32 = csystem_errno()) {
        self.action = action
        self.code = code
    }

    public var description: String { "cannot \(action): \(String(cString: strerror(code)))" }
    /// True if another program listens on this port.
    public var isAddressInUse: Bool { code == EADDRINUSE }
}

/// A peer's address.
public struct SocketAddress: Sendable, Hashable, CustomStringConvertible {
    /// The numeric IPv4 or IPv6 address.
    public let host: String
    /// The TCP port.
    public let port: Int

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// An address as the system calls take it.
struct ResolvedAddress: Sendable {
    var storage: sockaddr_storage
    var length: socklen_t

    func withPointer<Result>(_ body: (UnsafePointer<sockaddr>) -> Result) -> Result {
        withUnsafePointer(to: storage) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1, body) }
    }
}

/// A non-blocking TCP socket: a file descriptor and the calls the engine makes on it.
struct Socket: Sendable {
    let descriptor: Int32

    /// What a read or write came to.
    enum Transfer {
        case bytes(Int)
        /// Nothing can be transferred now; the poller will tell when.
        case wouldBlock
        /// The peer has finished sending (reads, 0), or the connection is broken (the error's number).
        case ended(Int32)
    }

    init(descriptor: Int32) {
        self.descriptor = descriptor
        // Messages are small and gathered before they are written: waiting to fill a packet would only delay them.
        setOption(IPPROTO_TCP.value, TCP_NODELAY, 1)
    }

    // MARK: Opening

    /// The addresses of a host name, by the system's resolver. Blocks.
    static func resolve(_ host: String, port: Int) throws(SystemError) -> [ResolvedAddress] {
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICSERV
        hints.ai_socktype = streamType
        var list: UnsafeMutablePointer<addrinfo>?
        let failure = getaddrinfo(host, String(port), &hints, &list)
        guard failure == 0 else {
            throw SystemError(
                "find the host \(host) (\(String(cString: gai_strerror(failure))))", code: ENOENT)
        }
        defer { freeaddrinfo(list) }
        var addresses: [ResolvedAddress] = []
        var entry = list
        while let current = entry {
            var address = sockaddr_storage()
            memcpy(&address, current.pointee.ai_addr, Int(current.pointee.ai_addrlen))
            addresses.append(ResolvedAddress(storage: address, length: current.pointee.ai_addrlen))
            entry = current.pointee.ai_next
        }
        return addresses
    }

    /// A socket at the first address of `host`, which does not listen yet. Port 0 takes any free one.
    static func bound(host: String, port: Int) throws(SystemError) -> Socket {
        let action = "listen on \(host):\(port)"
        guard let address = try resolve(host, port: port).first else {
            throw SystemError(action, code: EADDRNOTAVAIL)
        }
        let descriptor = csystem_tcp_socket(Int32(address.storage.ss_family))
        guard descriptor >= 0 else { throw SystemError(action) }
        let socket = Socket(descriptor: descriptor)
        // A server that restarts may take its port again although old connections linger in TIME_WAIT.
        socket.setOption(SOL_SOCKET, SO_REUSEADDR, 1)
        let bound = address.withPointer { bind(descriptor, $0, address.length) }
        guard bound == 0 else {
            let error = SystemError(action)
            socket.close()
            throw error
        }
        return socket
    }

    /// From now on the system accepts connections on a bound socket, up to so many ahead of us.
    func startListening() throws(SystemError) {
        guard listen(descriptor, 1024) == 0 else { throw SystemError("listen on port \(localPort)") }
    }

    /// A socket whose connection to the address is under way.
    static func connecting(to address: ResolvedAddress) throws(SystemError) -> Socket {
        let descriptor = csystem_tcp_socket(Int32(address.storage.ss_family))
        guard descriptor >= 0 else { throw SystemError("open a socket") }
        let result = address.withPointer { connect(descriptor, $0, address.length) }
        if result != 0 && csystem_errno() != EINPROGRESS {
            let error = SystemError("connect")
            _ = CSystem.close(descriptor)
            throw error
        }
        return Socket(descriptor: descriptor)
    }

    enum Accepted {
        case connection(Socket, SocketAddress)
        case none
        /// No descriptors are left: accepting must pause, or the loop would spin.
        case exhausted
    }

    func accept() -> Accepted {
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let accepted = csystem_accept(descriptor, &address, &length)
        if accepted >= 0 {
            return .connection(
                Socket(descriptor: accepted), Self.describe(ResolvedAddress(storage: address, length: length))
            )
        }
        switch csystem_errno() {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM: return .exhausted
        case EINTR, ECONNABORTED: return accept()
        default: return .none
        }
    }

    // MARK: Transfer

    @inline(__always)
    func read(into buffer: UnsafeMutableRawBufferPointer) -> Transfer {
        while true {
            let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
            if count > 0 { return .bytes(count) }
            if count == 0 { return .ended(0) }
            switch csystem_errno() {
            case EINTR: continue
            case EAGAIN, EWOULDBLOCK: return .wouldBlock
            default: return .ended(csystem_errno())
            }
        }
    }

    /// Writes the front of a queue with one system call.
    @inline(__always)
    func write(_ queue: SendQueue) -> Transfer {
        let count = queue.withPieces { first, later in
            if later.isEmpty {
                var piece = iovec(
                    iov_base: UnsafeMutableRawPointer(mutating: first.baseAddress), iov_len: first.count)
                return csystem_send(descriptor, &piece, 1)
            }
            return writeGathered(first, later)
        }
        if count >= 0 { return .bytes(count) }
        switch csystem_errno() {
        case EAGAIN, EWOULDBLOCK, EINTR: return .wouldBlock
        default: return .ended(csystem_errno())
        }
    }

    private func writeGathered(_ first: UnsafeRawBufferPointer, _ later: ArraySlice<[UInt8]>) -> Int {
        withUnsafeTemporaryAllocation(of: iovec.self, capacity: Self.maximumPieces) { pieces in
            pieces[0] = iovec(
                iov_base: UnsafeMutableRawPointer(mutating: first.baseAddress), iov_len: first.count)
            var count = 1
            for array in later.prefix(Self.maximumPieces - 1) {
                // The queue keeps the array alive and nobody writes to it while it waits there.
                array.withUnsafeBytes {
                    pieces[count] = iovec(
                        iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count)
                }
                count += 1
            }
            return csystem_send(descriptor, pieces.baseAddress, Int32(count))
        }
    }
    private static let maximumPieces = 64

    // MARK: Closing and asking

    func shutdownWriting() { _ = CSystem.shutdown(descriptor, Int32(SHUT_WR)) }

    func close() { _ = CSystem.close(descriptor) }

    /// The error of a connection attempt, 0 if it succeeded.
    var pendingError: Int32 {
        var error: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : csystem_errno()
    }

    var localPort: Int {
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        return result == 0 ? Self.describe(ResolvedAddress(storage: address, length: length)).port : 0
    }

    private func setOption(_ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    static func describe(_ address: ResolvedAddress) -> SocketAddress {
        // 46 bytes hold the longest IPv6 address with its end (INET6_ADDRSTRLEN).
        var text = [CChar](repeating: 0, count: 64)
        var storage = address.storage
        let port = withUnsafeMutablePointer(to: &storage) { storage -> in_port_t in
            if Int32(storage.pointee.ss_family) == AF_INET6 {
                return storage.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
                    inet_ntop(AF_INET6, &$0.pointee.sin6_addr, &text, socklen_t(text.count))
                    return $0.pointee.sin6_port
                }
            }
            return storage.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                inet_ntop(AF_INET, &$0.pointee.sin_addr, &text, socklen_t(text.count))
                return $0.pointee.sin_port
            }
        }
        let host = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return SocketAddress(host: host, port: Int(UInt16(bigEndian: port)))
    }
}

#if os(Linux)
    private let streamType = Int32(SOCK_STREAM.rawValue)
    extension Int { fileprivate var value: Int32 { Int32(self) } }
#else
    private let streamType = SOCK_STREAM
    extension Int32 { fileprivate var value: Int32 { self } }
#endif
