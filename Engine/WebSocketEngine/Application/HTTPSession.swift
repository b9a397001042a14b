/// A new connection on a server, until its request is answered or has become a WebSocket. Confined to its loop.
final class HTTPSession: ConnectionDelegate, @unchecked Sendable {
    var output = SendQueue()
    private let server: ServerLoop
    private var connection: Connection?
    private var parser: HTTPHeadParser
    /// Everything received, until it is understood.
    private var buffer: [UInt8] = []
    /// The request whose body is arriving, and its length.
    private var pending: (request: Request, handler: Application.RequestHandler, bodyLength: Int)?
    private var isAnswering = false
    /// RFC 9110 §9.3.2: no answer to HEAD has a body, an error no more than a page.
    private var isHead = false
    /// What 405 must name (RFC 9110 §15.5.6).
    private var allowedMethods: [String] = []
    private var deadline: TimerQueue.ID?

    init(_ connection: Connection, on server: ServerLoop) {
        self.connection = connection
        self.server = server
        parser = HTTPHeadParser(limits: server.limits)
        // In total, whatever arrives: a peer that sends a byte now and then holds a connection no longer than others.
        deadline = server.loop.schedule(after: server.limits.handshakeTimeout) {
            self.answer(HTTPError(status: 408, reason: "The request took too long."))
        }
    }

    // MARK: - Receiving

    func received(_ bytes: UnsafeMutableRawBufferPointer) {
        if isAnswering { return }
        buffer.append(contentsOf: bytes)
        if pending == nil {
            do throws(HTTPError) {
                guard let (head, length) = try parseHead() else { return }
                buffer.removeFirst(length)
                try begin(head)
            } catch {
                return answer(error)
            }
        }
        if let pending, buffer.count >= pending.bodyLength {
            var request = pending.request
            request.body = Array(buffer.prefix(pending.bodyLength))
            run(pending.handler, request)
        }
    }

    private func parseHead() throws(HTTPError) -> (head: RequestHead, length: Int)? {
        // The closure hands the error out as a value: typed throws do not pass `withUnsafeBytes` yet.
        try buffer.withUnsafeBytes { bytes in
            Result { () throws(HTTPError) in try parser.parseRequest(bytes) }
        }.get()
    }

    /// Decides what a request wants.
    private func begin(_ head: RequestHead) throws(HTTPError) {
        guard let connection else { return }
        var request = Request(head, client: connection.peer)
        isHead = head.method == "HEAD"
        if server.isShuttingDown { throw HTTPError(status: 503, reason: "The server is shutting down.") }
        let webSocket = server.configuration.webSockets.match(head.path)
        allowedMethods = webSocket == nil ? server.configuration.methods(at: head.path) : ["GET"]
        if Handshake.isRequested(by: head), let webSocket {
            let key = try Handshake.key(of: head)
            try checkOrigin(head)
            request.parameters = webSocket.parameters
            return upgrade(request, key, webSocket.handler)
        }
        let method = head.method == "HEAD" ? "GET" : head.method
        if let route = server.configuration.requests[method]?.match(head.path) {
            let length = head.contentLength ?? 0
            guard length <= server.limits.bodyBytes else {
                throw HTTPError(
                    status: 413, reason: "The body is larger than \(server.limits.bodyBytes) bytes.")
            }
            request.parameters = route.parameters
            pending = (request, route.handler, length)
            if length > 0, head.headers.hasToken("100-continue", in: "Expect") {
                output.append(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
                connection.flushLater()
            }
            return
        }
        if webSocket != nil {
            throw HTTPError(
                status: 426, reason: "\(head.path) is a WebSocket: connect with ws://, not http://.")
        }
        if !allowedMethods.isEmpty {
            throw HTTPError(status: 405, reason: "\(head.path) does not answer \(head.method).")
        }
        throw HTTPError(status: 404, reason: "There is nothing at \(head.path).")
    }

    private func checkOrigin(_ head: RequestHead) throws(HTTPError) {
        guard let origin = head.headers["Origin"] else { return }
        let own = head.headers["Host"].map { host in
            ["http://\(host)", "https://\(host)"].contains { $0.lowercased() == origin.lowercased() }
        }
        switch server.configuration.origins {
        case .any: return
        case .allow(let allowed) where allowed.contains(origin): return
        case _ where own == true: return
        default: throw HTTPError(status: 403, reason: "Pages of \(origin) may not connect here.")
        }
    }

    // MARK: - Plain requests

    private func run(_ handler: @escaping Application.RequestHandler, _ request: Request) {
        isAnswering = true
        server.loop.cancel(deadline)
        Task(executorPreference: server.loop) {
            let result: Result<[UInt8], any Error>
            do {
                let response = try await handler(request)
                result = .success(try response.encoded(omittingBody: self.isHead))
            } catch {
                result = .failure(error)
            }
            self.server.loop.run { self.finish(result, request) }
        }
    }

    private func finish(_ result: Result<[UInt8], any Error>, _ request: Request) {
        switch result {
        case .success(let response): send(response)
        case .failure(let error as HTTPError): answer(error)
        case .failure(let error):
            server.report(error, request)
            answer(HTTPError(status: 500, reason: "The server failed to answer."))
        }
    }

    private func answer(_ error: HTTPError) {
        // Encoding fails for invalid headers only, and this response has none of a user's.
        var response = Response.text(error.reason + "\n", status: error.status)
        if error.status == 405, !allowedMethods.isEmpty {
            response.headers["Allow"] = allowedMethods.joined(separator: ", ")
        }
        send((try? response.encoded(omittingBody: isHead)) ?? [])
    }

    private func send(_ response: [UInt8]) {
        isAnswering = true
        server.loop.cancel(deadline)
        output.append(response)
        connection?.finish(lingering: true, within: server.limits.closeTimeout)
    }

    // MARK: - WebSockets

    private func upgrade(_ request: Request, _ key: String, _ handler: @escaping Application.WebSocketHandler)
    {
        guard let connection else { return }
        server.loop.cancel(deadline)
        isAnswering = true
        let session = WebSocketSession(role: .server, limits: server.sharedLimits, loop: server.loop)
        // An emptied buffer would keep its memory for as long as the connection lives.
        session.takeOver(connection, surplus: buffer.isEmpty ? [] : buffer) { subprotocol, headers in
            Handshake.response(key: key, subprotocol: subprotocol, headers: headers)
        }
        self.connection = nil
        server.forget(self)
        server.begin(WebSocket(session: session, request: request), handler)
    }

    // MARK: - Ends

    /// A client may shut down its side after a request and still wait for the answer.
    func peerFinished() -> Bool { isAnswering }

    /// 503 for a request that has not been understood yet; one that is being answered may finish.
    func shutDown() {
        if !isAnswering { answer(HTTPError(status: 503, reason: "The server is shutting down.")) }
    }

    /// Cuts the connection, whatever is under way.
    func abort() { connection?.close() }

    func outputWasSent() {}

    func receiveInPlace(_ read: (UnsafeMutableRawBufferPointer) -> Int) -> Bool { false }

    func connectionClosed() {
        server.loop.cancel(deadline)
        connection = nil
        server.forget(self)
    }
}
