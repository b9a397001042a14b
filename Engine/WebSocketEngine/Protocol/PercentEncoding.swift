/// The text with its percent-encoded bytes decoded (RFC 3986 §2.1): `"a%20b"` becomes `"a b"`.
///
/// - Returns: `nil` when a `%` is not followed by two hexadecimal digits, or the bytes are not UTF-8.
func percentDecoded(_ text: Substring) -> String? {
    percentDecoded(text, plusIsSpace: false)
}

private func percentDecoded(_ text: Substring, plusIsSpace: Bool) -> String? {
    var decoded: [UInt8] = []
    decoded.reserveCapacity(text.utf8.count)
    var rest = text.utf8.makeIterator()
    while let byte = rest.next() {
        switch byte {
        case UInt8(ascii: "%"):
            guard let high = rest.next()?.hexadecimalDigit, let low = rest.next()?.hexadecimalDigit else {
                return nil
            }
            decoded.append(high << 4 | low)
        case UInt8(ascii: "+") where plusIsSpace:
            decoded.append(UInt8(ascii: " "))
        default:
            decoded.append(byte)
        }
    }
    return String(validating: decoded, as: UTF8.self)
}

/// The parameters of a query in the order they came: `room=1&name=Ann+Lee&quiet`.
///
/// Names are compared exactly. `+` stands for a space, as HTML forms write it, and a parameter without `=` has an
/// empty value. A name or value that cannot be decoded stays as it was sent.
///
///     let query = QueryParameters("token=abc%2Fdef")
///     query["token"]      // "abc/def"
public struct QueryParameters: Sendable {
    private var parameters: [(name: String, value: String)] = []

    /// Reads a query as it stands in a URL, without its `?`.
    public init(_ rawQuery: String) {
        for part in rawQuery.utf8.split(separator: UInt8(ascii: "&")) {
            let name = part.prefix { $0 != UInt8(ascii: "=") }
            let value = part.dropFirst(name.count + 1)
            parameters.append((Self.decoded(Substring(name)), Self.decoded(Substring(value))))
        }
    }

    /// The first value of a parameter, `nil` when it is absent.
    public subscript(name: String) -> String? {
        parameters.first { $0.name == name }?.value
    }

    /// The values of all parameters of a name, in order.
    public func values(for name: String) -> [String] {
        parameters.filter { $0.name == name }.map(\.value)
    }

    private static func decoded(_ text: Substring) -> String {
        percentDecoded(text, plusIsSpace: true) ?? String(text)
    }
}

extension QueryParameters: Sequence {
    public func makeIterator() -> IndexingIterator<[(name: String, value: String)]> {
        parameters.makeIterator()
    }
}

extension UInt8 {
    /// The value of a hexadecimal digit in either case.
    fileprivate var hexadecimalDigit: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self - UInt8(ascii: "0")
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self - UInt8(ascii: "A") + 10
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}
