#if !FUZZING
    @testable import WebSocketEngine
#endif

/// What must hold for any input to the protocol layer whatever its bytes. `scripts/fuzz` compiles this file together
/// with the protocol's sources and searches for an input that breaks it; the tests replay what was found.
///
/// An input is a small program, so that a search by mutation soon gets past the first byte: the first byte chooses
/// what is tested, the second how, and the rest is the stream, or a recipe for one.
struct ProtocolProperties {
    private var source: Source
    private var choices: UInt8 = 0
    /// Whether a stream is cut at each of its places, one after the other, however many there are.
    private var cutsEverywhere = false

    /// Nil if everything holds, or what does not.
    static func fault(in input: [UInt8], cutsEverywhere: Bool = false) -> String? {
        var properties = ProtocolProperties(source: Source(bytes: input), cutsEverywhere: cutsEverywhere)
        let subject = properties.source.next()
        properties.choices = properties.source.next()
        switch subject % 8 {
        case 0: return properties.stream(properties.source.rest, .server)
        case 1: return properties.stream(properties.source.rest, .client)
        case 2, 3: return properties.validStream(.server)
        case 4: return properties.validStream(.client)
        case 5: return properties.head(properties.source.rest)
        default: return properties.head(properties.source.headOfTokens())
        }
    }

    // MARK: Frames

    /// What came of a stream.
    private struct Outcome: Equatable {
        var events: [[UInt8]] = []
        var output: [UInt8] = []
        /// The Pong that had to wait until the output was sent.
        var late: [UInt8] = []
        var state = WebSocketProtocol.State.open
        var fault: String?
    }

    /// However a stream is cut, it makes the same events and output; a valid one makes those `expected`.
    private func stream(_ bytes: [UInt8], _ role: WebSocketProtocol.Role, expected: [[UInt8]]? = nil)
        -> String?
    {
        var limits = Limits()
        if choices & 1 != 0, expected == nil {
            limits.messageBytes = 100
            limits.messageFragments = 3
            limits.sendHighWater = 64
        }
        // Our own Close frame goes out somewhere in the stream, at the same place whatever the cuts.
        let closeAt = choices & 6 == 6 && expected == nil ? bytes.count * Int(choices >> 3) / 32 : nil
        let whole = outcome(bytes, role, limits, cuts: [], closeAt: closeAt)
        if let fault = whole.fault { return fault }
        if let expected, whole.events != expected {
            return "a valid stream makes \(whole.events), not \(expected)"
        }
        for cuts in self.cuts(of: bytes.count) {
            for inPlace in bytes.count >= SendQueue.largePayload ? [false, true] : [false] {
                let parts = outcome(bytes, role, limits, cuts: cuts, closeAt: closeAt, inPlace: inPlace)
                if parts != whole {
                    return "cut at \(cuts.prefix(8)), in place \(inPlace): \(parts), not \(whole)"
                }
            }
        }
        return nil
    }

    /// Places to cut a stream: everywhere at once, and each place by itself as long as that takes no time.
    private func cuts(of count: Int) -> [[Int]] {
        if count <= 24 || cutsEverywhere { return [Array(0..<count)] + (1..<max(count, 1)).map { [$0] } }
        let somewhere = 1 + Int(choices) * (count - 1) / 256
        if count <= 2000 { return [Array(0..<count), [somewhere]] }
        let steps = [997, 4096, 16_384].map { Array(stride(from: somewhere % $0, to: count, by: $0)) }
        return [[somewhere]] + steps
    }

    private func outcome(
        _ bytes: [UInt8], _ role: WebSocketProtocol.Role, _ limits: Limits, cuts: [Int], closeAt: Int?,
        inPlace: Bool = false
    ) -> Outcome {
        var wire = WebSocketProtocol(role: role, limits: limits)
        var outcome = Outcome()
        func take(_ event: Event) {
            outcome.events.append(event.bytes)
            switch event {
            case .close, .violation: wire.finish()
            default: break
            }
        }
        var start = 0
        for end in (cuts + [closeAt, bytes.count].compactMap(\.self)).sorted() where end >= start {
            while inPlace, start < end, wire.wantsPayloadInPlace {
                let event = wire.receivePayloadInPlace { place in
                    let count = min(place.count, end - start)
                    place.copyBytes(from: bytes[start..<start + count])
                    start += count
                    return count
                }
                if let event { take(event) }
            }
            // Memory of exactly this size, so that the address sanitizer sees one byte too far.
            let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: end - start, alignment: 1)
            defer { piece.deallocate() }
            piece.copyBytes(from: bytes[start..<end])
            var rest = piece
            while let event = wire.next(&rest) { take(event) }
            if !rest.isEmpty { outcome.fault = "\(rest.count) bytes are not taken" }
            start = end
            if end == closeAt { wire.close(1000, "bye") }
        }
        outcome.state = wire.state
        let bound = limits.sendHighWater + 2 * (14 + 125)
        if wire.output.count > bound { outcome.fault = "the output grows to \(wire.output.count)" }
        outcome.output = readable(wire.output.drain(), from: role, &outcome.fault)
        wire.outputWasSent()
        outcome.late = readable(wire.output.drain(), from: role, &outcome.fault)
        return outcome
    }

    /// The peer can read what we say, and nothing follows a Close frame (§5.5.1). Without masks, which are random.
    private func readable(_ bytes: [UInt8], from role: WebSocketProtocol.Role, _ fault: inout String?)
        -> [UInt8]
    {
        var peer = WebSocketProtocol(role: role == .server ? .client : .server, limits: Limits())
        var plain: [UInt8] = []
        var bytes = bytes
        bytes.withUnsafeMutableBytes { buffer in
            var rest = buffer
            while let event = peer.next(&rest) {
                switch event {
                case .pong(let payload): plain += EncodedFrame(.pong, payload).bytes
                case .close(let code, let reason):
                    if !rest.isEmpty { fault = "\(rest.count) bytes follow our Close frame" }
                    plain += EncodedFrame(.close, CloseReason(code: code, reason: reason).payload).bytes
                default: fault = "we said \(event)"
                }
            }
        }
        return plain
    }

    /// A stream made by the rules of §5 makes exactly the events that it was made of; with a byte changed, it still
    /// makes the same events however it is cut.
    private mutating func validStream(_ role: WebSocketProtocol.Role) -> String? {
        var grammar = Grammar(source: source, isMasked: role == .server)
        grammar.makeStream()
        if choices & 0x81 != 0x81 || grammar.stream.isEmpty {
            return stream(grammar.stream, role, expected: grammar.events)
        }
        let place = Int(choices) * 251 % grammar.stream.count
        grammar.stream[place] ^= 1 << (choices >> 1 & 7)
        return stream(grammar.stream, role)
    }

    // MARK: HTTP heads

    /// A head makes the same result in one piece and byte by byte, and what a handler gets of it is clean.
    private func head(_ bytes: [UInt8]) -> String? {
        var limits = Limits()
        if choices & 1 != 0 {
            limits.requestLine = 40
            limits.headerBytes = 200
            limits.headerCount = 4
        }
        return choices & 2 == 0
            ? request(bytes, limits)
            : samePieceByPiece(bytes, limits) { parser, bytes throws(HTTPError) in
                try parser.parseResponse(bytes)
            }
    }

    private func request(_ bytes: [UInt8], _ limits: Limits) -> String? {
        let fault = samePieceByPiece(bytes, limits) { parser, bytes throws(HTTPError) in
            try parser.parseRequest(bytes)
        }
        var parser = HTTPHeadParser(limits: limits)
        let parsed = bytes.withUnsafeBytes { bytes in
            Result { () throws(HTTPError) in try parser.parseRequest(bytes) }
        }
        guard fault == nil, case .success(let (head, length)?) = parsed else { return fault }
        if length > bytes.count { return "the head is longer than its input" }
        for (name, value) in head.headers where !Headers.isValid(name: name, value: value) {
            return "the field \(name): \(value) cannot be passed on"
        }
        if head.headers.count(of: "Transfer-Encoding") > 0 || head.headers.count(of: "Content-Length") > 1
            || head.headers.count(of: "Host") > 1
        {
            return "two programs could read this request differently"
        }
        if let length = head.contentLength, length < 0 { return "the body's length is \(length)" }
        if !head.path.hasPrefix("/") { return "the path is \(head.path)" }
        // These must answer or throw, no more.
        _ = Handshake.isRequested(by: head)
        _ = try? Handshake.key(of: head)
        _ = QueryParameters(head.query)
        _ = percentDecoded(head.path[...])
        return nil
    }

    private func samePieceByPiece<Head: Equatable>(
        _ bytes: [UInt8], _ limits: Limits,
        _ parse: (inout HTTPHeadParser, UnsafeRawBufferPointer) throws(HTTPError) -> (
            head: Head, length: Int
        )?
    ) -> String? {
        /// The head and its length, or the error; nil while it is incomplete.
        func result(_ parser: inout HTTPHeadParser, _ count: Int) -> (Head?, Int, HTTPError?)? {
            let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 1)
            defer { piece.deallocate() }
            piece.copyBytes(from: bytes[..<count])
            do throws(HTTPError) {
                return try parse(&parser, .init(piece)).map { ($0.head, $0.length, nil) }
            } catch {
                return (nil, 0, error)
            }
        }
        var parser = HTTPHeadParser(limits: limits)
        let whole = result(&parser, bytes.count)
        parser = HTTPHeadParser(limits: limits)
        let step = max(1, bytes.count / 512)
        for count in Array(stride(from: 0, to: bytes.count, by: step)) + [bytes.count] {
            guard let parts = result(&parser, count) else { continue }
            guard let whole, whole == parts else {
                return "after \(count) bytes \(parts), in one piece \(String(describing: whole))"
            }
            return nil
        }
        return whole == nil ? nil : "byte by byte nothing comes, in one piece \(String(describing: whole))"
    }
}

/// The bytes of an input, one after the other; zeros at its end.
private struct Source {
    var bytes: [UInt8]
    var offset = 0

    var isAtEnd: Bool { offset >= bytes.count }
    var rest: [UInt8] { isAtEnd ? [] : Array(bytes[offset...]) }

    mutating func next() -> UInt8 {
        defer { offset += 1 }
        return isAtEnd ? 0 : bytes[offset]
    }

    /// Small most of the time, and now and then across every boundary that the protocol has.
    mutating func length() -> Int {
        let byte = Int(next())
        switch byte {
        case 0..<200: return byte % 40
        case 200..<240: return 120 + byte % 10
        case 240..<253: return Int(next()) << 1
        // Long ones cost time, so they are rarer still.
        case 253 where next() == 1: return 65_530 + Int(next()) % 12
        default: return next() == 1 ? 16_380 + Int(next()) : 126
        }
    }

    /// Text that looks like the head of a request or a response.
    mutating func headOfTokens() -> [UInt8] {
        var text: [UInt8] = []
        while !isAtEnd {
            let byte = next()
            let index = Int(byte) - 128
            text += Self.tokens.indices.contains(index) ? Array(Self.tokens[index].utf8) : [byte]
        }
        return text
    }

    private static let tokens = [
        "GET / HTTP/1.1\r\n", "POST /a?b=c HTTP/1.1\r\n", "HTTP/1.1 101 Switching Protocols\r\n",
        "HTTP/1.1 200\r\n", "GET http://a/b HTTP/1.0\r\n", "Host: a\r\n", "Content-Length: ", "\r\n",
        "Transfer-Encoding: chunked\r\n", "Upgrade: websocket\r\n", "Connection: keep-alive, Upgrade\r\n",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Sec-WebSocket-Version: 13\r\n", "a: b\r\n", ": ",
        " HTTP/1.1\r\n", "%2", "ws://", "99999999999999999999", "\r\n\r\n", "\t", "\u{0}", "é",
    ]
}

private typealias Event = WebSocketProtocol.Event

extension WebSocketProtocol.Event {
    /// For comparing byte by byte: two strings are equal in Swift when they only look the same.
    fileprivate var bytes: [UInt8] {
        switch self {
        case .message(.text(let text)): [1] + text.utf8
        case .message(.binary(let bytes)): [2] + bytes
        case .ping(let payload): [3] + payload
        case .pong(let payload): [4] + payload
        case .close(let code, let reason): [5] + CloseReason(code: code, reason: reason).payload
        case .violation(let code, let reason): [6] + CloseReason(code: code, reason: reason).payload
        }
    }
}

/// Makes a valid stream of frames, and the events that it stands for.
private struct Grammar {
    var source: Source
    let isMasked: Bool
    var stream: [UInt8] = []
    var events: [[UInt8]] = []

    init(source: Source, isMasked: Bool) {
        self.source = source
        self.isMasked = isMasked
    }

    mutating func makeStream() {
        while !source.isAtEnd, stream.count < 20_000 {
            let choice = source.next()
            switch choice % 16 {
            case 0..<10:
                addMessage(isText: choice & 1 == 0, pieces: choice % 16 < 6 ? 1 : 1 + Int(choice >> 4) % 5)
            case 15: if addClose() { return }
            default: addControl(choice)
            }
        }
    }

    private mutating func addMessage(isText: Bool, pieces: Int) {
        let payload = isText ? text() : bytes(source.length())
        var start = 0
        for number in 1...pieces {
            let isLast = number == pieces
            let end = isLast ? payload.count : start + (payload.count - start) * Int(source.next()) / 255
            add(
                number == 1 ? (isText ? .text : .binary) : .continuation, payload[start..<end],
                isFinal: isLast)
            start = end
            if !isLast, source.next() & 3 == 0 { addControl(source.next()) }
        }
        events.append([isText ? 1 : 2] + payload)
    }

    private mutating func addControl(_ choice: UInt8) {
        let payload = bytes(Int(choice) % 126)
        // Within Limits.sendHighWater, or only the newest would be answered.
        let isPing = choice & 1 == 0 && stream.count < 20_000
        add(isPing ? .ping : .pong, payload[...])
        events.append([isPing ? 3 : 4] + payload)
    }

    /// Half of the time, so that streams grow long.
    private mutating func addClose() -> Bool {
        let choice = source.next()
        if choice & 1 == 0 { return false }
        let codes: [CloseCode] = [.noStatusReceived, 1000, 1001, 1007, 1014, 3000, 4000, 4999]
        let code = codes[Int(choice >> 1 & 7)]
        let reason = code == .noStatusReceived ? "" : String(decoding: text(atMost: 30), as: UTF8.self)
        add(.close, CloseReason(code: code, reason: reason).payload[...])
        events.append(Event.close(code, reason).bytes)
        return true
    }

    private mutating func add(_ opcode: Opcode, _ payload: ArraySlice<UInt8>, isFinal: Bool = true) {
        let key = isMasked ? (0..<4).reduce(UInt32(0)) { key, _ in key << 8 | UInt32(source.next()) } : nil
        stream += EncodedFrame(opcode, payload, maskingKey: key, isFinal: isFinal).bytes
    }

    private mutating func bytes(_ count: Int) -> [UInt8] {
        let seed = source.next()
        return (0..<count).map { seed &+ UInt8(truncatingIfNeeded: $0 &* 7) }
    }

    private mutating func text(atMost limit: Int = .max) -> [UInt8] {
        let count = min(source.length(), limit)
        let step = Int(source.next())
        var text: [UInt8] = []
        for index in 0..<count { text += Self.characters[(step + index * step) % Self.characters.count] }
        return text
    }

    /// The first and last characters of each length in UTF-8, and some between.
    private static let characters = [
        "a", "\u{0}", "\u{7F}", "\u{80}", "\u{7FF}", "\u{800}", "\u{D7FF}", "\u{E000}", "\u{FFFD}",
        "\u{FFFF}",
        "\u{10000}", "\u{10FFFF}", "é", "漢", "😀", "z",
    ].map { Array($0.utf8) }
}

#if FUZZING
    extension SendQueue {
        mutating func drain() -> [UInt8] {
            let bytes = withPieces { first, later in later.reduce(into: Array(first)) { $0 += $1 } }
            removeAll()
            return bytes
        }
    }
#endif
