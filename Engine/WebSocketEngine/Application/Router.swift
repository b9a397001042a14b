/// Finds the handler of a path. A route's segments are literal or `{name}`, which stands for one segment.
struct Router<Handler: Sendable>: Sendable {
    private enum Segment: Sendable, Equatable {
        case literal(String)
        case parameter(String)
    }

    private struct Route: Sendable {
        var path: String
        var segments: [Segment]
        var handler: Handler
    }

    private var routes: [Route] = []

    /// The paths of all routes, in the order of adding.
    var paths: [String] { routes.map(\.path) }

    /// Adds a route. Of two that match one path the one with the earlier literal wins, whatever the order of adding.
    mutating func add(_ path: String, _ handler: Handler) {
        let segments = path.split(separator: "/").map { segment -> Segment in
            segment.hasPrefix("{") && segment.hasSuffix("}")
                ? .parameter(String(segment.dropFirst().dropLast())) : .literal(String(segment))
        }
        routes.append(Route(path: path, segments: segments, handler: handler))
    }

    /// The handler for a path as it came on the wire, and what its parameters stand for.
    func match(_ path: String) -> (handler: Handler, parameters: [String: String])? {
        // Split before decoding: an encoded slash (%2F) is part of a name, not a separator.
        let parts = path.split(separator: "/").map { percentDecoded($0) }
        var best: (route: Route, parameters: [String: String])?
        for route in routes where route.segments.count == parts.count {
            guard let parameters = Self.parameters(of: route, in: parts) else { continue }
            if let current = best?.route, !Self.isMoreSpecific(route, than: current) { continue }
            best = (route, parameters)
        }
        return best.map { ($0.route.handler, $0.parameters) }
    }

    private static func parameters(of route: Route, in parts: [String?]) -> [String: String]? {
        var parameters: [String: String] = [:]
        for (segment, part) in zip(route.segments, parts) {
            guard let part else { return nil }
            switch segment {
            case .literal(let text): if text != part { return nil }
            case .parameter(let name): parameters[name] = part
            }
        }
        return parameters
    }

    private static func isMoreSpecific(_ route: Route, than other: Route) -> Bool {
        for (mine, theirs) in zip(route.segments, other.segments) where mine != theirs {
            if case .literal = mine, case .parameter = theirs { return true }
            if case .parameter = mine, case .literal = theirs { return false }
        }
        return false
    }
}
