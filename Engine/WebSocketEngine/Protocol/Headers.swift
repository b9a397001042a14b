/// Header fields in the order they came, with names compared without regard to case (RFC 9110 §5.1).
///
///     var headers: Headers = ["Content-Type": "text/plain"]
///     headers["content-type"]      // "text/plain"
///
/// Nothing is checked here: the engine refuses fields that could not be sent when it writes them.
public struct Headers: Sendable {
    private var fields: [(name: String, value: String)] = []

    /// No fields.
    public init() {}

    /// The value of a field, `nil` when it is absent; the values of a repeated field are joined by `", "`
    /// (RFC 9110 §5.2). Setting replaces all fields of that name; setting `nil` removes them.
    ///
    /// `Set-Cookie` is the one field whose values must not be joined: see ``values(for:)``.
    public subscript(name: String) -> String? {
        get {
            var joined: String?
            for field in fields where field.name.equalsIgnoringASCIICase(name) {
                joined = joined.map { "\($0), \(field.value)" } ?? field.value
            }
            return joined
        }
        set {
            let first = fields.firstIndex { $0.name.equalsIgnoringASCIICase(name) }
            fields.removeAll { $0.name.equalsIgnoringASCIICase(name) }
            // Nothing before the first field of that name was removed, so its place is still right.
            if let newValue { fields.insert((name, newValue), at: first ?? fields.endIndex) }
        }
    }

    /// The values of all fields of a name, in order.
    public func values(for name: String) -> [String] {
        fields.filter { $0.name.equalsIgnoringASCIICase(name) }.map(\.value)
    }

    /// Appends a field and keeps those of the same name.
    public mutating func add(_ name: String, _ value: String) {
        fields.append((name, value))
    }

    /// Whether a comma-separated list holds a token, compared without regard to case: true for `upgrade` in
    /// `Connection: keep-alive, Upgrade`, false in `Connection: upgrades`.
    func hasToken(_ token: String, in name: String) -> Bool {
        fields.contains { field in
            field.name.equalsIgnoringASCIICase(name)
                && field.value.utf8.split(separator: UInt8(ascii: ",")).contains { element in
                    Substring(element).trimmingOptionalWhitespace().equalsIgnoringASCIICase(token)
                }
        }
    }

    /// How many fields have the name.
    func count(of name: String) -> Int {
        fields.count { $0.name.equalsIgnoringASCIICase(name) }
    }

    /// Whether a field can be written to the wire. A CR or LF inside a value would end the line and let a caller's
    /// data become further fields (header injection).
    static func isValid(name: String, value: String) -> Bool {
        !name.isEmpty && name.utf8.allSatisfy(\.isTokenCharacter)
            && value.utf8.allSatisfy(\.isFieldValueCharacter)
    }
}

extension Headers {
    /// The name of the first field that must not be sent along: a malformed one, or one that the engine writes
    /// itself, for there must not be two.
    func firstUnsendable(besides names: [String]) -> String? {
        let reserved = names + ["Connection", "Content-Length", "Transfer-Encoding"]
        return fields.first { field in
            !Self.isValid(name: field.name, value: field.value)
                || reserved.contains { $0.equalsIgnoringASCIICase(field.name) }
        }?.name
    }
}

extension Headers: Equatable {
    /// The same fields in the same order.
    public static func == (left: Headers, right: Headers) -> Bool {
        left.fields.elementsEqual(right.fields) {
            $0.name.equalsIgnoringASCIICase($1.name) && $0.value == $1.value
        }
    }
}

extension Headers: Sequence {
    public func makeIterator() -> IndexingIterator<[(name: String, value: String)]> {
        fields.makeIterator()
    }

    /// The number of fields.
    public var underestimatedCount: Int { fields.count }
}

extension Headers: ExpressibleByDictionaryLiteral {
    public init(dictionaryLiteral elements: (String, String)...) {
        for (name, value) in elements { add(name, value) }
    }
}

// MARK: - Characters of HTTP

extension UInt8 {
    /// A character of a token: a method or a field name (RFC 9110 §5.6.2).
    var isTokenCharacter: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"),
            // ! # $ % & ' * + - . ^ _ ` | ~
            0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E...0x60, 0x7C, 0x7E:
            true
        default:
            false
        }
    }

    /// A character of a field value: visible, space or tab, or above ASCII (RFC 9110 §5.5).
    var isFieldValueCharacter: Bool {
        self >= 0x20 && self != 0x7F || self == UInt8(ascii: "\t")
    }

    /// Space or tab, the optional whitespace of RFC 9110 §5.6.3.
    var isOptionalWhitespace: Bool {
        self == UInt8(ascii: " ") || self == UInt8(ascii: "\t")
    }

    fileprivate var lowercasedASCII: UInt8 {
        UInt8(ascii: "A")...UInt8(ascii: "Z") ~= self ? self | 0x20 : self
    }
}

extension StringProtocol {
    /// Equality for the names and tokens of HTTP: only the letters A–Z have a case.
    func equalsIgnoringASCIICase(_ other: some StringProtocol) -> Bool {
        utf8.count == other.utf8.count
            && utf8.elementsEqual(other.utf8) { $0 == $1 || $0.lowercasedASCII == $1.lowercasedASCII }
    }
}

extension Substring {
    fileprivate func trimmingOptionalWhitespace() -> Substring {
        var trimmed = utf8
        while trimmed.first?.isOptionalWhitespace == true { trimmed.removeFirst() }
        while trimmed.last?.isOptionalWhitespace == true { trimmed.removeLast() }
        return Substring(trimmed)
    }
}
