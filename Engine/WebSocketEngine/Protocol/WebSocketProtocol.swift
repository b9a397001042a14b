/// One side of a WebSocket connection after its handshake, as a pure state machine: bytes in, events and bytes out.
///
/// It knows no sockets, clocks or tasks, so every rule of RFC 6455 in it can be tested with arrays. Server and client
/// share it; they differ in who masks (§5.1). Whoever owns it feeds what was received to ``next(_:)`` until that
/// returns nil, and writes ``output`` to the peer.
package struct WebSocketProtocol: Sendable {
    package enum Role: Sendable { case server, client }

    package enum Event: Sendable, Equatable {
        case message(Message)
        /// A Ping came; its Pong is already in ``output``.
        case ping([UInt8])
        case pong([UInt8])
        /// The peer's Close frame came. No event follows; ``finish()`` will answer it.
        case close(CloseCode, String)
        /// The peer broke a rule. No event follows; ``finish()`` will tell it so with this code.
        case violation(CloseCode, String)
    }

    /// The closing handshake (§7.1).
    package enum State: Sendable {
        case open
        /// Our Close frame is sent, the peer's is awaited; only it is of interest now.
        case closing
        /// Both Close frames have passed, or the connection was failed. Whatever else comes is ignored.
        case closed
    }

    package let role: Role
    package private(set) var state = State.open
    /// Bytes for the peer, in order.
    package var output = SendQueue()

    private let maximumMessageBytes: Int
    private let maximumFragments: Int
    private let highWater: Int
    /// Header bytes of a frame that has not arrived up to its payload yet.
    private var partialHeader: [UInt8] = []
    /// The frame whose payload is arriving, and how much of it has.
    private var frame: FrameHeader?
    private var frameReceived = 0
    private var controlPayload: [UInt8] = []
    private var message = PartialMessage()
    /// The newest Ping's payload that found no room in ``output`` (§5.5.3: older ones need no answer).
    private var pendingPong: [UInt8]?
    /// Set when nothing more is to be received: what our Close frame will say.
    private var lastWords: CloseReason?

    package init(role: Role, limits: Limits) {
        self.role = role
        maximumMessageBytes = limits.messageBytes
        maximumFragments = limits.messageFragments
        highWater = limits.sendHighWater
    }

    // MARK: - Receiving

    /// Takes bytes off the front of `input` until they make an event, or nil when all are taken and more are needed.
    /// Payloads are unmasked in place, so `input`'s bytes change.
    package mutating func next(_ input: inout UnsafeMutableRawBufferPointer) -> Event? {
        guard state != .closed, lastWords == nil else {
            input = .init(rebasing: input[input.count...])
            return nil
        }
        do throws(ProtocolViolation) {
            while true {
                if frame == nil {
                    guard let header = try takeHeader(&input) else { return nil }
                    try check(header)
                    if header.isFinal, input.count >= header.payloadLength, !header.opcode.isControl,
                        header.opcode != .continuation
                    {
                        // The common case, a whole message in one piece, goes straight from the input to the event.
                        let whole = try wholeMessage(header, take(header.payloadLength, from: &input))
                        if state == .closing { continue }
                        return .message(whole)
                    }
                    begin(header)
                }
                if let event = try takePayload(&input) { return event }
                if frame != nil { return nil }
            }
        } catch {
            fail(error)
            input = .init(rebasing: input[input.count...])
            return .violation(error.code, error.reason)
        }
    }

    /// Takes the next frame's header, if all of it is there.
    @inline(__always)
    private mutating func takeHeader(
        _ input: inout UnsafeMutableRawBufferPointer
    ) throws(ProtocolViolation) -> FrameHeader? {
        if input.isEmpty { return nil }
        if partialHeader.isEmpty {
            if let (header, length) = try FrameHeader.parse(.init(input), masked: role == .server) {
                _ = take(length, from: &input)
                return header
            }
            partialHeader.append(contentsOf: take(input.count, from: &input))
            return nil
        }
        // The header began in an earlier input: complete it byte by byte, which is at most 13 bytes.
        while !input.isEmpty {
            partialHeader.append(contentsOf: take(1, from: &input))
            if let header = try parsePartialHeader() {
                partialHeader = []
                return header
            }
        }
        return nil
    }

    private func parsePartialHeader() throws(ProtocolViolation) -> FrameHeader? {
        let masked = role == .server
        let parsed = partialHeader.withUnsafeBytes { bytes in
            Result { () throws(ProtocolViolation) in try FrameHeader.parse(bytes, masked: masked)?.header }
        }
        return try parsed.get()
    }

    /// What a header can violate given the frames before it and this endpoint's limits.
    @inline(__always)
    private mutating func check(_ header: FrameHeader) throws(ProtocolViolation) {
        if header.opcode.isControl { return }
        if header.opcode == .continuation {
            if !message.isInProgress {
                throw ProtocolViolation(
                    .protocolError, "a continuation frame without a message to continue (§5.4)")
            }
            if message.fragments >= maximumFragments {
                throw ProtocolViolation(
                    .messageTooBig, "a message has more than \(maximumFragments) fragments")
            }
        } else if message.isInProgress {
            throw ProtocolViolation(.protocolError, "a message begins inside another one (§5.4)")
        }
        // §10.4: refuse by the announced length, before any memory is spent on it.
        if header.payloadLength > maximumMessageBytes - message.bytes.count {
            throw ProtocolViolation(.messageTooBig, "a message is larger than \(maximumMessageBytes) bytes")
        }
    }

    /// Up to here it takes longer to look up the metadata of generic types, as `String(validating:)` does at each call,
    /// than to look at the bytes twice.
    private static let shortText = 512

    @inline(__always)
    private func wholeMessage(
        _ header: FrameHeader, _ payload: UnsafeMutableRawBufferPointer
    ) throws(ProtocolViolation) -> Message {
        if let key = header.maskingKey { mask(payload, with: key) }
        if header.opcode == .binary { return .binary([UInt8](payload)) }
        // §8.1: text that is not UTF-8 fails the connection.
        if payload.count > Self.shortText {
            guard let text = String(validating: payload, as: UTF8.self) else { throw .invalidText }
            return .text(text)
        }
        var utf8 = UTF8Validator()
        guard utf8.consume(.init(payload)), utf8.isComplete else { throw .invalidText }
        return .text(String(decoding: payload, as: UTF8.self))
    }

    private mutating func begin(_ header: FrameHeader) {
        frame = header
        frameReceived = 0
        if !header.opcode.isControl { message.beginFrame(header) }
    }

    /// Takes what is there of the current frame's payload; an event if that completes something.
    private mutating func takePayload(
        _ input: inout UnsafeMutableRawBufferPointer
    ) throws(ProtocolViolation) -> Event? {
        guard let header = frame else { return nil }
        let piece = take(min(input.count, header.payloadLength - frameReceived), from: &input)
        if let key = header.maskingKey { mask(piece, with: key, offset: frameReceived) }
        frameReceived += piece.count
        if header.opcode.isControl {
            controlPayload.append(contentsOf: piece)
        } else {
            try message.append(.init(piece))
        }
        return try finishFrameIfComplete()
    }

    private mutating func finishFrameIfComplete() throws(ProtocolViolation) -> Event? {
        guard let header = frame, frameReceived == header.payloadLength else { return nil }
        frame = nil
        if header.opcode.isControl {
            let payload = controlPayload
            controlPayload = []
            return try control(header.opcode, payload)
        }
        guard header.isFinal else { return nil }
        let whole = try message.finish()
        return state == .closing ? nil : .message(whole)
    }

    private mutating func control(_ opcode: Opcode, _ payload: [UInt8]) throws(ProtocolViolation) -> Event? {
        switch opcode {
        case .ping:
            if state == .open { answerPing(payload) }
            return .ping(payload)
        case .pong:
            return .pong(payload)
        default:
            let close = try CloseReason(payload: payload)
            // §5.5.1: the answer echoes the code.
            lastWords = CloseReason(code: close.code)
            return .close(close.code, close.reason)
        }
    }

    @inline(__always)
    private func take(_ count: Int, from input: inout UnsafeMutableRawBufferPointer)
        -> UnsafeMutableRawBufferPointer
    {
        let taken = UnsafeMutableRawBufferPointer(rebasing: input[..<count])
        input = .init(rebasing: input[count...])
        return taken
    }

    // MARK: - Receiving a large payload in place

    /// True while enough of one frame's payload is missing that it pays to receive it without a copy.
    package var wantsPayloadInPlace: Bool {
        guard let frame, state == .open, message.isSizedForFrame else { return false }
        return frame.payloadLength - frameReceived >= SendQueue.largePayload
    }

    /// Lets `read` put the next payload bytes where they belong; it returns how many it put there.
    package mutating func receivePayloadInPlace(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> Event? {
        guard let header = frame else { return nil }
        do throws(ProtocolViolation) {
            frameReceived += try message.fill(header, from: frameReceived, read)
            return try finishFrameIfComplete()
        } catch {
            fail(error)
            return .violation(error.code, error.reason)
        }
    }

    // MARK: - Sending

    /// Appends a message to ``output``. Does nothing after a Close frame: no data may follow it (§5.5.1).
    @inline(__always)
    package mutating func send(_ message: Message) {
        guard state == .open else { return }
        switch message {
        case .text(var text):
            text.withUTF8 { append(.text, .init($0)) }
        case .binary(let bytes):
            if bytes.count >= SendQueue.largePayload, role == .server {
                output.append(FrameHeader(opcode: .binary, payloadLength: bytes.count), largePayload: bytes)
            } else {
                bytes.withUnsafeBytes { append(.binary, $0) }
            }
        }
    }

    /// Appends a frame that was encoded once for many connections. For servers: a client's frames have masks of
    /// their own.
    package mutating func send(_ frame: EncodedFrame) {
        if state == .open { output.append(frame.bytes) }
    }

    package mutating func ping(_ payload: [UInt8]) {
        if state == .open { appendControl(.ping, payload) }
    }

    /// Begins the closing handshake (§7.1.2). False if it has begun before.
    @discardableResult
    package mutating func close(_ code: CloseCode, _ reason: String) -> Bool {
        guard state == .open else { return false }
        appendControl(.close, CloseReason(code: code, reason: reason).payload)
        state = .closing
        return true
    }

    /// To be called after the event that nothing follows: sends our Close frame, unless it went first.
    ///
    /// A step of its own, so that answers to messages from before the end can be sent first.
    package mutating func finish() {
        guard let lastWords, state != .closed else { return }
        if state == .open { appendControl(.close, lastWords.payload) }
        state = .closed
    }

    /// To be called when ``output`` has been sent: answers the newest Ping that had to wait.
    package mutating func outputWasSent() {
        guard let payload = pendingPong, state == .open, output.isEmpty else { return }
        pendingPong = nil
        appendControl(.pong, payload)
    }

    /// A peer that sends Pings and reads nothing must not make the output grow: past the high-water mark only the
    /// newest is remembered (§5.5.3).
    private mutating func answerPing(_ payload: [UInt8]) {
        if output.count > highWater {
            pendingPong = payload
        } else {
            appendControl(.pong, payload)
        }
    }

    /// §7.1.7: fail the connection, telling the peer why if our Close frame has not gone yet.
    private mutating func fail(_ violation: ProtocolViolation) {
        lastWords = CloseReason(code: violation.code, reason: violation.reason)
        frame = nil
        message = PartialMessage()
    }

    private mutating func appendControl(_ opcode: Opcode, _ payload: [UInt8]) {
        payload.withUnsafeBytes { append(opcode, $0) }
    }

    @inline(__always)
    private mutating func append(_ opcode: Opcode, _ payload: UnsafeRawBufferPointer) {
        // §5.3: a client takes a fresh, unpredictable key for every frame.
        let key = role == .client ? UInt32.random(in: .min ... .max) : nil
        output.append(
            FrameHeader(opcode: opcode, payloadLength: payload.count, maskingKey: key), payload: payload)
    }
}
