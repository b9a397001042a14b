import Foundation

/// So many connections to a server on this machine that they need a process of their own, made and moved by another
/// program. Plain sockets that say what they are told: a line `FIRST COUNT .SAY .HEAR` on the standard input, in
/// hexadecimal, makes so many of them say that, and then hear exactly that. The answer is `done` or what is wrong.
struct Crowd {
    let port: Int
    private var descriptors: [Int32] = []

    init(port: Int) { self.port = port }

    mutating func obey() {
        raiseDescriptorLimit()
        while let line = readLine() {
            let words = line.split(separator: " ")
            guard words.count == 4, let first = Int(words[0]), let count = Int(words[1]) else {
                print("\(line): expected FIRST COUNT .SAY .HEAR")
                exit(2)
            }
            let fault = exchange(first..<first + count, say: bytes(words[2]), hear: bytes(words[3]))
            FileHandle.standardOutput.write(Data("\(fault ?? "done")\n".utf8))
        }
    }

    /// What went wrong, or nil. All have spoken before the first is listened to.
    private mutating func exchange(_ range: Range<Int>, say: [UInt8], hear: [UInt8]) -> String? {
        while descriptors.count < range.upperBound {
            guard let descriptor = connect() else { return "\(descriptors.count) cannot connect: \(errno)" }
            descriptors.append(descriptor)
        }
        for index in range where send(descriptors[index], say, say.count, 0) != say.count {
            return "\(index) cannot send: \(errno)"
        }
        if hear.isEmpty { return nil }
        var heard = [UInt8](repeating: 0, count: hear.count)
        for index in range {
            let count = recv(descriptors[index], &heard, hear.count, Int32(MSG_WAITALL.value))
            if count != hear.count || heard != hear { return "\(index) heard \(count): \(heard), \(errno)" }
        }
        return nil
    }

    private func connect() -> Int32? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.value), 0)
        if descriptor < 0 { return nil }
        // Nobody waits longer than that for what should come at once.
        var patience = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        if descriptors.count % 2 == 0 {
            // Every other one ends by a reset.
            var option = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Foundation.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        return result == 0 ? descriptor : nil
    }

    private func raiseDescriptorLimit() {
        let resource = RLIMIT_NOFILE.resource
        var limit = rlimit()
        getrlimit(resource, &limit)
        limit.rlim_cur = max(limit.rlim_cur, min(limit.rlim_max, 12_000))
        setrlimit(resource, &limit)
    }

    /// What follows the full stop, which is there so that nothing is a word as well.
    private func bytes(_ word: Substring) -> [UInt8] {
        let digits = word.compactMap(\.hexDigitValue)
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}

#if os(Linux)
    extension __socket_type { fileprivate var value: UInt32 { rawValue } }
    extension Int { fileprivate var value: Int { self } }
    extension __rlimit_resource { fileprivate var resource: __rlimit_resource_t { .init(rawValue) } }
#else
    extension Int32 {
        fileprivate var value: Int32 { self }
        fileprivate var resource: Int32 { self }
    }
#endif
