import Synchronization

/// A server's behaviour: which handler answers which path, and what happens around them.
///
/// Describe it first, then start it; a change after the start is ignored. All methods may be called from any thread.
public final class Application: Sendable {
    /// Talks over one WebSocket until it returns or throws. When it returns, the connection is closed with 1000;
    /// when it throws a ``WebSocketException``, with that code; with any other error, with 1011.
    public typealias WebSocketHandler = @Sendable (WebSocket) async throws -> Void
    /// Answers one plain HTTP request. An error becomes 500.
    public typealias RequestHandler = @Sendable (Request) async throws -> Response
    /// Stands around every WebSocket handler: it may look at the socket, refuse it, or call the handler.
    public typealias Middleware = @Sendable (WebSocket, WebSocketHandler) async throws -> Void

    /// Whose pages may open a WebSocket here. A browser tells in the header Origin, and unlike for other requests it
    /// does not itself stop a foreign page (RFC 6455 §10.2). Clients that are no browsers send no Origin.
    public enum OriginPolicy: Sendable {
        /// Pages of this server itself: Origin, when present, names the same host and port as Host.
        case sameHost
        /// Also pages of these origins, such as `https://example.com`.
        case allow(Set<String>)
        /// Pages of every origin: for a service that does not go by cookies.
        case any
    }

    /// The time that handlers and the engine go by. Tests make it stand still.
    public let clock = ServerClock()

    struct Configuration {
        var limits = Limits()
        var origins = OriginPolicy.sameHost
        var webSockets = Router<WebSocketHandler>()
        var requests: [String: Router<RequestHandler>] = ["GET": .init(), "POST": .init()]
        var middleware: [Middleware] = []
        var startupHooks: [@Sendable () async throws -> Void] = []
        var shutdownHooks: [@Sendable () async throws -> Void] = []
        var errorHooks: [@Sendable (any Error, Request) -> Void] = []

        /// The methods that a path answers; HEAD wherever GET is.
        func methods(at path: String) -> [String] {
            let methods = requests.filter { $0.value.match(path) != nil }.keys.sorted()
            return methods.contains("GET") ? methods + ["HEAD"] : methods
        }
    }
    private let state = Mutex(Configuration())

    /// An application without routes.
    public init() {}

    /// What a starting server takes over.
    var configuration: Configuration { state.withLock { $0 } }

    /// The engine's limits for every connection.
    public var limits: Limits {
        get { state.withLock { $0.limits } }
        set { state.withLock { $0.limits = newValue } }
    }

    /// Which origins are let in; all others are refused with 403.
    public var origins: OriginPolicy {
        get { state.withLock { $0.origins } }
        set { state.withLock { $0.origins = newValue } }
    }

    // MARK: - Routes

    /// Answers WebSockets at `path`, such as `/ws/rooms/{room}`. The handler begins before the handshake is answered.
    public func webSocket(_ path: String, _ handler: @escaping WebSocketHandler) {
        state.withLock { $0.webSockets.add(path, handler) }
    }

    /// Answers GET requests at `path`.
    public func get(_ path: String, _ handler: @escaping RequestHandler) {
        state.withLock { $0.requests["GET"]?.add(path, handler) }
    }

    /// Answers POST requests at `path`.
    public func post(_ path: String, _ handler: @escaping RequestHandler) {
        state.withLock { $0.requests["POST"]?.add(path, handler) }
    }

    /// True if GET requests at this path have a handler.
    package func answersGet(_ path: String) -> Bool {
        state.withLock { $0.requests["GET"]?.match(path) != nil }
    }

    /// The paths of all WebSocket routes, in the order of adding.
    package var webSocketPaths: [String] { state.withLock { $0.webSockets.paths } }

    // MARK: - Around the handlers

    /// Puts `middleware` around all WebSocket handlers. The first one used is the outermost.
    public func use(_ middleware: @escaping Middleware) {
        state.withLock { $0.middleware.append(middleware) }
    }

    /// Runs before the server listens, in the order of adding. An error keeps it from starting.
    public func onStartup(_ hook: @escaping @Sendable () async throws -> Void) {
        state.withLock { $0.startupHooks.append(hook) }
    }

    /// Runs when the connections have ended, in the order of adding.
    public func onShutdown(_ hook: @escaping @Sendable () async throws -> Void) {
        state.withLock { $0.shutdownHooks.append(hook) }
    }

    /// Told of every error that a handler throws, but for ``WebSocketDisconnect`` and cancellation, which are
    /// everyday ends. Without such a hook they are printed to the standard error.
    public func onError(_ hook: @escaping @Sendable (any Error, Request) -> Void) {
        state.withLock { $0.errorHooks.append(hook) }
    }
}
