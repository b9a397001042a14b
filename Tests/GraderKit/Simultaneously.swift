import Dispatch

extension Classroom {
    /// Does `work` while the server's threads stand still: what its clients send or end meanwhile, the server finds
    /// all at once afterwards. For mistakes that show only when things happen at the same time. `work` must not wait
    /// for an answer.
    public func simultaneously<Result>(_ work: () throws -> Result) throws -> Result {
        let held = DispatchSemaphore(value: 0)
        let release = DispatchSemaphore(value: 0)
        let loops = server.eventLoops
        for loop in loops {
            loop.execute {
                held.signal()
                release.wait()
            }
        }
        defer { for _ in loops { release.signal() } }
        for _ in loops where held.wait(timeout: .now() + patience) == .timedOut {
            throw explain(silence: "the server was to begin something new")
        }
        return try work()
    }

    /// Connects clients whose handshakes the server finds all at once, together with what others do `meanwhile`.
    /// All must succeed.
    @discardableResult
    public func connectSimultaneously(
        _ clients: [(name: String, path: String)], meanwhile: () throws -> Void = {}, _ hint: String = ""
    ) throws -> [Client] {
        let requests = try simultaneously {
            try meanwhile()
            return try clients.map { try ask($0.name, $0.path) }
        }
        return try requests.map { try open($0, hint) }
    }

    /// Connects clients whose handshakes the server finds all at once, and which it may let in or refuse.
    public func race(_ names: [String], to path: String) throws -> (open: [Client], refused: [HTTPAnswer]) {
        let requests = try simultaneously { try names.map { try ask($0, path) } }
        var result: (open: [Client], refused: [HTTPAnswer]) = ([], [])
        for request in requests {
            switch try outcome(of: request) {
            case .open(let client): result.open.append(client)
            case .refused(let answer): result.refused.append(answer)
            }
        }
        return result
    }

    /// Connects clients while others do something: the server finds all of it in one turn of its loop, in this order:
    /// step 0, the first client's handshake, step 1, the second one's … All must succeed.
    public func connectAmid(
        _ clients: [(name: String, path: String)], step: (Int) throws -> Void, _ hint: String = ""
    ) throws -> [Client] {
        let handshakes = try clients.map { try dial($0.name, $0.path) }
        // Newcomers are taken in order: once this one is answered, all of them are in.
        _ = try request("GET", "/", body: nil, silently: true)
        try simultaneously {
            for (index, handshake) in handshakes.enumerated() {
                try step(index)
                send(handshake)
            }
        }
        return try handshakes.map { try open($0, hint) }
    }
}
